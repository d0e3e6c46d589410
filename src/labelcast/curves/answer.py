"""The answer of a forecast: its numbers, as JSON-ready fields and as one plain sentence.

Knows the form of the answer, not how it was found.
"""

from dataclasses import asdict, dataclass
from typing import Any

from labelcast.curves.efficiency import LARGEST_BUDGET


@dataclass(frozen=True)
class Interval:
    """A mean with the ends of its interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class LabelsNeeded:
    """Labels for the target: quantiles (None: not within 5,000) and the chance that 5,000 do."""

    median: int | None
    low: int | None
    high: int | None
    reachable: float


@dataclass(frozen=True)
class CurveBand:
    """The forecast curve at one budget, in the unit that `Forecast.curve_unit` says."""

    n: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class AtBudget:
    """The reverse question: the curve at a budget, and the chance that the target is met there."""

    n: int
    mean: float
    low: float
    high: float
    chance: float


@dataclass(frozen=True)
class PowerLaw:
    """The paper's one-shot figure, without an interval."""

    auc: float
    exponent: float
    labels_needed: int


@dataclass(frozen=True)
class Target:
    """What was asked for: as a fraction of the gain and, where both ends are known, as a score."""

    gain: float
    score: float | None
    zero_shot: float | None
    ceiling: float | None


@dataclass(frozen=True)
class Forecast:
    """How many labels a task needs.

    Attributes:
        level: of every interval.
        auc: data efficiency.
        labels_needed: for the target.
        at_budget: the reverse question, where a budget was given.
        next_budget: the budget to label up to and train at next; None where the target is met.
        curve: the forecast at 0, 50, ... 5,000 labels.
        curve_unit: "score" where zero-shot and ceiling are known, else "gain"; of `curve` and
            `at_budget`.
        calibration: name of the card used, None without CoS-Low.
        warnings: in words.
        power_law: the paper's figure, None without CoS-Low or where no labels are needed.
        target: what was asked for.
        answered_by: what the answer rests on: "coslow", "scores", "prior" (the published curves),
            or "zero-shot" alone where it meets the target.
    """

    level: float
    auc: Interval
    labels_needed: LabelsNeeded
    at_budget: AtBudget | None
    next_budget: int | None
    curve: tuple[CurveBand, ...]
    curve_unit: str
    calibration: str | None
    warnings: tuple[str, ...]
    power_law: PowerLaw | None
    target: Target
    answered_by: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as JSON-ready fields: dicts, lists, numbers, strings and None."""
        fields = asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}

    def sentence(self) -> str:
        """Return the answer as one plain sentence."""
        needed = self.labels_needed
        if self.answered_by == ("zero-shot",):
            return (
                f"None needed: zero-shot ({self.target.zero_shot:.3g}) already meets the target "
                f"({self.target.score:.3g})."
            )
        ending = (
            f"({100 * self.level:.4g}% interval); chance that {LARGEST_BUDGET:,} suffice: "
            f"{_chance(needed.reachable)}."
        )
        if needed.median is None:
            at_least = "" if needed.low is None else f", and {_rounded(needed.low)} at the least"
            return f"Probably not within {LARGEST_BUDGET:,} labels{at_least} {ending}"
        return f"You will need about {_rounded(needed.median)} labels, {_between(needed)} {ending}"


def _between(needed: LabelsNeeded) -> str:
    low = "0" if needed.low is None else _rounded(needed.low)
    if needed.high is None:
        return f"at least {low} and perhaps more than {LARGEST_BUDGET:,}"
    return f"between {low} and {_rounded(needed.high)}"


def _rounded(labels: int) -> str:
    """Write labels with two digits that mean something."""
    step = 10 ** max(len(str(labels)) - 2, 0)
    return f"{round(labels / step) * step:,}"


def _chance(share: float) -> str:
    """Write a chance in whole percent; sampled curves never make it 0 or 1."""
    if share > 0.99:
        return "over 99%"
    if share < 0.01:
        return "under 1%"
    return f"{share:.0%}"
