"""How scores of labels that a method chose differed from those of random labels on our own tasks.

`python -m evidence.selection.trial --ship` writes `measured.json`.
"""

from __future__ import annotations

import math
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from pydantic import TypeAdapter


class MeanDifference(NamedTuple):
    """Chosen labels minus random ones: the mean over tasks and the ends of its 90% interval."""

    mean: float
    low: float
    high: float

    def text(self) -> str:
        """The mean with its interval, for a sentence."""
        return f"{self.mean:+.3f} ({self.low:+.3f} to {self.high:+.3f})"


class BudgetEffect(NamedTuple):
    """At one number of labels: the difference of the score, and of the rise to the last budget."""

    score: MeanDifference
    rise: MeanDifference


class MeasuredEffects(NamedTuple):
    """What was measured.

    Attributes:
        setting: with which model and recipe, in words.
        tasks: how many.
        methods: by name, the differences by budget, in rising order.
    """

    setting: str
    tasks: int
    methods: dict[str, dict[int, BudgetEffect]]


@cache
def measured() -> MeasuredEffects:
    """The shipped measurements."""
    content = files("labelcast.selection").joinpath("measured.json").read_text("utf-8")
    return TypeAdapter(MeasuredEffects).validate_json(content)


def beside_random(method: str, labels: int) -> str:
    """A sentence on how a method's scores differed from random ones at `labels` labels and later.

    Args:
        method: its name; of a method without measurements it says that there are none.
        labels: labels of the last score.
    """
    found = measured()
    by_budget = found.methods.get(method)
    if by_budget is None:
        return f"no curve of labels that {method} chose was measured for comparison"
    nearest = min(by_budget, key=lambda n: abs(math.log(n / max(labels, 1))))
    last = max(by_budget)
    said = (
        f"on {found.tasks} tasks with {found.setting}, {method} with {nearest:,} labels scored "
        f"{by_budget[nearest].score.text()} against random"
    )
    if nearest == last:
        return said
    rise = by_budget[nearest].rise
    said += f", and with {last:,} {by_budget[last].score.text()}"
    if rise.high < 0:
        return f"{said}: expect more labels than the forecast says"
    return f"{said}: expect fewer labels than the forecast says" if rise.low > 0 else said
