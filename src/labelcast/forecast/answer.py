"""A forecast: its numbers, as JSON-ready fields, as one plain sentence, as HTML."""

import math
from collections import defaultdict
from dataclasses import dataclass, fields
from html import escape
from statistics import fmean
from typing import Any, NamedTuple

from labelcast.forecast.wording import chance_in_words, counted, rounded, shown

FIRST_RUN = (
    "A first run on as few as 50 labels says more than CoS-Low: on the published curves it brings "
    "the error of the AUC from 0.072 to 0.047."
)
"""What one training run adds to CoS-Low, the ceiling unknown (`evidence.reproduce` prints both)."""


class Interval(NamedTuple):
    """A central value with the ends of its interval.

    `mean` is the median of the sampled curves, the best guess and never outside the interval; of an
    AUC predicted from CoS-Low alone it is the calibration's prediction.
    """

    mean: float
    low: float
    high: float


class LabelsNeeded(NamedTuple):
    """Labels for the target: quantiles (None: beyond the horizon) and the chance of reaching it.

    `if_reached` is the best guess given that the target is reached within the horizon, with its
    interval; None where it hardly can be. `point` is the figure to quote: the best guess, None
    where the target is probably not reached; `point_chance` is the chance that it suffices. Fewer
    curves reach a harder target at all, so that these five may fall as the target rises; the
    quantiles never do.
    """

    median: int | None
    low: int | None
    high: int | None
    reachable: float
    if_reached: int | None
    if_reached_low: int | None
    if_reached_high: int | None
    point: int | None
    point_chance: float | None


class CurveBand(NamedTuple):
    """The forecast curve at one budget, in the unit named by `Forecast.curve_unit`."""

    n: int
    mean: float
    low: float
    high: float


class AtBudget(NamedTuple):
    """The reverse question: the curve at a budget, and the chance that the target is met there.

    Where the forecast is in scores, the interval is that of a score measured there by one training
    run: it includes the noise of the training seed and of the test set.
    """

    n: int
    mean: float
    low: float
    high: float
    chance: float


class NextStepCost(NamedTuple):
    """The next step in money: labels to add, what they cost, what the run costs, and the sum."""

    labels: int
    label_cost: float
    run_cost: float
    total: float


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
    """How much of the forecast comes from where; the three sum to 1.

    Of the variance that the prior leaves to the curve's mean score, the share that CoS-Low removes
    and that the observed scores remove, each averaged over which of the two comes first; `prior` is
    the share that stays.
    """

    coslow: float
    scores: float
    prior: float


class ScoreObservation(NamedTuple):
    """A score observed at a budget (labels), and the sd of its noise."""

    budget: float
    score: float
    sd: float


