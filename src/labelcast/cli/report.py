"""`labelcast report`: the answer and all that it rests on, as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labelcast.cli import forecast_options as options
from labelcast.cli.console import Json, print_json, say, tell, waiting


def report(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file.  [default: RUN/report.html]")
    ] = None,
    cost_per_label: Annotated[float | None, typer.Option(help="What a label costs.")] = None,
    gpu_hour: Annotated[float | None, typer.Option(help="What a GPU hour costs.")] = None,
    gpu_hours: Annotated[
        float | None,
        typer.Option(help="Hours of one fine-tuning run; those that `tune` measured by default."),
    ] = None,
    currency: Annotated[str, typer.Option(help="A sign or a code, such as EUR.")] = "$",
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    calibration: options.CalibrationCard = None,
    target: options.TargetGain = None,
    target_score: options.TargetScore = None,
    zero_shot: options.ZeroShot = None,
    ceiling: options.Ceiling = None,
    observe: options.Observe = None,
    observe_size: options.ObserveSize = None,
    observe_sd: options.ObserveSd = None,
    level: options.Level = 0.9,
    budget: options.Budget = None,
    recipe: options.Recipe = None,
    as_json: Json = False,
) -> None:
    """Write the report of a run: one HTML file that opens offline.

    It shows the forecast that `labelcast forecast RUN` gives with the same options; without any,
    what the run's last forecast was asked.

    Example: labelcast report run --open
    Example: labelcast report run --cost-per-label 0.40 --gpu-hour 2.50 --gpu-hours 0.5
    """
    from labelcast.report.costs import Prices
    from labelcast.report.write import write_report
    from labelcast.runs.run import Run

    given = options.gathered(
        target=target,
        target_score=target_score,
        zero_shot=zero_shot,
        ceiling=ceiling,
        observe=observe,
        observe_size=observe_size,
        observe_sd=observe_sd,
        level=level,
        budget=budget,
        recipe=recipe,
    )
    asked = given | {"calibration": calibration}
    plain = options.gathered(level=0.9) | {"calibration": None}
    prices = Prices(cost_per_label, gpu_hour, gpu_hours, currency)
    opened = Run.open(run)
    with waiting("Drawing the report"):
        path, content = write_report(
            opened, out, asked=None if asked == plain else asked, prices=prices
        )
    if as_json:
        size = path.stat().st_size
        forecast = content.answer.to_dict() | {"warnings": list(content.warnings)}
        print_json({"report": str(path), "bytes": size, "forecast": forecast})
    else:
        tell(content.answer.sentence())
        say(f"The report is in {path}.")
        for warning in content.warnings:
            say(f"warning: {warning}")
    if open_it:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
