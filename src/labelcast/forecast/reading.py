"""Compute a forecast from the draws: labels, scores at a budget, warnings, what it is based on."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from labelcast.forecast import power_law
from labelcast.forecast.answer import (
    AtBudget,
    CurveBand,
    End,
    Forecast,
    Interval,
    LabelsNeeded,
    NextStepCost,
    PowerLaw,
    Shares,
    Target,
    shown,
)
from labelcast.forecast.calibration import AucEstimate, Calibration
from labelcast.forecast.distributions import lattice_normals, weighted_quantiles
from labelcast.forecast.efficiency import GRID, LARGEST_BUDGET, Array
from labelcast.forecast.next_budget import choose
from labelcast.forecast.observed import Noise, ScoreObservation
from labelcast.forecast.ordered import Chances, chances
from labelcast.forecast.particles import Draws
from labelcast.forecast.posterior import Part, Posterior
from labelcast.forecast.question import Question
from labelcast.forecast.shares import scores_warnings, shares

CONTRADICTED = 3.0
"""So many sds between the AUC from CoS-Low and that from the scores are called a contradiction."""

POINT = 0.6
"""Quantile of the labels, given that the target is reached, that is the best guess: on curves of
left-out tasks it errs as little as the median and has the least bias (docs/curves.md)."""

_HARDLY, _LIKELY = 1e-2, 0.5

BELOW = (10, 20)
BEYOND = (7500, 12_500, 25_000, 50_000, 100_000, 250_000, 500_000)
"""Budgets of the curve below and beyond those of the published grid."""


class Evidence(NamedTuple):
    """Evidence from CoS-Low: the card and its estimate."""

    card: Calibration
    estimate: AucEstimate

    @property
    def counts(self) -> bool:
        """Whether CoS-Low counts: the card does not lean on the mean of its tasks."""
        return not self.card.leans_on_prior


def forecast_from(
    question: Question,
    known: Posterior,
    evidence: Evidence | None = None,
    warnings: tuple[str, ...] = (),
) -> Forecast:
    """Compute the forecast for a question from what is known of the curve."""
    found = chances_of(known.parts, question)
    next_budget = _next_budget(found, question)
    return Forecast(
        level=question.level,
        auc=_auc(evidence, known.final, question),
        labels_needed=labels_needed(found, question),
        at_budget=at_budget(known.final, question),
        met=question.met,
        next_budget=next_budget,
        curve=tuple(_band(known.final, n, question) for n in _curve_budgets(question)),
        curve_unit="score" if question.in_scores else "gain",
        calibration=evidence.card.name if evidence else None,
        warnings=(*question.warnings, *warnings, *_warnings(evidence, known, question)),
        power_law=_power_law(evidence, question),
        target=_target(question),
        answered_by=_answered_by(evidence, question),
        shares=_shares(evidence, known, question),
        zero_shot=_end(known.final.zero_shot, known.final, question),
        ceiling=_end(known.final.ceiling, known.final, question),
        observations=_observations(known.final, question),
        horizon=question.horizon,
        lower_is_better=question.scale.falls,
        plan=_plan(next_budget, question),
    )


def chances_of(parts: Sequence[Part], question: Question) -> Chances:
    """Return the chance that the target is reached within n labels."""

    def labels(draws: Draws) -> Array:
        if question.target_score is not None:
            return draws.labels_for_score(question.target_score)
        assert question.target is not None
        return draws.labels_for_gain(question.target)

    ordered = question.scale.metric != "loss"
    return chances(parts, labels, question.scores, ordered=ordered)


def labels_needed(found: Chances, question: Question) -> LabelsNeeded:
    """Return the labels needed within the horizon, with their interval and the chance."""
    if question.met_by_zero_shot:
        return LabelsNeeded(0, 0, 0, 1.0, 0, 0, 0, 0)
    reachable = found.at(question.horizon)
    # A sum of all weights may be 1 less the last digit, and a higher target must not look easier.
    reachable = 1.0 if reachable > 1 - 1e-12 else reachable
    tail = (1 - question.level) / 2
    low = tail
    if question.target is not None and not question.scores.all:
        # The tail that an open upper end cannot use goes to the lower end: the truth cannot lie
        # above. Equal tails covered better where scores are known.
        low = max(tail, min(1 - question.level, 1 - reachable, 0.5))

    def within(probability: float, most: float = 1.0) -> int | None:
        labels = found.quantile(probability, most)
        return _whole(labels) if labels <= question.horizon * (1 + 1e-9) else None

    hardly = reachable <= _HARDLY
    best, least, most = (None if hardly else within(p, reachable) for p in (POINT, tail, 1 - tail))
    return LabelsNeeded(
        median=within(0.5),
        low=within(low),
        high=within(1 - tail),
        reachable=reachable,
        if_reached=best,
        if_reached_low=least,
        if_reached_high=most,
        point=best if reachable >= _LIKELY else None,
    )


def _whole(labels: float) -> int | None:
    return math.ceil(labels - 1e-6) if math.isfinite(labels) else None


def _auc(evidence: Evidence | None, draws: Draws, question: Question) -> Interval:
    """Return the AUC: the calibration's own interval, and once there are scores the draws'."""
    if evidence is not None and not question.scores.all:
        return Interval(evidence.estimate.mean, evidence.estimate.low, evidence.estimate.high)
    return Interval(*_centre_and_ends(draws.areas(), draws, question))


def _centre_and_ends(values: Array, draws: Draws, question: Question) -> tuple[float, float, float]:
    """Return median and ends of an interval with equal tails."""
    tail = (1 - question.level) / 2
    asked = [0.5, tail, 1 - tail]
    middle, low, high = weighted_quantiles(values, draws.weights, asked).tolist()
    return middle, low, high


def _on_scale(question: Question, middle: float, low: float, high: float) -> tuple[float, ...]:
    """Return median and ends on the user's scale, the ends in rising order."""
    ends = [question.scale.from_unit(value) for value in (middle, low, high)]
    return (ends[0], *sorted(ends[1:]))


