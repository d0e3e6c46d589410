"""What a chart of a forecast shows and where: its colours, scales and texts."""

from __future__ import annotations

from math import ceil, floor, log10
from typing import TYPE_CHECKING, NamedTuple

from labelcast.forecast.distributions import normal_quantile
from labelcast.forecast.efficiency import log_position
from labelcast.forecast.wording import shown

if TYPE_CHECKING:
    from labelcast.forecast.answer import End, Forecast

_LANE, HEADROOM = 0.22, 0.07
_TICKS = 6
"""The most steps on the axis of scores."""

_FAR = 10_000
"""Beyond this many labels the ticks are powers of ten."""
_LETTER = 6.1
"""Mean width of a letter, in pixels."""


class Palette(NamedTuple):
    """The colours of a chart."""

    ink: str = "#1b2026"
    muted: str = "#5a646f"
    faint: str = "#dde1e6"
    accent: str = "#1a5fa8"
    ground: str = "#ffffff"


PALETTE = Palette()


class LabelsAxis(NamedTuple):
    """The axis of labels: log2(labels), with 0 in place of 1, from 0 to `last` labels."""

    last: int

    @classmethod
    def of(cls, answer: Forecast) -> LabelsAxis:
        """The axis that ends with the forecast's curve."""
        return cls(answer.curve[-1].n)

    def place(self, n: float) -> float:
        """The position of a number of labels, from 0 to 1."""
        return float(log_position(min(n, self.last)) / log_position(self.last))

    def ticks(self, *, few: bool = False) -> list[int]:
        """Numbers of labels at the ticks."""
        if self.last > _FAR:
            ticks = [0, *(10**power for power in ((2, 4, 6) if few else range(1, 7)))]
        else:
            ticks = [0, 50, 200, 1000, 5000] if few else [0, 10, 50, 100, 200, 500, 1000, 5000]
        return [n for n in ticks if n <= self.last]


class Frame(NamedTuple):
    """Where things are in the plot, and its colours: axes, step between ticks, width in pixels."""

    bottom: float
    top: float
    step: float
    width: int
    labels: LabelsAxis
    colours: Palette

    @classmethod
    def of(cls, answer: Forecast, width: int, colours: Palette = PALETTE) -> Frame:
        """The frame that fits everything drawn of a forecast."""
        if answer.curve_unit == "gain":
            return cls(0.0, 1.0, 0.2, width, LabelsAxis.of(answer), colours)
        values = [value for band in answer.curve for value in band[1:]]
        values += [value for o in observed(answer) for value in (o.low, o.high)]
        values += [e.median for e in (answer.zero_shot, answer.ceiling) if e is not None]
        values += [] if answer.target.score is None else [answer.target.score]
        low, high = min(values), max(values)
        step = _step(high - low)
        bottom, top = floor(low / step + 1e-9) * step, ceil(high / step - 1e-9) * step
        return cls(bottom, max(top, bottom + step), step, width, LabelsAxis.of(answer), colours)

    @property
    def ticks(self) -> list[float]:
        """Values at the ticks of the curve's axis."""
        count = round((self.top - self.bottom) / self.step)
        return [round(self.bottom + i * self.step, self.decimals) for i in range(count + 1)]

    @property
    def decimals(self) -> int:
        """Decimals of the ticks."""
        return max(-floor(log10(self.step) + 1e-9), 0)

    def lane(self, share: float) -> float:
        """A height in the lane of the labels needed, below the curve: 0 is its top, 1 its end."""
        return self.bottom - share * _LANE * (self.top - self.bottom)

    def inside(self, x: float, text: str) -> float:
        """The position nearest to x at which a centred text stays within the plot."""
        half = min(0.5, _LETTER * len(text) / 2 / self.width)
        return min(max(x, half), 1 - half)


def _step(span: float) -> float:
    """The smallest step of 1, 2 or 5 times a power of ten that gives few ticks."""
    power = 10.0 ** floor(log10(max(span, 0.01) / _TICKS))
    return next(m * power for m in (1, 2, 5, 10) if span / (m * power) <= _TICKS)


class ScoreBand(NamedTuple):
    """An observed score with the interval of its noise."""

    n: int
    score: float
    low: float
    high: float


def observed(answer: Forecast) -> list[ScoreBand]:
    """The observed scores with the intervals of their noise, at the forecast's level."""
    quantile = normal_quantile((1 + answer.level) / 2)
    # Scores are at least 0, and at most 1 unless the forecast itself goes above 1.
    above = answer.lower_is_better or max(band.high for band in answer.curve) > 1
    most = float("inf") if above else 1.0
    bands = []
    for o in answer.observations:
        noise = quantile * o.sd
        ends = max(o.score - noise, 0.0), min(o.score + noise, most)
        bands.append(ScoreBand(int(o.budget), o.score, *ends))
    return bands


def target_value(answer: Forecast) -> float | None:
    """The target in the unit of the curve, None if unknown."""
    return answer.target.score if answer.curve_unit == "score" else answer.target.gain


def needed_in_words(answer: Forecast) -> str:
    """The labels needed with their interval, as in the chart."""
    needed = answer.labels_needed
    if answer.answered_by == ("zero-shot",):
        return "no labels needed"
    more = f"more than {answer.horizon:,}"
    point, low, high = (
        more if n is None else f"{n:,}" for n in (needed.point, needed.low, needed.high)
    )
    interval = f"{low} to {high}" if low != high else low
    return f"{point} labels" + (f" ({interval})" if interval != point else "")


def target_in_words(answer: Forecast) -> str:
    """The target, as in the chart."""
    gain, score = answer.target.gain, answer.target.score
    by_score = answer.curve_unit == "score" and score is not None
    parts = [shown(score)] if by_score else []
    parts += [f"{shown(gain)} of the gain"] if gain is not None and gain > 0 else []
    return f"target {parts[0]}" + (f" ({parts[1]})" if len(parts) > 1 else "")


def end_in_words(name: str, end: End | None) -> str:
    """Zero-shot or the ceiling, as in the chart."""
    if end is None:
        return name
    if end.known:
        return f"{name} {shown(end.median)}"
    return f"{name}, unknown: {shown(end.low)} to {shown(end.high)}"