@dataclass(frozen=True)
class Forecast:
    """How many labels a task needs.

    Attributes:
        level: level of every interval.
        auc: data efficiency.
        labels_needed: for the target.
        at_budget: the reverse question, where a budget was given.
        met: whether zero-shot or the mean of the scores at some budget meets the target already.
        next_budget: the budget to label up to and train at next; None where the target is met, or
            where more labels are not worth what they cost.
        curve: the forecast at 0, 50, ... 5,000 labels, and on to the horizon; of scores at 10 and
            20 too.
        curve_unit: "score" where zero-shot, an observed score or a target score is known, else
            "gain"; of `curve` and `at_budget`.
        calibration: name of the card used, None without CoS-Low.
        warnings: in words.
        power_law: the paper's figure, None without CoS-Low or where no labels are needed.
        target: what was asked for.
        answered_by: the basis of the forecast: "coslow", "scores", "prior" (the published curves),
            or "zero-shot" alone where it meets the target.
        shares: how much of the answer comes from each.
        zero_shot, ceiling: the ends of the curve, None where the forecast is in gains.
        observations: the observed scores by rising budget, each with the sd of its noise.
        horizon: the most labels that the forecast looks at.
        lower_is_better: whether scores fall as a model gets better.
        plan: what the next budget costs, where costs were given.
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
    observations: tuple[ScoreObservation, ...]
    horizon: int
    lower_is_better: bool
    plan: NextStepCost | None

    def to_dict(self) -> dict[str, Any]:
        """Return the forecast as JSON-ready fields: dicts, lists, numbers, strings and None."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    def sentence(self) -> str:
        """Return the forecast as one plain sentence."""
        interval, chance = self._interval_and_chance()
        within = f" ({100 * self.level:.4g}%: {interval})" if interval else ""
        return f"{self.headline()}{within}" + (f"; {chance}" if chance else ".")

    def headline(self) -> str:
        """Return the forecast without its interval and without a full stop."""
        needed, aim = self.labels_needed, self._aim()
        if self.answered_by == ("zero-shot",):
            return (
                f"None needed: zero-shot ({shown(self.target.zero_shot)}) already meets the "
                f"target ({shown(self.target.score)})"
            )
        if (first := self._first_met()) is not None:
            budget, mean, runs = first
            kind = "mean score" if runs > 1 else "score"
            score = f"the {kind} of {shown(mean)} at {int(budget):,} labels"
            if needed.point is None:
                return f"{score.capitalize()} meets the target of {aim}, but may not do so again"
            return f"Reached: {score} meets the target of {aim}"
        if needed.point is None:
            return f"Probably more than {self.horizon:,} labels to reach {aim}"
        return f"About {counted(needed.point)} to reach {aim}"

    def details(self) -> str:
        """Return what follows the headline: the interval, and the chance; may be empty."""
        interval, chance = self._interval_and_chance()
        within = f"{100 * self.level:.4g}% interval: {interval} labels. " if interval else ""
        return within + chance

    def _interval_and_chance(self) -> tuple[str, str]:
        """Return both in words, each empty where it is not stated."""
        needed = self.labels_needed
        met = self.answered_by == ("zero-shot",) or self._first_met() is not None
        if met and needed.point is not None:
            return "", ""
        chance = f"{self._chance()}."
        if met:
            return "", chance
        low, reached = needed.low, needed.if_reached
        if needed.point is not None:
            high = f"more than {self.horizon:,}" if needed.high is None else rounded(needed.high)
            return f"{'0' if low is None else rounded(low)} to {high}", chance
        # Where the best guess is below the interval, only a few early curves reach the target.
        if reached is not None and (low is None or reached >= low):
            chance += f" If it is reached, the best guess is about {counted(reached)}."
        return "" if low is None else f"at least {rounded(low)}", chance

    def _chance(self) -> str:
        needed, horizon = self.labels_needed, f"{self.horizon:,}"
        chance = chance_in_words(needed.reachable)
        if needed.point is None or needed.point_chance is None or self.met:
            return f"{chance} chance that {horizon} suffice"
        here = f"{chance_in_words(needed.point_chance)} chance that {rounded(needed.point)} suffice"
        return f"{here}, {chance} that {horizon} do" if rounded(needed.point) != horizon else here

    def _first_met(self) -> tuple[float, float, int] | None:
        """The fewest labels whose mean score meets the target, that mean, and its runs."""
        means = self._means() if self.met else []
        return next((mean for mean in means if self._meets(mean[1])), None)

    def _means(self) -> list[tuple[float, float, int]]:
        """Labels, mean score and runs, by rising labels."""
        scores: dict[float, list[float]] = defaultdict(list)
        for seen in self.observations:
            scores[seen.budget].append(seen.score)
        return [(n, fmean(found), len(found)) for n, found in sorted(scores.items())]

    def _aim(self) -> str:
        if self.target.score is not None and self.curve_unit == "score":
            return shown(self.target.score)
        return f"{shown(self.target.gain)} of the gain"

    def _meets(self, score: float) -> bool:
        assert self.target.score is not None
        if self.lower_is_better:
            return score <= self.target.score + 1e-9
        return score >= self.target.score - 1e-9

    def advice(self) -> str:
        """Return what to do next as plain sentences; empty where zero-shot is enough."""
        if self.answered_by == ("zero-shot",):
            return ""
        if self.met:
            means = self._means()
            if not self._meets(means[-1][1]) or self.labels_needed.point is None:
                doubt = "it may not be met again: repeat the run"
                if len(means) > 1:
                    doubt = "the other scores make it doubtful: repeat the runs"
                return f"The target was met once, but {doubt} with other seeds before you stop."
            return "Stop. An observed score meets the target already."
        if self.next_budget is None:
            if any(seen.budget >= self.horizon for seen in self.observations):
                return f"Stop, or look further with --horizon: {self.horizon:,} labels are tried."
            return f"Stop. More labels, up to {self.horizon:,}, do not look worth what they cost."
        step = f"Label up to {self.next_budget:,} and train, then --observe N=SCORE."
        if self.plan is not None:
            step += f" That is {self.plan.labels:,} more labels for {self.plan.label_cost:,.2f}"
            if self.plan.run_cost:
                step += (
                    f" and a training run for {self.plan.run_cost:,.2f}: "
                    f"{self.plan.total:,.2f} in all"
                )
            step += "."
        if "coslow" in self.answered_by and "scores" not in self.answered_by:
            step += f" {FIRST_RUN}"
        return step

    def budget_sentence(self) -> str:
        """Return the forecast at the budget as one plain sentence; empty without a budget."""
        at = self.at_budget
        if at is None:
            return ""
        what = f"{self.curve_unit} {self.figure(at.mean)}"
        if self.curve_unit == "score" and at.n > 0:
            what = f"a training run would measure a score of {self.figure(at.mean)}"
        interval = f"{100 * self.level:.4g}%: {self.figure(at.low)} to {self.figure(at.high)}"
        return (
            f"With {at.n:,} label{'' if at.n == 1 else 's'}: {what} ({interval}); chance that the "
            f"target is met: {chance_in_words(at.chance)}."
        )

    @property
    def decimals(self) -> int:
        """How many decimals a score of this forecast, or a gain, is written with."""
        largest = max(abs(band.mean) for band in self.curve)
        if 0 < largest < 0.1:
            return 2 - math.floor(math.log10(largest))
        return 3 if largest < 10 else 1 if largest < 1000 else 0

    def figure(self, value: float) -> str:
        """Write a score of this forecast, or a gain."""
        return f"{value:,.{self.decimals}f}"

    def basis(self) -> str:
        """Return in words how much of the forecast comes from where, the largest share first.

        Example: "61% scores, 22% CoS-Low, 17% prior".
        """
        named = zip(self.shares, ("CoS-Low", "scores", "prior"), strict=True)
        ranked = sorted(named, key=lambda part: -part[0])
        return ", ".join(f"{share:.0%} {name}" for share, name in ranked if share > 0)

    def _repr_html_(self) -> str:
        """Return sentence, advice, warnings and curve for a notebook: HTML without script."""
        head = ("labels", self.curve_unit, f"{100 * self.level:.4g}% interval")
        figure = self.figure
        rows = [
            (f"{b.n:,}", figure(b.mean), f"{figure(b.low)} to {figure(b.high)}") for b in self.curve
        ]
        texts = [self.advice(), *(f"Warning: {warning}" for warning in self.warnings)]
        lines = [f"<p><strong>{escape(self.sentence())}</strong></p>"]
        lines += [f"<p>{escape(text)}</p>" for text in texts if text]
        lines += ["<table>", _row("th", head), *(_row("td", row) for row in rows), "</table>"]
        return "\n".join(["<div>", *lines, "</div>"])


def _plain(value: Any) -> Any:
    """Return named tuples as dicts and other tuples as lists."""
    if hasattr(value, "_asdict"):
        return {name: _plain(part) for name, part in value._asdict().items()}
    return [_plain(part) for part in value] if isinstance(value, tuple) else value


def _row(tag: str, texts: tuple[str, ...]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(text)}</{tag}>' for text in texts)}</tr>"
