"""The forecast curve as an altair chart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import altair as alt

from labelcast.forecast.wording import shown
from labelcast.report.frame import (
    HEADROOM,
    PALETTE,
    Frame,
    LabelsAxis,
    Palette,
    end_in_words,
    needed_in_words,
    observed,
    target_in_words,
    target_value,
)

if TYPE_CHECKING:
    from labelcast.forecast.answer import Forecast

_ABOVE, _BELOW = -9, 11
"""Where the name of a line is, in pixels from it."""
MOST_NAMED = 12
"""With more observed scores than these, their values are not written."""
NARROW = 420
"""Below this width, in pixels, the axis of labels has fewer ticks."""

_THEMED = Palette("currentColor", "#838b94", "rgba(128, 128, 128, 0.25)", "#3f84d4", "transparent")
"""Colours for a light and a dark page: text takes the page's own, the rest is of middle tone."""


def plot(answer: Forecast, *, width: int = 640, height: int = 340) -> alt.LayerChart:
    """Plot a forecast as an altair chart: the curve with its band, the target, observed scores.

    Its colours follow the notebook's theme, light or dark.

    The x axis is log2(labels), with 0 in place of 1, up to 5,000 labels or to the horizon if
    that is more. The AUC is measured on this axis. Width and height are those of the plot in
    pixels.

    Examples:
        >>> import labelcast as lc
        >>> chart = plot(lc.forecast(coslow=0.42, calibration="pooled"))
        >>> chart.width
        640
    """
    return curve_chart(answer, width=width, height=height, colours=_THEMED)


def curve_chart(
    answer: Forecast, *, width: int, height: int, colours: Palette = PALETTE
) -> alt.LayerChart:
    """The chart of `plot` in some colours."""
    frame = Frame.of(answer, width, colours)
    layers = [
        *_curve(answer, frame),
        *_needed(answer, frame),
        *_rules(answer, frame),
        *_scores(answer, frame),
    ]
    by_score = answer.curve_unit == "score"
    unit = "Score" if by_score else "Gain, from zero-shot (0) to the ceiling (1)"
    chart = styled(layers, colours, width=width, height=height, title=unit)
    return chart.encode(x=labels_axis(frame.labels, frame.width), y=_value_axis(frame))


def styled(layers: list[Any], colours: Palette = PALETTE, **properties: Any) -> alt.LayerChart:
    """A chart of some layers in the report's style; its title names the y axis."""
    muted = colours.muted
    config = alt.Config(
        view=alt.ViewConfig(stroke=None),
        text=alt.MarkConfig(fontSize=12, color=colours.ink),
        title=alt.TitleConfig(anchor="start", fontSize=12, fontWeight="normal", color=muted),
        axis=alt.AxisConfig(
            labelColor=muted,
            titleColor=muted,
            domainColor=muted,
            tickColor=muted,
            gridColor=colours.faint,
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
        ),
    )
    return alt.layer(*layers, background="transparent", config=config, **properties)


def data(rows: Iterable[dict[str, Any]]) -> Any:
    """A chart of some rows."""
    return alt.Chart(alt.Data(values=list(rows)))


def scale(low: float, high: float) -> alt.Scale:
    """A scale with exactly these ends."""
    return alt.Scale(domain=[low, high], nice=False, zero=False)


def text(
    base: Any, colour: str, *, ground: str = PALETTE.ground, x: str = "x:Q", **place: Any
) -> list[Any]:
    """A text with an outline in the background's colour, which hides lines below it."""
    rim = base.mark_text(stroke=ground, strokeWidth=4, strokeJoin="round", **place)
    return [
        mark.encode(alt.Text("name:N"), alt.X(x))
        for mark in (rim, base.mark_text(color=colour, **place))
    ]


def labels_axis(labels: LabelsAxis, width: int) -> alt.X:
    """The axis of labels on a plot of a width in pixels."""
    count = f"format(round(pow({labels.last}, datum.value)), ',')"
    axis = alt.Axis(
        values=[labels.place(n) for n in labels.ticks(few=width < NARROW)],
        labelExpr=f"datum.value > 0 ? {count} : '0'",
        labelOverlap=False,
        title="labels (logarithmic)",
        grid=False,
    )
    return alt.X("x:Q", axis=axis, scale=scale(0, 1))


def _value_axis(frame: Frame) -> alt.Y:
    number = f",.{frame.decimals}f"
    axis = alt.Axis(
        values=frame.ticks, format=number, title=None, domain=False, ticks=False, labelPadding=7
    )
    top = frame.top + HEADROOM * (frame.top - frame.bottom)
    return alt.Y("y:Q", axis=axis, scale=scale(frame.lane(1), top))


