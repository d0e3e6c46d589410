"""Scores as a user gives them: their scale and their checks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, get_args

from labelcast.errors import InputError
from labelcast.forecast.options import (
    LARGEST_HORIZON,
    LARGEST_SIZE,
    Metric,
    Options,
    checked_amount,
    checked_count,
    checked_number,
)

LARGEST_LOSS = 3.0
"""Larger losses are scaled down to this one."""


@dataclass(frozen=True)
class Scale:
    """The scale on which the user's scores are, and its way to 0 to 1, higher is better.

    Attributes:
        metric: what kind of score it is.
        top: the largest value of a score or an error rate, such as 1 or 100.
        unit: unit of a loss, which becomes exp(-loss / unit): 1 where the largest loss is of a
            size that the prior knows, 0.5 to `LARGEST_LOSS`.
    """

    metric: Metric = "score"
    top: float = 1.0
    unit: float = 1.0

    def for_losses(self, values: Sequence[float]) -> "Scale":
        """Return the scale with a unit that suits these losses."""
        largest = max(values, default=0.0)
        if self.metric != "loss" or largest <= 0:
            return self
        return replace(self, unit=largest / min(max(largest, 0.5), LARGEST_LOSS))

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
            InputError: it is not a finite number, or is not on the scale.
        """
        number = checked_number(option, value)
        if self.metric == "loss":
            if number < 0:
                raise InputError(f"{option}: a loss is 0 or more, not {number:g}")
            return number
        if not 0 <= number <= self.top:
            hint = " (of a correlation r give (r + 1) / 2)" if -1 <= number < 0 else ""
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


def scale_of(options: Options) -> Scale:
    """Return the scale that the options of a forecast describe.

    Raises:
        InputError: one is wrong, or contradicts another.
    """
    falls, metric = options.get("lower_is_better", False), options.get("metric")
    if not isinstance(falls, bool):
        raise InputError(f"--lower-is-better: expected true or false, not {falls!r}")
    if metric is not None and metric not in get_args(Metric):
        raise InputError(f"--metric: expected one of {', '.join(get_args(Metric))}, not {metric!r}")
    scale = options.get("scale")
    top = 1.0 if scale is None else checked_number("--scale", scale)
    if top <= 0:
        raise InputError(f"--scale: expected the largest value of a score, such as 100, not {top}")
    if metric is None and falls:
        metric = "loss" if scale is None else "error"
    if metric == "score" and falls:
        raise InputError("--metric score rises; with --lower-is-better give --metric error or loss")
    if metric == "loss" and scale is not None:
        raise InputError("--scale: a loss has no largest value; for an error rate: --metric error")
    return Scale(metric or "score", top)


def checked_entry(where: str, values: Sequence[Any], on: Scale) -> GivenScore:
    """Return an observed score on the user's scale.

    Args:
        where: the place it comes from, for the message.
        values: labels and score, and where known the sd of all its noise and its test size.
        on: the user's scale.

    Raises:
        InputError: one of the values is wrong.
    """
    n, score, sd, size = (*values, None, None)[:4]
    number = checked_count(f"{where}: the labels", _whole(n), 0, LARGEST_HORIZON)
    if number is None or score is None:
        raise InputError(f"{where}: expected a budget and a score, N=SCORE")
    return GivenScore(
        number,
        on.check(where, score),
        checked_amount(f"{where}: the sd", sd, "an sd"),
        checked_count(f"{where}: the test size", _whole(size), 1, LARGEST_SIZE),
    )


def _whole(value: Any) -> Any:
    """Return 50.0, as many programs write a count, as 50."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
