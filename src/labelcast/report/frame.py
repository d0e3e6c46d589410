"""What a chart of a forecast shows and where: its colours, its scale, its words.

Knows a forecast. Does not know altair.
"""

from __future__ import annotations

from math import ceil, floor
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

from labelcast.forecast.efficiency import LARGEST_BUDGET

if TYPE_CHECKING:
    from labelcast.forecast.answer import End, Forecast

_LANE = 0.22
HEADROOM = 0.07
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25)
_LETTER = 6.1
"""Width of a letter of a label, in pixels, on average."""


class Palette(NamedTuple):
    """The colours of a chart."""

    ink: str = "#1b2026"
    muted: str = "#5a646f"
    faint: str = "#dde1e6"
    accent: str = "#1a5fa8"
    ground: str = "#ffffff"


PALETTE = Palette()


class Frame(NamedTuple):
    """Where things lie in the plot.

    Attributes:
        bottom, top: the values of the curve between which it is drawn.
        step: between two ticks.
        width: of the plot, in pixels.
    """

    bottom: float
    top: float
    step: float
    width: int

    @classmethod
    def of(cls, answer: Forecast, width: int) -> Frame:
        """The frame that holds all that is drawn of an answer."""
        if answer.curve_unit == "gain":
            return cls(0.0, 1.0, 0.2, width)
        values = [value for band in answer.curve for value in band[1:]]
        values += [value for o in observed(answer) for value in (o.low, o.high)]
        values += [e.median for e in (answer.zero_shot, answer.ceiling) if e is not None]
        values += [] if answer.target.score is None else [answer.target.score]
        low, high = min(values), max(values)
        step = next((s for s in _STEPS if (high - low) / s <= 6), _STEPS[-1])
        bottom, top = floor(low / step + 1e-9) * step, ceil(high / step - 1e-9) * step
        return cls(bottom, max(top, bottom + step), step, width)

    @property
    def ticks(self) -> list[float]:
        """Values of the axis."""
        count = round((self.top - self.bottom) / self.step)
        return [round(self.bottom + i * self.step, 4) for i in range(count + 1)]

    def lane(self, share: float) -> float:
        """A value within the lane of the labels needed, which lies below the curve."""
        return self.bottom - share * _LANE * (self.top - self.bottom)

    def inside(self, x: float, text: str) -> float:
        """The position nearest to x at which a centred text stays within the plot."""
        half = min(0.5, _LETTER * len(text) / 2 / self.width)
        return min(max(x, half), 1 - half)


class ObservedScore(NamedTuple):
    """An observed score with the interval of its noise, within 0 and 1."""

    n: int
    score: float
    low: float
    high: float


def observed(answer: Forecast) -> list[ObservedScore]:
    """Observed scores with the interval that their noise gives them, at the answer's level."""
    quantile = NormalDist().inv_cdf((1 + answer.level) / 2)
    found = []
    for o in answer.observations:
        low, high = (min(max(o.score + s * quantile * o.sd, 0.0), 1.0) for s in (-1, 1))
        found.append(ObservedScore(int(o.budget), o.score, low, high))
    return found


def needed_in_words(answer: Forecast) -> str:
    """The labels needed with their interval, as the chart names them."""
    needed = answer.labels_needed
    if answer.answered_by == ("zero-shot",):
        return "no labels needed"
    more = f"more than {LARGEST_BUDGET:,}"
    ends = [more if n is None else f"{n:,}" for n in (needed.median, needed.low, needed.high)]
    interval = f"{ends[1]} to {ends[2]}" if ends[1] != ends[2] else ends[1]
    return f"{ends[0]} labels ({interval})" if interval != ends[0] else f"{ends[0]} labels"


def target_in_words(answer: Forecast) -> str:
    """The target as the chart names it."""
    gain, score = answer.target.gain, answer.target.score
    by_score = answer.curve_unit == "score" and score is not None
    parts = [f"{score:.3g}"] if by_score else []
    parts += [f"{gain:.3g} of the gain"] if gain is not None and gain > 0 else []
    return f"target {parts[0]}" + (f" ({parts[1]})" if len(parts) > 1 else "")


def end_in_words(name: str, end: End | None) -> str:
    """Zero-shot or the ceiling as the chart names it."""
    if end is None:
        return name
    if end.known:
        return f"{name} {end.median:.3g}"
    return f"{name}, unknown: {end.low:.2f} to {end.high:.2f}"
