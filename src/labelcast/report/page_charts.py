"""The charts of the report page, as SVG: the curve, the pool's confidence, the similarity."""

from __future__ import annotations

from typing import Any

from labelcast.forecast.answer import Forecast
from labelcast.report.chart import data, plot, text
from labelcast.report.confidence import PoolConfidence
from labelcast.report.frame import PALETTE
from labelcast.report.similarity import Similarity
from labelcast.report.svg import to_svg

_PAGE = {value: f"var(--{name})" for name, value in PALETTE._asdict().items()}
_WIDE, _NARROW = 680, 300
_FAINTEST = 0.04
_SIDE = 480
_NAMED = 40
"""Rows of a heat map that have room for their numbers."""


def curve_svgs(answer: Forecast, label: str) -> tuple[str, str]:
    """The forecast curve for a wide page and for a phone."""
    wide, narrow = (
        to_svg(plot(answer, width=width, height=height), label, _PAGE)
        for width, height in ((_WIDE, 360), (_NARROW, 300))
    )
    return wide, narrow


def confidence_svgs(pool: PoolConfidence, label: str) -> tuple[str, str]:
    """The histogram of the pool's confidence for a wide page and for a phone."""
    wide, narrow = (
        to_svg(_histogram(pool, width, height), label, _PAGE)
        for width, height in ((_WIDE, 170), (_NARROW, 170))
    )
    return wide, narrow


def similarity_svg(found: Similarity, numbers: dict[str, int], label: str) -> str:
    """The heat map: one square a cell, after a row and a column of numbers.

    Args:
        found: the cosines.
        numbers: of the examples' rows in the table, by id.
        label: what the map shows.
    """
    return to_svg(_heat_map(found, numbers), label, _PAGE)


def _axis(alt: Any, **options: Any) -> Any:
    return alt.Axis(
        labelColor=PALETTE.muted,
        titleColor=PALETTE.muted,
        domainColor=PALETTE.muted,
        tickColor=PALETTE.muted,
        gridColor=PALETTE.faint,
        labelFontSize=12,
        titleFontSize=12,
        titleFontWeight="normal",
        **options,
    )


def _histogram(pool: PoolConfidence, width: int, height: int) -> Any:
    import altair as alt

    rows = [
        {"x": left, "end": right, "y": count, "picked": picked, "zero": 0}
        for left, right, count, picked in zip(
            pool.edges, pool.edges[1:], pool.counts, pool.picked, strict=False
        )
    ]
    domain = [pool.edges[0], 1.0]
    x = alt.X(
        "x:Q",
        scale=alt.Scale(domain=domain, nice=False, zero=False),
        axis=_axis(alt, title="confidence", format=".2~f", grid=False, tickCount=6),
    )
    top = max(pool.counts) * 1.18
    y = alt.Y(
        "y:Q",
        scale=alt.Scale(domain=[0, top], nice=False),
        axis=_axis(alt, title=None, tickCount=4, tickMinStep=1, domain=False, ticks=False),
    )
    base = data(alt, rows)
    bars = base.mark_bar(color=PALETTE.muted, opacity=0.4, binSpacing=1).encode(
        x, y, x2="end:Q", y2="zero:Q"
    )
    picked = (
        base.transform_filter("datum.picked > 0")
        .mark_bar(color=PALETTE.accent, opacity=1, binSpacing=1)
        .encode(x, alt.Y("picked:Q"), x2="end:Q", y2="zero:Q")
    )
    right = pool.limit > (domain[0] + domain[1]) / 2
    name = "lowest tenth" if right else "← lowest tenth"
    mark = data(alt, [{"x": pool.limit, "y": top, "zero": 0, "name": name}]).encode(x, y)
    rule = mark.mark_rule(color=PALETTE.accent, strokeDash=[6, 4]).encode(y2="zero:Q")
    place = {"align": "right" if right else "left", "dx": -6 if right else 6, "dy": 8}
    title = alt.Title(
        "Examples", anchor="start", fontSize=12, fontWeight="normal", color=PALETTE.muted
    )
    return (
        alt.layer(bars, picked, rule, *text(mark, place, PALETTE.accent))
        .properties(width=width, height=height, title=title, background="transparent")
        .configure_view(stroke=None)
        .configure_text(fontSize=12)
    )


def _heat_map(found: Similarity, numbers: dict[str, int]) -> Any:
    import altair as alt

    shown = found.shown
    low = min(float(found.cosines.min()), 0.0)
    cells = [
        {
            "x": column,
            "y": row,
            "value": max(_FAINTEST, (float(found.cosines[i, j]) - low) / (1 - low)),
        }
        for row, i in enumerate(shown, 1)
        for column, j in enumerate(shown, 1)
    ]
    size = len(shown) + 1
    axis = {"scale": alt.Scale(domain=[0, size], nice=False, zero=False), "axis": None}
    x, y = alt.X("x:Q", **axis), alt.Y("y:Q", **(axis | {"scale": _downwards(alt, size)}))
    squares = (
        data(alt, cells)
        .transform_calculate(end="datum.x + 1", below="datum.y + 1")
        .mark_rect(color=PALETTE.accent)
        .encode(
            x,
            y,
            x2="end:Q",
            y2="below:Q",
            opacity=alt.Opacity("value:Q", scale=None, legend=None),
        )
    )
    marks = []
    if len(shown) <= _NAMED:
        names = [str(numbers.get(found.ids[i], "")) for i in shown]
        beside = [{"x": 0.8, "y": n + 0.5, "name": name} for n, name in enumerate(names, 1)]
        above = [{"x": n + 0.5, "y": 0.75, "name": name} for n, name in enumerate(names, 1)]
        marks = [
            data(alt, rows)
            .mark_text(align=align, fontSize=9, color=PALETTE.muted)
            .encode(x, y, text="name:N")
            for rows, align in ((beside, "right"), (above, "center"))
        ]
    return (
        alt.layer(squares, *marks)
        .properties(width=_SIDE, height=_SIDE, padding=0, background="transparent")
        .configure_view(stroke=None)
    )


def _downwards(alt: Any, size: int) -> Any:
    return alt.Scale(domain=[size, 0], nice=False, zero=False)