def _band(draws: Draws, n: int, question: Question) -> CurveBand:
    """Return the curve at a budget, in the answer's unit."""
    if question.in_scores:
        found = _centre_and_ends(draws.at(n), draws, question)
        return CurveBand(n, *_on_scale(question, *found))
    return CurveBand(n, *_centre_and_ends(draws.gains_at(n), draws, question))


def _curve_budgets(question: Question) -> list[int]:
    """Return the budgets at which the curve is reported: the published grid and on to the horizon.

    Where scores are known the curve bends below 50 labels in a way of its own: 10 and 20 show it.

    >>> _curve_budgets(Question.of(horizon=30_000))[-3:]
    [12500, 25000, 30000]
    """
    beyond = [n for n in BEYOND if LARGEST_BUDGET < n < question.horizon]
    last = [question.horizon] if question.horizon > LARGEST_BUDGET else []
    below = BELOW if question.in_scores else ()
    return sorted({*GRID, *below, *beyond, *last})


def _end(values: Array, draws: Draws, question: Question) -> End | None:
    """Return what is known of zero-shot or the ceiling, None where the answer is in gains."""
    if not question.in_scores:
        return None
    known = bool(values.min() == values.max())
    return End(known, *_on_scale(question, *_centre_and_ends(values, draws, question)))


def at_budget(draws: Draws, question: Question) -> AtBudget | None:
    """Return the score that a training run would measure at the budget, and the chance to meet."""
    n = question.budget
    if n is None:
        return None
    if question.target_score is not None:
        met = draws.at(n) >= question.target_score - 1e-12
    else:
        assert question.target is not None
        met = draws.gains_at(n) >= question.target - 1e-12
    chance = min(float(draws.weights[met].sum()), 1.0)
    band = _band(draws, n, question)
    if question.in_scores and n > 0:
        measured = _measured(draws, n, question)
        _, low, high = _centre_and_ends(measured, draws, question)
        _, low, high = _on_scale(question, low, low, high)
        band = band._replace(low=min(low, band.mean), high=max(high, band.mean))
    return AtBudget(band.n, band.mean, band.low, band.high, chance=chance)


def _measured(draws: Draws, n: int, question: Question) -> Array:
    """Return the score that one training run of each draw would measure at n labels, [B]."""
    scores = question.scores.all
    noise = scores[-1].noise if scores else Noise()
    expected = draws.at(n)
    sd = np.sqrt(noise.variance(expected, n, draws.tau))
    return np.clip(expected + lattice_normals(len(expected), 1, 7)[:, 0] * sd, 0.0, 1.0)


