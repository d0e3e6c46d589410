"""The chart of a comparison: every candidate's curve, its band and its measured scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import altair as alt

from labelcast.errors import InputError
from labelcast.files.json_files import write_with
from labelcast.report.chart import NARROW, data, labels_axis, styled
from labelcast.report.frame import PALETTE, LabelsAxis

if TYPE_CHECKING:
    from labelcast.sweeps.compare import Comparison, Outcome

FORMATS = ("svg", "png", "html")
COLOURS = ["#1a5fa8", "#c2410c", "#15803d", "#7c3aed", "#b91c1c", "#0f766e", "#a16207", "#4b5563"]
"""Colours of the candidates; after the last they repeat, with dashed lines."""
DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3]]
MOST_BANDS = 4
"""With more candidates than these their bands are not drawn: one could not tell them apart."""
_WIDE = 1.25
"""The plot ends this many times beyond the most labels that anything is known about."""


def plot_comparison(
    found: Comparison, *, width: int = 640, height: int = 340, names: Sequence[str] | None = None
) -> alt.LayerChart:
    """Plot a comparison as an altair chart over log2(labels), with 0 in place of 1.

    The axis ends where labels are measured or needed, so that the curves do not overlap. Bands are
    drawn for up to 4 candidates.

    Args:
        found: what to plot.
        width: width of the plot, in pixels.
        height: height of the plot, in pixels.
        names: names of the candidates in the data, without a legend; None has a legend, with the
            labels that each selector saves.
    """
    legend = alt.Legend(
        title=None, orient="bottom", symbolType="circle", symbolOpacity=1, labelLimit=0
    )
    if found.savings:
        legend.columns = 1 if width < NARROW else 2
    shown = [_in_legend(one, found) for one in found.candidates] if names is None else names
    known = [n for one in found.candidates for n in (*one.measured, one.labels or 0)]
    end = _WIDE * max(*known, found.budget or 0)
    named = list(zip(shown, found.candidates, strict=True))
    bands = [(name, band) for name, one in named for band in one.curve]
    budgets = [band.n for _, band in bands]
    axis = LabelsAxis(min((n for n in budgets if n >= end), default=max(budgets)))
    curves = [
        {"name": name, "x": axis.place(b.n), "y": b.mean, "low": b.low, "high": b.high}
        for name, b in bands
        if b.n <= axis.last
    ]
    scores = [
        {"name": name, "x": axis.place(n), "y": score}
        for name, one in named
        for n, score in one.measured.items()
        if n <= axis.last
    ]
    hues, dashes = map(list, zip(*map(line_style, range(len(shown))), strict=True))
    key = {"legend": legend if names is None else None}
    colour = alt.Color("name:N", scale=alt.Scale(domain=list(shown), range=hues), **key)
    dash = alt.StrokeDash("name:N", scale=alt.Scale(domain=list(shown), range=dashes), **key)
    x = labels_axis(axis, width)
    y = alt.Y("y:Q", axis=alt.Axis(title=None, format=".2f"), scale=alt.Scale(zero=False))
    base = data(curves).encode(x=x, y=y)
    area = base.mark_area(opacity=0.2).encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q"), color=colour)
    layers = [
        *([area] if len(shown) <= MOST_BANDS else []),
        base.mark_line(strokeWidth=2.5).encode(color=colour, strokeDash=dash),
        data(scores).mark_point(filled=True, size=50, opacity=1).encode(x=x, y=y, color=colour),
        data([{"y": found.target_score}])
        .mark_rule(color=PALETTE.muted, strokeDash=[6, 4])
        .encode(y=y),
    ]
    title = f"{found.task}: {found.metric}" if names is None else "Score"
    return styled(layers, width=width, height=height, title=title)


def line_style(number: int) -> tuple[str, list[int]]:
    """The colour and the dashes of a candidate's line."""
    return COLOURS[number % len(COLOURS)], DASHES[number // len(COLOURS) % len(DASHES)]


def _in_legend(one: Outcome, found: Comparison) -> str:
    """A candidate's name, and what it saves."""
    for saving in found.savings:
        if saving.name == one.name:
            return f"{one.name} (saved: {saving.saved:,}, {saving.low:,} to {saving.high:,})"
    return one.name


def save_comparison(found: Comparison, path: Path) -> None:
    """Save the chart as .svg, .png or .html, by the file's name; replaces a file atomically."""
    kind = path.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise InputError(f"--chart {path}: the name must end in .{', .'.join(FORMATS)}.")
    # The temporary file has another suffix.
    written = {"format": kind, "json_kwds": {"cls": _InScript}}
    write_with(path, lambda part: plot_comparison(found).save(str(part), **written))


class _InScript(json.JSONEncoder):
    """JSON that cannot end the script it is in: names may come from data."""

    def encode(self, o: Any) -> str:
        return super().encode(o).replace("<", "\\u003c")
