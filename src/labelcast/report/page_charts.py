"""The charts of the report as inline SVG: the forecast curve and the pool's confidence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

import altair as alt

from labelcast.errors import RunError, brief
from labelcast.forecast.answer import Forecast
from labelcast.report.chart import curve_chart, data, scale, styled, text
from labelcast.report.examples import PoolConfidence
from labelcast.report.frame import PALETTE

PAGE_COLOURS = {value: f"var(--{name})" for name, value in PALETTE._asdict().items()}
"""The page's own colour for each colour of the palette."""
_LONG = re.compile(r"-?\d+\.\d{3,}(?:e-?\d+)?")
_NAMESPACES = re.compile(r' xmlns(?::xlink)?="[^"]*"')
_DROPPED = re.compile(r"class|role|aria-.*|font-family|pointer-events|version")


def charts(answer: Forecast, pool: PoolConfidence | None) -> dict[str, str]:
    """The forecast curve and the pool's confidence, each for a wide page and for a phone."""
    drawn = {}
    for name, width, height in (("wide", 680, 360), ("narrow", 300, 300)):
        curve, label = curve_chart(answer, width=width, height=height), answer.sentence()
        drawn[f"curve_{name}"] = to_svg(curve, f"The forecast curve. {label}", PAGE_COLOURS)
        if pool is not None:
            label = (
                f"Histogram of the confidence of {pool.size:,} examples, from {pool.low:.2f} to "
                f"{pool.high:.2f}; examples up to {pool.limit:.3f} could be picked."
            )
            drawn[f"confidence_{name}"] = to_svg(_histogram(pool, width), label, PAGE_COLOURS)
    return drawn


def to_svg(chart: Any, label: str, colours: Mapping[str, str]) -> str:
    """Draw an altair chart, without a network, as an ``<svg>`` element to put in HTML.

    The element is one image to a screen reader; the descriptions of single marks are dropped.

    Args:
        chart: an altair chart.
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
    for element in root.iter():
        for name, value in list(element.attrib.items()):
            if _DROPPED.fullmatch(name):
                del element.attrib[name]
            else:
                element.set(name, colours.get(value, _LONG.sub(_rounded, value)))
    box = root.get("viewBox", "")
    root.attrib.clear()
    root.attrib |= {"viewBox": box, "role": "img", "aria-label": label}
    return ElementTree.tostring(root, encoding="unicode")


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def _histogram(pool: PoolConfidence, width: int) -> alt.LayerChart:
    bins = zip(pool.edges, pool.edges[1:], pool.counts, pool.picked, strict=False)
    base = data({"x": a, "end": b, "y": n, "picked": k, "zero": 0} for a, b, n, k in bins)
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
        bars.encode(x, y, x2=alt.X2("end:Q"), y2=alt.Y2("zero:Q")),
        picked.encode(x, alt.Y("picked:Q"), x2=alt.X2("end:Q"), y2=alt.Y2("zero:Q")),
        mark.mark_rule(color=PALETTE.accent, strokeDash=[6, 4]).encode(y2=alt.Y2("zero:Q")),
        *text(
            mark, PALETTE.accent, align="right" if right else "left", dx=-6 if right else 6, dy=8
        ),
    ]
    return styled(layers, width=width, height=170, title="Examples")
