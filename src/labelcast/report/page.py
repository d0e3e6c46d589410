"""The report as one HTML file that requests nothing from the network."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from labelcast.files.json_files import write_text
from labelcast.forecast.wording import chance_in_words, ends, labels, shown
from labelcast.report.content import Content, gather
from labelcast.report.costs import Prices
from labelcast.report.frame import observed
from labelcast.report.html import check_replaceable, render_page
from labelcast.runs.run import Run

NAME = "report.html"


def write_report(
    run: Run | None = None,
    out: str | Path | None = None,
    *,
    asked: Mapping[str, Any] | None = None,
    prices: Prices | None = None,
    force: bool = False,
) -> tuple[Path, Content]:
    """Write the report of a run, or of scores alone, as one HTML file that opens offline.

    The forecast is made again and is not saved in the run.

    Args:
        run: with CoS-Low or observed scores; None makes a report of the scores in `asked`.
        out: the file; by default `RUN/report.html`, or `report.html` without a run.
        asked: options of the forecast, as `labelcast.forecast` takes them; None repeats the run's
            last forecast, else the defaults.
        prices: prices of labels and GPU hours.
        force: replace `out` also if it is another file, or a report that was edited.

    Raises:
        InputError: there is no forecast yet, an option is wrong, or `out` is in the way.
        RunError: the file cannot be written, or a chart cannot be drawn.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> scores = {"observations": [(50, 0.71), (200, 0.79)], "target_score": 0.85}
        >>> with TemporaryDirectory() as folder:
        ...     path, content = write_report(out=f"{folder}/report.html", asked=scores)
        >>> path.name, content.answer.target.score
        ('report.html', 0.85)
    """
    path = Path(out) if out is not None else Path(NAME) if run is None else run.file(NAME)
    check_replaceable(path, force=force)
    content = gather(run, asked, prices)
    write_text(path, render(content))
    return path, content


def render(content: Content) -> str:
    """A report as HTML; the same content gives the same bytes."""
    from markupsafe import Markup

    from labelcast.report.page_charts import charts

    drawn = charts(content.answer, content.confidence)
    return render_page(
        "report.html",
        script="report.js",
        content=content,
        answer=content.answer,
        charts={name: Markup(svg) for name, svg in drawn.items()},
        observed=observed(content.answer),
        chance=chance_in_words,
        labels=partial(labels, horizon=content.answer.horizon),
        ends=partial(ends, horizon=content.answer.horizon),
        shown=shown,
    )
