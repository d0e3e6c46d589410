"""The charts of the report as inline SVG: the curve, the pool's confidence, the similarity."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from labelcast.errors import RunError, brief
from labelcast.forecast.answer import Forecast
from labelcast.report.chart import axis, data, plot, text, title
from labelcast.report.confidence import PoolConfidence
from labelcast.report.frame import PALETTE
from labelcast.report.similarity import Similarity

PAGE_COLOURS = {value: f"var(--{name})" for name, value in PALETTE._asdict().items()}
"""The page's own colour for each colour of the palette."""
_WIDE, _NARROW = 680, 300
_FAINTEST = 0.04
_SIDE = 480
_NUMBERED = 40
"""With more rows than these, a heat map does not number them."""

_LONG = re.compile(r"-?\d+\.\d{3,}(?:e-?\d+)?")
_NAMESPACES = re.compile(r' xmlns(?::xlink)?="[^"]*"')
_DROPPED = re.compile(r"class|role|aria-.*|font-family|pointer-events|version")


def curve_svgs(answer: Forecast, label: str) -> tuple[str, str]:
    """The forecast curve, for a wide page and for a phone."""
    return (
        to_svg(plot(answer, width=_WIDE, height=360), label, PAGE_COLOURS),
        to_svg(plot(answer, width=_NARROW, height=300), label, PAGE_COLOURS),
    )


def confidence_svgs(pool: PoolConfidence, label: str) -> tuple[str, str]:
    """The histogram of the pool's confidence, for a wide page and for a phone."""
    return (
        to_svg(_histogram(pool, _WIDE), label, PAGE_COLOURS),
        to_svg(_histogram(pool, _NARROW), label, PAGE_COLOURS),
    )


def similarity_svg(found: Similarity, numbers: Mapping[str, int], label: str) -> str:
    """The heat map: one square per cell, after a row and a column of numbers.

    Args:
        found: the cosines.
        numbers: row numbers in the table of examples, by id.
        label: what the map shows.
    """
    return to_svg(_heat_map(found, numbers), label, PAGE_COLOURS)


def to_svg(chart: Any, label: str, colours: Mapping[str, str] | None = None) -> str:
    """Draw an altair chart, without a network, as an ``<svg>`` element to put in HTML.

    The element is one image to a screen reader; the descriptions of single marks are dropped.

    Args:
        chart: of altair.
        label: what the image shows, for people who do not see it.
        colours: replacements for colours of the chart, such as ``var(--ink)``.

    Raises:
        RunError: the chart cannot be drawn.
    """
    import altair as alt
    import vl_convert

    # As `chart.save` does, without its slow check against the schema.
    version = alt.SCHEMA_VERSION.removeprefix("v").rpartition(".")[0]
    try:
        svg = vl_convert.vegalite_to_svg(chart.to_dict(validate=False), vl_version=version)
    except ValueError as error:  # vl-convert raises no other kind
        raise RunError(f"a chart cannot be drawn ({brief(error)}).") from None
    root = ElementTree.fromstring(_NAMESPACES.sub("", svg))
    _clean(root, colours or {})
    box = root.get("viewBox", "")
    root.attrib.clear()
    root.attrib |= {"viewBox": box, "role": "img", "aria-label": label}
    return ElementTree.tostring(root, encoding="unicode")


def _clean(element: ElementTree.Element, colours: Mapping[str, str]) -> bool:
    """Clean an element and its children; returns whether anything of it is visible."""
    for child in list(element):
        if not _clean(child, colours):
            element.remove(child)
    for name, value in list(element.attrib.items()):
        of_group = name in ("width", "height") and element.tag not in ("rect", "image")
        if _DROPPED.fullmatch(name) or of_group or (name, value) == ("opacity", "1"):
            del element.attrib[name]
        elif name in ("fill", "stroke"):
            element.set(name, colours.get(value, value))
        else:
            element.set(name, _LONG.sub(_rounded, value))
    if element.tag == "g":
        return len(element) > 0
    return element.tag != "path" or (bool(element.get("d")) and element.get("display") != "none")


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def _histogram(pool: PoolConfidence, width: int) -> Any:
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
        axis=axis(alt, title="confidence", format=".2~f", grid=False, tickCount=6),
    )
    top = max(pool.counts) * 1.18
    y = alt.Y(
        "y:Q",
        scale=alt.Scale(domain=[0, top], nice=False),
        axis=axis(alt, title=None, tickCount=4, tickMinStep=1, domain=False, ticks=False),
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
    return (
        alt.layer(bars, picked, rule, *text(mark, place, PALETTE.accent))
        .properties(width=width, height=170, title=title(alt, "Examples"), background="transparent")
        .configure_view(stroke=None)
        .configure_text(fontSize=12)
    )


def _heat_map(found: Similarity, numbers: Mapping[str, int]) -> Any:
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
    x = alt.X("x:Q", scale=alt.Scale(domain=[0, size], nice=False, zero=False), axis=None)
    y = alt.Y("y:Q", scale=alt.Scale(domain=[size, 0], nice=False, zero=False), axis=None)
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
    if len(shown) <= _NUMBERED:
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
