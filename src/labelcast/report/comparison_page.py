"""A comparison as one HTML file that requests nothing from the network."""

from __future__ import annotations

from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from labelcast.files.json_files import write_text
from labelcast.forecast.wording import chance_in_words, ends, labels, shown
from labelcast.report.comparison import COLOURS, MOST_BANDS, line_style, plot_comparison
from labelcast.report.html import check_replaceable, render_page
from labelcast.report.page_charts import PAGE_COLOURS, to_svg
from labelcast.runs.run import versions

if TYPE_CHECKING:
    from labelcast.sweeps.compare import Comparison, Group, Outcome

OPEN_PAIRS = 6
"""With more pairs than these their differences are collapsed at first."""
_HUES = {colour: f"var(--series-{number})" for number, colour in enumerate(COLOURS, 1)}


def write_comparison(found: Comparison, out: str | Path, *, force: bool = False) -> Path:
    """Write a comparison as one HTML file that opens offline.

    Args:
        found: from `labelcast.compare`.
        out: the file.
        force: replace `out` also if labelcast did not write it, or if it was edited.

    Raises:
        InputError: `out` is in the way.
        RunError: the file cannot be written, or a chart cannot be drawn.
    """
    path = Path(out)
    check_replaceable(path, force=force)
    write_text(path, render_comparison(found))
    return path


def render_comparison(found: Comparison) -> str:
    """The page; the same comparison gives the same bytes."""
    from markupsafe import Markup

    # In the chart candidates are numbers: their names may be long, or not fit into XML.
    numbers = [str(number) for number in range(len(found.candidates))]
    charts = {}
    for name, width, height in (("wide", 680, 380), ("narrow", 300, 320)):
        chart = plot_comparison(found, width=width, height=height, names=numbers)
        label = f"The forecast curves of {len(numbers)} candidates, with their measured scores."
        charts[name] = Markup(to_svg(chart, label, PAGE_COLOURS | _HUES))
    pairs = found.pairs
    groups = found.groups()
    main = next((group for group in groups if group.savings), groups[0])
    best, second = _two_best(main)
    return render_page(
        "comparison.html",
        found=found,
        groups=groups,
        unit=main.unit,
        lead=main.savings[0] if main.savings else None,
        best=best,
        second=second,
        charts=charts,
        keys=[_key(number) for number in range(len(numbers))],
        fewer={(one.first, one.second): one.fewer for one in pairs}
        | {(one.second, one.first): one.more for one in pairs},
        scored=sorted({n for one in found.candidates for n in one.measured}),
        compared=sorted({gap.budget for one in pairs for gap in one.differences}),
        collapsed=len(pairs) > OPEN_PAIRS,
        with_bands=len(numbers) <= MOST_BANDS,
        chance=chance_in_words,
        labels=labels,
        ends=ends,
        shown=shown,
        version=versions()["labelcast"],
    )


def _two_best(group: Group) -> tuple[Outcome, Outcome | None]:
    """The candidates that need the fewest labels; the others come in their order."""
    ranked = sorted(group.candidates, key=lambda one: inf if one.labels is None else one.labels)
    return ranked[0], ranked[1] if len(ranked) > 1 else None


def _key(number: int) -> dict[str, str]:
    """How a candidate's line looks in the chart: its colour, and its dashes as in SVG."""
    colour, dashes = line_style(number)
    return {"colour": _HUES[colour], "dashes": " ".join(map(str, dashes))}
