"""The chart of a comparison: every candidate's curve, its band and its measured scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import altair as alt

from labelcast.errors import InputError
from labelcast.files.json_files import write_with
from labelcast.report.chart import styled
from labelcast.report.frame import PALETTE, LabelsAxis

if TYPE_CHECKING:
    from labelcast.sweeps.compare import Comparison

FORMATS = ("svg", "png", "html")
_COLOURS = ["#1a5fa8", "#c2410c", "#15803d", "#7c3aed", "#b91c1c", "#0f766e", "#a16207", "#4b5563"]
_WIDE = 1.25
"""The plot ends this many times beyond the most labels that anything is known about."""


def plot_comparison(found: Comparison, *, width: int = 640, height: int = 340) -> alt.LayerChart:
    """Plot a comparison as an altair chart over log2(labels), with 0 in the place of 1.

    The axis ends where labels are measured or needed, so that the curves do not overlap.
    """
    known = [n for one in found.candidates for n in (*one.measured, one.labels or 0)]
    end = _WIDE * max(*known, found.budget or 0)
    bands = [(one.name, band) for one in found.candidates for band in one.curve]
    budgets = [band.n for _, band in bands]
    axis = LabelsAxis(min((n for n in budgets if n >= end), default=max(budgets)))
    curves = [
        {"name": name, "x": axis.place(b.n), "y": b.mean, "low": b.low, "high": b.high}
        for name, b in bands
        if b.n <= axis.last
    ]
    scores = [
        {"name": one.name, "x": axis.place(n), "y": score}
        for one in found.candidates
        for n, score in one.measured.items()
        if n <= axis.last
    ]
    names = [one.name for one in found.candidates]
    hues = alt.Scale(domain=names, range=_COLOURS[: len(names)])
    legend = alt.Legend(title=None, orient="bottom", symbolType="circle", symbolOpacity=1)
    colour = alt.Color("name:N", scale=hues, legend=legend)
    ticks = [axis.place(n) for n in axis.ticks()]
    labels = alt.Axis(
        values=ticks,
        labelExpr=f"datum.value > 0 ? format(round(pow({axis.last}, datum.value)), ',') : '0'",
        title="labels (logarithmic)",
        grid=False,
    )
    x = alt.X("x:Q", axis=labels, scale=alt.Scale(domain=[0, 1]))
    y = alt.Y("y:Q", axis=alt.Axis(title=None, format=".2f"), scale=alt.Scale(zero=False))
    base = alt.Chart(alt.Data(values=curves)).encode(x=x, y=y)
    target = alt.Chart(alt.Data(values=[{"y": found.target_score}]))
    layers = [
        base.mark_area(opacity=0.2).encode(y="low:Q", y2="high:Q", color=colour),
        base.mark_line(strokeWidth=2.5).encode(color=colour),
        alt.Chart(alt.Data(values=scores))
        .mark_point(filled=True, size=50, opacity=1)
        .encode(x=x, y=y, color=colour),
        target.mark_rule(color=PALETTE.muted, strokeDash=[6, 4]).encode(y=y),
    ]
    title = f"{found.task}: {found.metric}"
    return styled(layers, width=width, height=height, title=title)


def save_comparison(found: Comparison, path: Path) -> None:
    """Save the chart as .svg, .png or .html, by the file's name; replaces a file atomically."""
    kind = path.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise InputError(f"--chart {path}: the name must end in .{', .'.join(FORMATS)}.")
    # The temporary file has another suffix.
    write_with(path, lambda part: plot_comparison(found).save(str(part), format=kind))