def _next_budget(found: Chances, question: Question) -> int | None:
    """Return the budget to label up to and train at next."""
    tried = sorted({int(score.n) for score in question.scores.all})
    owned = max(tried, default=0)
    if question.met or owned >= question.horizon:
        return None
    # Without a target score it is unknown whether the budgets tried have failed.
    failed = tried if question.target_score is not None else []
    costs = question.costs
    prices: dict[str, float] = {}
    if costs.label and costs.run is not None:
        prices["run_cost"] = costs.run / costs.label
    if costs.label and costs.value is not None:
        prices["value"] = costs.value / costs.label
    labels, weights = found.sample()
    return choose(labels, weights, owned, failed, horizon=question.horizon, **prices)


def _plan(next_budget: int | None, question: Question) -> NextStepCost | None:
    """Return what the next step costs, None where the price of a label is not known."""
    costs = question.costs
    if next_budget is None or costs.label is None:
        return None
    owned = max((int(score.n) for score in question.scores.all), default=0)
    labels, run = (next_budget - owned) * costs.label, costs.run or 0.0
    return NextStepCost(next_budget - owned, labels, run, labels + run)


def _observations(draws: Draws, question: Question) -> tuple[ScoreObservation, ...]:
    """Return the observed scores on the user's scale, each with the sd of its noise."""
    tau = np.float64(draws.weights @ draws.tau)
    found = []
    for n, score, noise in question.scores.all:
        sd = float(np.sqrt(noise.variance(score, n, tau)))
        scale = question.scale
        found.append(ScoreObservation(n, scale.from_unit(score), scale.sd_from_unit(sd, score)))
    return tuple(found)


def _target(question: Question) -> Target:
    ends = (question.target_score, question.zero_shot, question.ceiling)
    return Target(
        question.target, *(None if end is None else question.scale.from_unit(end) for end in ends)
    )


def _warnings(evidence: Evidence | None, known: Posterior, question: Question) -> list[str]:
    """Return what the intervals include besides the curve, and where the evidence disagrees."""
    warnings = []
    draws = known.final
    if question.in_scores and question.target_score is None:
        for name, values, given in (
            ("zero-shot", draws.zero_shot, question.zero_shot),
            ("ceiling", draws.ceiling, question.ceiling),
        ):
            if given is None:
                found = _centre_and_ends(values, draws, question)
                _, low, high = _on_scale(question, *found)
                warnings.append(
                    f"the {name} is unknown: it probably lies within {shown(low)} to {shown(high)} "
                    f"({100 * question.level:.4g}%), as on other tasks, and the intervals include "
                    f"this uncertainty; give --{name} if you can"
                )
    warnings += scores_warnings(question, known.parts[0].before, draws)
    if evidence is not None and evidence.counts and question.scores.all:
        areas, weights = known.by_scores.areas(), known.by_scores.weights
        mean = float(weights @ areas)
        sd = math.hypot(math.sqrt(float(weights @ (areas - mean) ** 2)), evidence.estimate.sd)
        if abs(mean - evidence.estimate.mean) > CONTRADICTED * sd:
            warnings.append(
                f"CoS-Low (AUC {evidence.estimate.mean:.2f}) and the observed scores (AUC "
                f"{mean:.2f}) contradict each other; check both"
            )
    return warnings


def _shares(evidence: Evidence | None, known: Posterior, question: Question) -> Shares:
    scores = known.by_scores if question.scores.all else None
    if evidence is not None and not evidence.counts:
        # The mean of the card's tasks is the best guess before anything of this task is known.
        start = known.by_card or known.start
        final = known.final if scores is not None else start
        return shares(start, None, None if scores is None else final, final)
    final = known.final if scores is not None else known.by_card or known.start
    return shares(known.start, known.by_card, scores, final)


def _power_law(evidence: Evidence | None, question: Question) -> PowerLaw | None:
    if evidence is None or not evidence.counts:
        return None
    if question.target is None or question.met_by_zero_shot:
        return None
    auc = evidence.estimate.mean
    labels = power_law.labels_for_gain(question.target, auc)
    return PowerLaw(auc, power_law.exponent(auc), math.ceil(labels - 1e-6))


def _answered_by(evidence: Evidence | None, question: Question) -> tuple[str, ...]:
    if question.met_by_zero_shot:
        return ("zero-shot",)
    counts = evidence is not None and evidence.counts
    sources = {"coslow": counts, "scores": bool(question.scores.all)}
    return (*(name for name, used in sources.items() if used), "prior")
