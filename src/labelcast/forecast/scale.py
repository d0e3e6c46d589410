"""The scale of a user's scores, and the checks of numbers that a user gives."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, NamedTuple, get_args

from labelcast.errors import InputError
from labelcast.forecast.options import Metric
from labelcast.forecast.particles import LARGEST_HORIZON

LARGEST_SIZE = 10**12
"""No test set is larger."""

LEVELS = (0.001, 0.999)
"""Within these the quantiles are good to the digits that are printed."""


@dataclass(frozen=True)
class Scale:
    """The scale on which the user's scores are, and its way to 0 to 1, higher is better.

    Attributes:
        metric: what kind of score it is.
        top: the largest value of a score or an error rate, such as 1 or 100.
        unit: of a loss, which becomes exp(-loss / unit): one where losses are of the size that the
            prior knows, 0.5 to 5.
    """

    metric: Metric = "score"
    top: float = 1.0
    unit: float = 1.0

    def for_losses(self, values: Sequence[float]) -> "Scale":
        """Return the scale with a unit that suits these losses."""
        largest = max(values, default=0.0)
        if self.metric != "loss" or largest <= 0:
            return self
        return replace(self, unit=largest / min(max(largest, 0.5), 5.0))

    @property
    def falls(self) -> bool:
        """Whether lower is better."""
        return self.metric != "score"

    def to_unit(self, value: float) -> float:
        """Return a value as a score from 0 to 1."""
        if self.metric == "loss":
            return math.exp(-value / self.unit)
        share = value / self.top
        return 1 - share if self.metric == "error" else share

    def from_unit(self, score: float) -> float:
        """Return a score from 0 to 1 on the user's scale."""
        if self.metric == "loss":
            return abs(math.log(max(score, 1e-300))) * self.unit
        return self.top * (1 - score if self.metric == "error" else score)

    def sd_to_unit(self, sd: float, value: float) -> float:
        """Return the sd of a value as that of a score from 0 to 1."""
        if self.metric == "loss":
            return sd / self.unit * math.exp(-value / self.unit)
        return sd / self.top

    def sd_from_unit(self, sd: float, score: float) -> float:
        """Return the sd of a score from 0 to 1 on the user's scale."""
        return sd / max(score, 1e-300) * self.unit if self.metric == "loss" else sd * self.top

    def check(self, option: str, value: Any) -> float:
        """Return a value of this scale.

        Raises:
            InputError: it is no finite number, or does not lie on the scale.
        """
        number = checked_number(option, value)
        if self.metric == "loss":
            if number < 0:
                raise InputError(f"{option}: a loss is 0 or more, not {number:g}")
            return number
        if not 0 <= number <= self.top:
            hint = ""
            if self.top == 1 and 1 < number <= 100:
                hint = f" (for {number:g}% give {number / 100:g}, or --scale 100)"
            raise InputError(
                f"{option}: a score lies between 0 and {self.top:g}, not {number:g}{hint}"
            )
        return number


class GivenScore(NamedTuple):
    """An observed score on the user's scale, with the sd of all its noise and its test size."""

    n: int
    score: float
    sd: float | None = None
    size: int | None = None


def scale_of(
    scale: float | None = None, lower_is_better: bool = False, metric: Metric | None = None
) -> Scale:
    """Return the scale that these options of a forecast describe.

    Raises:
        InputError: one is wrong, or contradicts another.
    """
    if not isinstance(lower_is_better, bool):
        raise InputError(f"--lower-is-better: expected true or false, not {lower_is_better!r}")
    if metric is not None and metric not in get_args(Metric):
        raise InputError(f"--metric: expected one of {', '.join(get_args(Metric))}, not {metric!r}")
    top = 1.0 if scale is None else checked_number("--scale", scale)
    if not 0 < top < math.inf:
        raise InputError(f"--scale: expected the largest value of a score, such as 100, not {top}")
    if metric is None:
        bounded: Metric = "error" if scale is not None else "loss"
        metric = bounded if lower_is_better else "score"
    if metric == "score" and lower_is_better:
        raise InputError("--metric score rises; with --lower-is-better give --metric error or loss")
    if metric == "loss" and scale is not None:
        raise InputError("--scale: a loss has no largest value; for an error rate: --metric error")
    return Scale(metric, top)


def checked_entry(where: str, values: Sequence[Any], on: Scale) -> GivenScore:
    """Return an observed score on the user's scale.

    Args:
        where: it comes from, for the message.
        values: labels and score, and where known the sd of all its noise and its test size.
        on: the user's scale.

    Raises:
        InputError: one of the values is wrong.
    """
    n, score, sd, size = (*values, None, None)[:4]
    number = checked_count(f"{where}: the budget", n, 0, LARGEST_HORIZON)
    if number is None or score is None:
        raise InputError(f"{where}: expected a budget and a score, N=SCORE")
    return GivenScore(
        number,
        on.check(where, score),
        checked_sd(f"{where}: the sd", sd),
        checked_count(f"{where}: the test size", size, 1, LARGEST_SIZE),
    )


def checked_sd(option: str, value: Any) -> float | None:
    """Return how much a score errs; None stays None."""
    if value is None:
        return None
    sd = checked_number(option, value)
    if sd < 0:
        raise InputError(f"{option}: an sd is 0 or more, not {sd:g}")
    return sd


def checked_level(value: Any) -> float:
    """Return the level of the intervals.

    Raises:
        InputError: it is no number within `LEVELS`.
    """
    level = checked_number("--level", value)
    if not LEVELS[0] <= level <= LEVELS[1]:
        raise InputError(
            f"--level: lies within {LEVELS[0]} to {LEVELS[1]} (say 0.9), not {level:.17g}"
        )
    return level


def checked_number(option: str, value: Any) -> float:
    """Return a finite number."""
    if isinstance(value, Real) and not isinstance(value, bool):
        with suppress(OverflowError):  # a whole number of hundreds of digits
            if math.isfinite(value):
                return float(value)
    raise InputError(f"{option}: expected a finite number, not {value!r:.60}")


def checked_count(option: str, value: Any, least: int, most: int) -> int | None:
    """Return a whole number within bounds; None stays None."""
    if value is None:
        return None
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or not least <= value <= most:
        raise InputError(
            f"{option}: expected a whole number from {least:,} to {most:,}, not {value!r}"
        )
    return int(value)
