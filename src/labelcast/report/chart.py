"""The forecast curve as an altair chart."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from labelcast.forecast.answer import shown
from labelcast.report.frame import (
    HEADROOM,
    PALETTE,
    Frame,
    end_in_words,
    needed_in_words,
    observed,
    target_in_words,
    target_value,
)

if TYPE_CHECKING:
    from altair import LayerChart

    from labelcast.forecast.answer import Forecast

MOST_NAMED = 12
"""With more observed scores than these, their values are not written."""

NARROW = 420
"""Below this width, in pixels, the axis of labels has fewer ticks."""


def plot(answer: Forecast, *, width: int = 640, height: int = 340) -> LayerChart:
    """Plot a forecast as an altair chart: the curve with its band, the target, observed scores.

    The x axis is log2(labels), with 0 in the place of 1, up to 5,000 labels or to the horizon if
    that is more. The AUC is measured on this axis.

    Args:
        answer: the forecast.
        width: of the plot, in pixels.
        height: of the plot, in pixels.

    Examples:
        >>> import labelcast as lc
        >>> chart = plot(lc.forecast(coslow=0.42, calibration="pooled"))
        >>> chart.width
        640
    """
    import altair as alt

    frame = Frame.of(answer, width)
    layers = [
        *_curve(alt, answer, frame),
        *_needed(alt, answer, frame),
        *_rules(alt, answer, frame),
        *_scores(alt, answer, frame),
    ]
    by_score = answer.curve_unit == "score"
    unit = "Score" if by_score else "Gain, from zero-shot (0) to the ceiling (1)"
    return (
        alt.layer(*layers)
        .encode(x=_labels_axis(alt, frame), y=_value_axis(alt, frame))
        .properties(width=width, height=height, title=title(alt, unit), background="transparent")
        .configure_view(stroke=None)
        .configure_text(fontSize=12, color=PALETTE.ink)
    )


def title(alt: Any, text: str) -> Any:
    """A title at the top left that names the y axis."""
    return alt.Title(text, anchor="start", fontSize=12, fontWeight="normal", color=PALETTE.muted)


def axis(alt: Any, **options: Any) -> Any:
    """An axis in the colours of the palette."""
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


def data(alt: Any, rows: list[dict[str, Any]]) -> Any:
    """A chart of some rows."""
    return alt.Chart(alt.Data(values=rows))


def _labels_axis(alt: Any, frame: Frame) -> Any:
    ticks = frame.labels.ticks(few=frame.width < NARROW)
    places = [frame.labels.place(n) for n in ticks]
    names = {round(place, 6): f"{n:,}" for place, n in zip(places, ticks, strict=True)}
    lookup = " : ".join(
        f"datum.value < {(a + b) / 2:.6f} ? '{names[round(a, 6)]}'" for a, b in pairwise(places)
    )
    x = axis(
        alt,
        values=places,
        labelExpr=f"{lookup} : '{ticks[-1]:,}'",
        labelOverlap=False,
        title="labels (logarithmic)",
        grid=False,
    )
    return alt.X("x:Q", axis=x, scale=alt.Scale(domain=[0, 1], nice=False, zero=False))


def _value_axis(alt: Any, frame: Frame) -> Any:
    span = frame.top - frame.bottom
    y = axis(
        alt,
        values=frame.ticks,
        format=f",.{frame.decimals}f",
        title=None,
        domain=False,
        ticks=False,
    )
    domain = [frame.lane(1), frame.top + HEADROOM * span]
    return alt.Y("y:Q", axis=y, scale=alt.Scale(domain=domain, nice=False, zero=False))


def _curve(alt: Any, answer: Forecast, frame: Frame) -> list[Any]:
    place = frame.labels.place
    rows = [
        {"x": place(b.n), "y": b.low, "high": b.high, "mean": b.mean, "labels": b.n}
        for b in answer.curve
    ]
    base = data(alt, rows)
    return [
        base.mark_area(color=PALETTE.accent, opacity=0.16).encode(y2="high:Q"),
        base.mark_line(color=PALETTE.accent, strokeWidth=2.5).encode(y="mean:Q"),
    ]


def _rules(alt: Any, answer: Forecast, frame: Frame) -> list[Any]:
    """Zero-shot, ceiling and target, each a line with its name."""
    by_score = answer.curve_unit == "score"
    zero, top = (answer.zero_shot, answer.ceiling) if by_score else (None, None)
    best = "lowest value" if answer.lower_is_better else "ceiling"
    lines = [
        *_line(alt, 0.0 if zero is None else zero.median, end_in_words("zero-shot", zero), "right"),
        *_line(alt, 1.0 if top is None else top.median, end_in_words(best, top), "left"),
    ]
    target = target_value(answer)
    if target is not None and target >= frame.bottom:
        lines += _line(alt, target, target_in_words(answer), "left", of_target=True)
    return lines


def _line(alt: Any, value: float, name: str, side: str, *, of_target: bool = False) -> list[Any]:
    colour = PALETTE.accent if of_target else PALETTE.muted
    base = data(alt, [{"x": 0.0, "end": 1.0, "y": value, "name": name}])
    dash = [6, 4] if of_target else [2, 3]
    rule = base.mark_rule(color=colour, strokeDash=dash, strokeWidth=1.2).encode(x2="end:Q")
    place = {"align": side, "dx": 4 if side == "left" else -2, "dy": 11 if of_target else -9}
    return [rule, *text(base, place, colour, x="x:Q" if side == "left" else "end:Q")]


def text(base: Any, place: dict[str, Any], colour: str, *, x: str = "x:Q") -> list[Any]:
    """A text with an outline in the background's colour, which hides lines below it."""
    rim = base.mark_text(stroke=PALETTE.ground, strokeWidth=4, strokeJoin="round", **place)
    return [
        mark.encode(text="name:N", x=x) for mark in (rim, base.mark_text(color=colour, **place))
    ]


