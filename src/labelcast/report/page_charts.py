"""The charts of the report as inline SVG: the curve, the pool's confidence, the similarity."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

import altair as alt

from labelcast.errors import RunError, brief
from labelcast.forecast.answer import Forecast
from labelcast.report.chart import data, plot, scale, styled, text
from labelcast.report.confidence import PoolConfidence
from labelcast.report.frame import PALETTE
from labelcast.report.similarity import Similarity

PAGE_COLOURS = {value: f"var(--{name})" for name, value in PALETTE._asdict().items()}
"""The page's own colour for each colour of the palette."""
_WIDE, _NARROW, _SIDE = 680, 300, 480
_FAINTEST = 0.04
_NUMBERED = 40
"""With more rows than these, a heat map does not number them."""

_LONG = re.compile(r"-?\d+\.\d{3,}(?:e-?\d+)?")
_NAMESPACES = re.compile(r' xmlns(?::xlink)?="[^"]*"')
_DROPPED = re.compile(r"class|role|aria-.*|font-family|pointer-events|version")


def curve_svgs(answer: Forecast, label: str) -> tuple[str, str]:
    """The forecast curve, for a wide page and for a phone."""
    charts = plot(answer, width=_WIDE, height=360), plot(answer, width=_NARROW, height=300)
    return to_svg(charts[0], label, PAGE_COLOURS), to_svg(charts[1], label, PAGE_COLOURS)


def confidence_svgs(pool: PoolConfidence, label: str) -> tuple[str, str]:
    """The histogram of the pool's confidence, for a wide page and for a phone."""
    charts = _histogram(pool, _WIDE), _histogram(pool, _NARROW)
    return to_svg(charts[0], label, PAGE_COLOURS), to_svg(charts[1], label, PAGE_COLOURS)


def similarity_svg(found: Similarity, numbers: Mapping[str, int], label: str) -> str:
    """The heat map: one square per cell, after a row and a column of row numbers, by id."""
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


def _histogram(pool: PoolConfidence, width: int) -> alt.LayerChart:
    bins = zip(pool.edges, pool.edges[1:], pool.counts, pool.picked, strict=False)
    keys = ("x", "end", "y", "picked")
    base = data(dict(zip(keys, row, strict=True)) | {"zero": 0} for row in bins)
    first, top = pool.edges[0], max(pool.counts) * 1.18
    x_axis = alt.Axis(title="confidence", format=".2~f", grid=False, tickCount=6)
    y_axis = alt.Axis(title=None, tickCount=4, tickMinStep=1, domain=False, ticks=False)
    x = alt.X("x:Q", scale=scale(first, 1.0), axis=x_axis)
    y = alt.Y("y:Q", scale=alt.Scale(domain=[0, top], nice=False), axis=y_axis)
    bars = base.mark_bar(color=PALETTE.muted, opacity=0.4, binSpacing=1)
    picked = base.transform_filter("datum.picked > 0").mark_bar(
        color=PALETTE.accent, opacity=1, binSpacing=1
    )
    right = pool.limit > (first + 1) / 2
    name = "lowest tenth" if right else "← lowest tenth"
    mark = data([{"x": pool.limit, "y": top, "zero": 0, "name": name}]).encode(x, y)
    layers = [
        bars.encode(x, y, x2="end:Q", y2="zero:Q"),
        picked.encode(x, alt.Y("picked:Q"), x2="end:Q", y2="zero:Q"),
        mark.mark_rule(color=PALETTE.accent, strokeDash=[6, 4]).encode(y2="zero:Q"),
        *text(
            mark, PALETTE.accent, align="right" if right else "left", dx=-6 if right else 6, dy=8
        ),
    ]
    return styled(layers, width=width, height=170, title="Examples")


def _heat_map(found: Similarity, numbers: Mapping[str, int]) -> alt.LayerChart:
    low = min(float(found.cosines.min()), 0.0)
    shade = ((found.cosines - low) / (1 - low)).clip(_FAINTEST)
    places = list(enumerate(found.shown, 1))
    cells = data(
        {"x": m, "y": n, "value": float(shade[i, j])} for n, i in places for m, j in places
    )
    size = len(places) + 1
    x = alt.X("x:Q", scale=scale(0, size), axis=None)
    y = alt.Y("y:Q", scale=scale(size, 0), axis=None)
    opacity = alt.Opacity("value:Q", scale=None, legend=None)
    layers = [
        cells.transform_calculate(end="datum.x + 1", below="datum.y + 1")
        .mark_rect(color=PALETTE.accent)
        .encode(x, y, x2="end:Q", y2="below:Q", opacity=opacity)
    ]
    if len(places) <= _NUMBERED:
        names = [(n, str(numbers.get(found.ids[i], ""))) for n, i in places]
        beside = [{"x": 0.8, "y": n + 0.5, "name": name} for n, name in names]
        above = [{"x": n + 0.5, "y": 0.75, "name": name} for n, name in names]
        for rows, align in ((beside, "right"), (above, "center")):
            marks = data(rows).mark_text(align=align, fontSize=9, color=PALETTE.muted)
            layers.append(marks.encode(x, y, text="name:N"))
    return styled(layers, width=_SIDE, height=_SIDE, padding=0)