def _curve(answer: Forecast, frame: Frame) -> list[Any]:
    place = frame.labels.place
    base = data(
        {"x": place(b.n), "y": b.low, "high": b.high, "mean": b.mean, "labels": b.n}
        for b in answer.curve
    )
    return [
        base.mark_area(color=frame.colours.accent, opacity=0.16).encode(y2=alt.Y2("high:Q")),
        base.mark_line(color=frame.colours.accent, strokeWidth=2.5).encode(y=alt.Y("mean:Q")),
    ]


def _rules(answer: Forecast, frame: Frame) -> list[Any]:
    """Zero-shot, ceiling and target, each a line with its name."""
    by_score = answer.curve_unit == "score"
    zero, top = (answer.zero_shot, answer.ceiling) if by_score else (None, None)
    best = "lowest value" if answer.lower_is_better else "ceiling"
    start, end = 0.0 if zero is None else zero.median, 1.0 if top is None else top.median
    target = target_value(answer)
    # The name of the higher line is above it and that of the lower one below: neither is crossed.
    higher = target is None or end >= target
    lines = [
        *_line(frame, start, end_in_words("zero-shot", zero), "right", _ABOVE),
        *_line(frame, end, end_in_words(best, top), "left", _ABOVE if higher else _BELOW),
    ]
    if target is not None and target >= frame.bottom:
        place = _BELOW if higher else _ABOVE
        lines += _line(frame, target, target_in_words(answer), "left", place, of_target=True)
    return lines


def _line(
    frame: Frame, value: float, name: str, side: str, dy: int, *, of_target: bool = False
) -> list[Any]:
    accent, muted = frame.colours.accent, frame.colours.muted
    colour, dash = (accent, [6, 4]) if of_target else (muted, [2, 3])
    base = data([{"x": 0.0, "end": 1.0, "y": value, "name": name}])
    rule = base.mark_rule(color=colour, strokeDash=dash, strokeWidth=1.2).encode(x2=alt.X2("end:Q"))
    x, dx = ("x:Q", 4) if side == "left" else ("end:Q", -2)
    return [rule, *text(base, colour, ground=frame.colours.ground, x=x, align=side, dx=dx, dy=dy)]


def _needed(answer: Forecast, frame: Frame) -> list[Any]:
    """The labels needed: point, interval and text in a lane below the curve."""
    needed, accent = answer.labels_needed, frame.colours.accent
    low, middle, high = (
        frame.labels.place(answer.horizon if n is None else n)
        for n in (needed.low, needed.point, needed.high)
    )
    name, lane = needed_in_words(answer), frame.lane(0.76)
    words = data([{"x": frame.inside(middle, name), "y": frame.lane(0.42), "name": name}])
    layers = text(words, accent, ground=frame.colours.ground, align="center")
    if answer.answered_by == ("zero-shot",):
        return layers
    bar = data([{"x": low, "end": high, "y": lane}]).encode(x2=alt.X2("end:Q"))
    layers.append(bar.mark_rule(color=accent, strokeWidth=6, opacity=0.35, strokeCap="round"))
    point = {"filled": True, "color": accent, "opacity": 1}
    if needed.high is None:
        layers.append(
            data([{"x": high, "y": lane}]).mark_point(shape="triangle-right", size=110, **point)
        )
    if needed.point is not None:
        target = target_value(answer)
        # The line ends above the text.
        drop = data([{"x": middle, "y": frame.lane(0.2), "lane": lane, "high": target}])
        if target is not None:
            line = drop.mark_rule(color=accent, strokeDash=[2, 3], strokeWidth=1.2)
            layers.append(line.encode(y2=alt.Y2("high:Q")))
        layers.append(drop.mark_point(size=90, **point).encode(y=alt.Y("lane:Q")))
    return layers


def _scores(answer: Forecast, frame: Frame) -> list[Any]:
    """Observed scores with the interval of their noise; a few have their values written."""
    scores, ink, ground = observed(answer), frame.colours.ink, frame.colours.ground
    place = frame.labels.place
    start = answer.zero_shot if answer.curve_unit == "score" else None
    layers = []
    if start is not None and start.known:
        at = data([{"x": 0.0, "y": start.median}])
        layers.append(at.mark_point(filled=True, color=ink, stroke=ground, size=70, opacity=1))
    base = data(
        {"x": place(o.n), "y": o.score, "low": o.low, "high": o.high}
        | {"name": f"{shown(o.score)} at {o.n:,}"}
        for o in scores
    )
    bars = base.encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q"))
    if len(scores) > MOST_NAMED:
        return [
            *layers,
            bars.mark_rule(color=ink, strokeWidth=1, opacity=0.3),
            base.mark_point(filled=True, color=ink, size=20, opacity=0.6),
        ]
    return [
        *layers,
        bars.mark_rule(color=ink, strokeWidth=1.5),
        base.mark_point(filled=True, color=ink, stroke=ground, size=70, opacity=1),
        *text(base, ink, ground=ground, align="left", dx=9, dy=12),
    ]
