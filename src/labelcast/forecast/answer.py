"""The answer of a forecast: its numbers, as JSON-ready fields, as one plain sentence, as HTML.

Knows the form of the answer, not how it was found.
"""

from dataclasses import dataclass, fields
from html import escape
from typing import Any, NamedTuple

from labelcast.forecast.efficiency import LARGEST_BUDGET
from labelcast.forecast.observed import ScoreObservation


class Interval(NamedTuple):
    """A central value with the ends of its interval.

    `mean` is the median of the sampled curves, the best guess and never outside the interval; of an
    AUC that rests on CoS-Low alone it is the calibration's prediction.
    """

    mean: float
    low: float
    high: float


class LabelsNeeded(NamedTuple):
    """Labels for the target: quantiles (None: not within 5,000) and the chance that 5,000 do.

    `if_reached` is the median given that 5,000 do suffice, None where they hardly can. Of a harder
    target fewer curves reach it at all, so that it may fall as the target rises; the quantiles
    never do.
    """

    median: int | None
    low: int | None
    high: int | None
    reachable: float
    if_reached: int | None


class CurveBand(NamedTuple):
    """The forecast curve at one budget, in the unit that `Forecast.curve_unit` says."""

    n: int
    mean: float
    low: float
    high: float


class AtBudget(NamedTuple):
    """The reverse question: the curve at a budget, and the chance that the target is met there."""

    n: int
    mean: float
    low: float
    high: float
    chance: float


class PowerLaw(NamedTuple):
    """The paper's one-shot figure, without an interval."""

    auc: float
    exponent: float
    labels_needed: int


class Target(NamedTuple):
    """What was asked for: as a fraction of the gain and as a score, each where it is known."""

    gain: float | None
    score: float | None
    zero_shot: float | None
    ceiling: float | None


class End(NamedTuple):
    """Zero-shot or the ceiling: known, or with the interval it probably lies in."""

    known: bool
    median: float
    low: float
    high: float


class Shares(NamedTuple):
    """How much of the answer comes from where; the three sum to 1.

    Of the variance that the prior leaves to the data efficiency, the share that CoS-Low removes and
    that the observed scores remove, each averaged over which of the two is heard first; `prior` is
    the share that stays, where only the prior says what is likely.
    """

    coslow: float
    scores: float
    prior: float


@dataclass(frozen=True)
class Forecast:
    """How many labels a task needs.

    Attributes:
        level: of every interval.
        auc: data efficiency.
        labels_needed: for the target.
        at_budget: the reverse question, where a budget was given.
        met: whether zero-shot or an observed score meets the target already.
        next_budget: the budget to label up to and train at next; None where the target is met, or
            where more labels are not worth what they cost.
        curve: the forecast at 0, 50, ... 5,000 labels.
        curve_unit: "score" where zero-shot, an observed score or a target score is known, else
            "gain"; of `curve` and `at_budget`.
        calibration: name of the card used, None without CoS-Low.
        warnings: in words.
        power_law: the paper's figure, None without CoS-Low or where no labels are needed.
        target: what was asked for.
        answered_by: what the answer rests on: "coslow", "scores", "prior" (the published curves),
            or "zero-shot" alone where it meets the target.
        shares: how much of the answer comes from each.
        zero_shot, ceiling: the ends of the curve, None where the answer is in gains.
        observations: the observed scores by rising budget, each with the sd of its noise.
    """

    level: float
    auc: Interval
    labels_needed: LabelsNeeded
    at_budget: AtBudget | None
    met: bool
    next_budget: int | None
    curve: tuple[CurveBand, ...]
    curve_unit: str
    calibration: str | None
    warnings: tuple[str, ...]
    power_law: PowerLaw | None
    target: Target
    answered_by: tuple[str, ...]
    shares: Shares
    zero_shot: End | None
    ceiling: End | None
    observations: tuple[ScoreObservation, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as JSON-ready fields: dicts, lists, numbers, strings and None."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

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
            f"{chance_in_words(needed.reachable)}."
        )
        if needed.median is None:
            at_least = "" if needed.low is None else f", and {_rounded(needed.low)} at the least"
            return f"Probably not within {LARGEST_BUDGET:,} labels{at_least} {ending}"
        return f"You will need about {_rounded(needed.median)} labels, {_between(needed)} {ending}"

    def advice(self) -> str:
        """Return what to do next as one plain sentence; empty where zero-shot is enough."""
        if self.answered_by == ("zero-shot",):
            return ""
        if self.met:
            return "Stop. An observed score meets the target already."
        if self.next_budget is None:
            return f"Stop. More labels, up to {LARGEST_BUDGET:,}, do not look worth what they cost."
        return f"Label up to {self.next_budget:,} and train, then --observe N=SCORE."

    def basis(self) -> str:
        """Return in words how much of the answer comes from where, the largest share first.

        Example: "61% scores, 22% CoS-Low, 17% prior".
        """
        named = {"coslow": "CoS-Low", "scores": "scores", "prior": "prior"}
        parts = {named[key]: share for key, share in self.shares._asdict().items() if share > 0}
        ranked = sorted(parts.items(), key=lambda part: -part[1])
        return ", ".join(f"{share:.0%} {name}" for name, share in ranked)

    def _repr_html_(self) -> str:
        """Return the answer as a notebook shows it: HTML without script, chart or network."""
        return _html(self)


def _plain(value: Any) -> Any:
    """Return named tuples as dicts and other tuples as lists."""
    if hasattr(value, "_asdict"):
        return {name: _plain(part) for name, part in value._asdict().items()}
    return [_plain(part) for part in value] if isinstance(value, tuple) else value


def _html(answer: Forecast) -> str:
    """Write sentence, advice, warnings and the curve as a table; every text is escaped."""
    head = ("labels", answer.curve_unit, f"{100 * answer.level:.4g}% interval")
    rows = [(f"{b.n:,}", f"{b.mean:.3f}", f"{b.low:.3f} to {b.high:.3f}") for b in answer.curve]
    lines = [f"<p><strong>{escape(answer.sentence())}</strong></p>"]
    lines += [f"<p>{escape(answer.advice())}</p>"] if answer.advice() else []
    lines += [f"<p>Warning: {escape(warning)}</p>" for warning in answer.warnings]
    lines += ["<table>", f"<tr>{_cells('th', head)}</tr>"]
    lines += [f"<tr>{_cells('td', row)}</tr>" for row in rows]
    return "\n".join(["<div>", *lines, "</table>", "</div>"])


def _cells(tag: str, texts: tuple[str, ...]) -> str:
    return "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts)


def _between(needed: LabelsNeeded) -> str:
    low = "0" if needed.low is None else _rounded(needed.low)
    if needed.high is None:
        return f"at least {low} and perhaps more than {LARGEST_BUDGET:,}"
    return f"between {low} and {_rounded(needed.high)}"


def _rounded(labels: int) -> str:
    """Write labels with two digits that mean something."""
    step = 10 ** max(len(str(labels)) - 2, 0)
    return f"{round(labels / step) * step:,}"


def chance_in_words(share: float) -> str:
    """Write a chance in whole percent; sampled curves never make it 0 or 1.

    >>> chance_in_words(0.791), chance_in_words(1.0)
    ('79%', 'over 99%')
    """
    if share > 0.99:
        return "over 99%"
    if share < 0.01:
        return "under 1%"
    return f"{share:.0%}"
