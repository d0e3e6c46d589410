"""`labelcast report`: a forecast and what it is based on, as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from labelcast.cli.console import print_json, say, tell, waiting, warn
from labelcast.cli.forecast_options import takes_forecast_options
from labelcast.cli.options import Json
from labelcast.errors import InputError
from labelcast.forecast.options import RunOptions


@takes_forecast_options
def report(
    asked: RunOptions,
    run: Annotated[
        Path | None, Argument(help="A run folder. Leave it out with --scores or --observe.")
    ] = None,
    out: Annotated[
        Path | None,
        Option("--out", "-o", help="The file.  [default: RUN/report.html or report.html]"),
    ] = None,
    cost_per_label: Annotated[
        float | None, Option(help="Cost of a label.  [default: --label-cost]")
    ] = None,
    gpu_hour: Annotated[float | None, Option(help="Cost of a GPU hour.")] = None,
    gpu_hours: Annotated[
        float | None,
        Option(help="GPU hours of one fine-tuning run.  [default: as measured by `tune`]"),
    ] = None,
    currency: Annotated[str, Option(help="A sign or a code, such as EUR.")] = "$",
    force: Annotated[
        bool, Option("--force", help="Replace a file that is not a report, or that was edited.")
    ] = False,
    open_it: Annotated[bool, Option("--open", help="Open the report in the browser.")] = False,
    as_json: Json = False,
) -> None:
    """Write a report: one HTML file that opens offline.

    It shows the same forecast as `labelcast forecast RUN` with the same options. Without options
    it repeats the run's last forecast. Without a run it uses measured scores alone.

    Example: labelcast report run --open
    Example: labelcast report run --cost-per-label 0.40 --gpu-hour 2.50 --gpu-hours 0.5
    Example: labelcast report --scores scores.csv --target-score 0.85 --out report.html
    """
    from labelcast.report.costs import Prices
    from labelcast.report.page import write_report
    from labelcast.runs.run import Run

    label_cost = asked.get("label_cost")
    if cost_per_label is not None and label_cost not in (None, cost_per_label):
        raise InputError("--cost-per-label and --label-cost differ; give only one of them.")
    if cost_per_label is not None and asked.keys() & {"run_cost", "value"}:
        asked["label_cost"] = cost_per_label
    prices = Prices(cost_per_label, gpu_hour, gpu_hours, currency)
    opened = None if run is None else Run.open(run)
    with waiting("Drawing the report"):
        path, content = write_report(opened, out, asked=asked or None, prices=prices, force=force)
    if as_json:
        size = path.stat().st_size
        forecast = content.answer.to_dict() | {"warnings": list(content.warnings)}
        print_json({"report": str(path), "bytes": size, "forecast": forecast})
    else:
        tell(content.answer.sentence())
        say(f"The report is in {path}.")
        for warning in content.warnings:
            warn(warning)
    if open_it:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