def _needed(alt: Any, answer: Forecast, frame: Frame) -> list[Any]:
    """The labels needed: point, interval and text in a lane below the curve."""
    needed = answer.labels_needed
    ends = (needed.low, needed.point, needed.high)
    place = frame.labels.place
    low, middle, high = (place(answer.horizon if n is None else n) for n in ends)
    name = needed_in_words(answer)
    words = data(alt, [{"x": frame.inside(middle, name), "y": frame.lane(0.42), "name": name}])
    lane = frame.lane(0.76)
    layers = text(words, {"align": "center"}, PALETTE.accent)
    if answer.answered_by == ("zero-shot",):
        return layers
    bar = data(alt, [{"x": low, "end": high, "y": lane}]).mark_rule(
        color=PALETTE.accent, strokeWidth=6, opacity=0.35, strokeCap="round"
    )
    layers.append(bar.encode(x2="end:Q"))
    open_end = data(alt, [{"x": high, "y": lane}] if needed.high is None else [])
    layers.append(
        open_end.mark_point(
            shape="triangle-right", filled=True, color=PALETTE.accent, size=110, opacity=1
        )
    )
    if needed.point is not None:
        target = target_value(answer)
        # The line ends above the text.
        drop = [{"x": middle, "y": frame.lane(0.2), "lane": lane, "high": target}]
        if target is not None:
            line = data(alt, drop).mark_rule(
                color=PALETTE.accent, strokeDash=[2, 3], strokeWidth=1.2
            )
            layers.append(line.encode(y2="high:Q"))
        median = data(alt, drop).mark_point(filled=True, color=PALETTE.accent, size=90, opacity=1)
        layers.append(median.encode(y="lane:Q"))
    return layers


def _scores(alt: Any, answer: Forecast, frame: Frame) -> list[Any]:
    """Observed scores with the interval of their noise; a few have their values written."""
    scores = observed(answer)
    rows = [
        {
            "x": frame.labels.place(o.n),
            "y": o.score,
            "low": o.low,
            "high": o.high,
            "name": f"{shown(o.score)} at {o.n:,}",
        }
        for o in scores
    ]
    base = data(alt, rows)
    if len(scores) > MOST_NAMED:
        return [
            base.mark_rule(color=PALETTE.ink, strokeWidth=1, opacity=0.3).encode(
                y="low:Q", y2="high:Q"
            ),
            base.mark_point(filled=True, color=PALETTE.ink, size=20, opacity=0.6),
        ]
    return [
        base.mark_rule(color=PALETTE.ink, strokeWidth=1.5).encode(y="low:Q", y2="high:Q"),
        base.mark_point(filled=True, color=PALETTE.ink, stroke=PALETTE.ground, size=70, opacity=1),
        *text(base, {"align": "left", "dx": 9, "dy": 12}, PALETTE.ink),
    ]
