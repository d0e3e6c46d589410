"""From a question to a forecast: draws of curves, weighed by all that is known, summarised."""

from __future__ import annotations

import inspect
import math
from numbers import Real
from pathlib import Path
from typing import NamedTuple, Unpack

import numpy as np

from labelcast.errors import InputError
from labelcast.forecast.answer import (
    AtBudget,
    CurveBand,
    End,
    Forecast,
    Interval,
    PowerLaw,
    ScoreObservation,
    Target,
)
from labelcast.forecast.calibration import POOLED, Calibration, by_name
from labelcast.forecast.chances import Chances, chances, labels_needed
from labelcast.forecast.distributions import lattice_normals, weighted_quantiles
from labelcast.forecast.efficiency import (
    GRID,
    LARGEST_BUDGET,
    Array,
    AucEstimate,
    power_law_exponent,
    power_law_labels,
)
from labelcast.forecast.next_budget import cost_of, next_budget
from labelcast.forecast.observed import seed_variance
from labelcast.forecast.options import DEFAULT_LEVEL, Options
from labelcast.forecast.particles import Draws
from labelcast.forecast.posterior import Posterior, posterior
from labelcast.forecast.question import FROZEN, Question
from labelcast.forecast.wording import shown

CONTRADICTED = 3.0
"""Sds between the AUC from CoS-Low and that from the scores at which they contradict each other."""

BELOW = (10, 20)
BEYOND = (7500, 12_500, 25_000, 50_000, 100_000, 250_000, 500_000)
"""Budgets of the curve below and beyond those of the published grid."""

_NEAR, _RARE = 4.0, 0.005
"""A score is unusual where fewer than this share of the draws lie within this many sds of it."""

_CLEARLY = 2.0
"""Sds of noise by which a score is clearly above or below zero-shot."""

_UNUSUAL_TAU = 0.06
"""Seed noise, as sd at 100 labels, above which a series is called erratic."""

_CERTAIN = 0.95
"""Chance from which on it does not matter where the curves end."""


def forecast(
    coslow: float | None = None,
    calibration: Calibration | str | Path | None = None,
    **options: Unpack[Options],
) -> Forecast:
    """Forecast how many labels a task needs.

    Args:
        coslow: CoS-Low of the task, -1 to 1; None forecasts from the scores alone.
        calibration: a card, the name of a shipped one, or the path of one; None takes the pooled
            card with a warning.
        options: target, observed scores, zero-shot, ceiling, horizon, costs and more: the keys of
            `labelcast.forecast.options.Options`, each by keyword.

    Raises:
        InputError: an option is out of range or contradicts another; the message names it.

    Source: Je and Raffel (2025) for the AUC and the power law; the rest is ours.

    Examples:
        >>> answer = forecast(coslow=0.65, calibration="llama-3.1-8b-instruct", target=0.9)
        >>> round(answer.auc.mean, 3), answer.power_law.labels_needed
        (0.664, 1007)
    """
    return answer(Question.of(**options), coslow, calibration)


def _signature() -> inspect.Signature:
    """Return the signature of `forecast` with every option named, as an editor shows it."""
    named = list(inspect.signature(forecast).parameters.values())[:2]
    defaults = {"observations": (), "level": DEFAULT_LEVEL, "lower_is_better": False}
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(name))
        for name in Options.__annotations__
    ]
    return inspect.Signature([*named, *options], return_annotation=Forecast)


forecast.__signature__ = _signature()  # type: ignore[attr-defined]
if forecast.__doc__ and Options.__doc__:  # `python -OO` has none
    forecast.__doc__ += "\n    Options:" + Options.__doc__.partition("Attributes:")[2]


def answer(
    question: Question,
    coslow: float | None = None,
    calibration: Calibration | str | Path | None = None,
) -> Forecast:
    """Answer a question; the other arguments and the errors are those of `forecast`."""
    evidence, warnings = _evidence(coslow, calibration, question)
    if evidence is None and not question.scores.all and not question.met_by_zero_shot:
        alone = "" if question.zero_shot is None else ": zero-shot alone says too little"
        raise InputError(
            f"nothing to forecast from{alone}: give --coslow, or --observe N=SCORE of N > 0 labels"
        )
    known = posterior(question, evidence.estimate if evidence else None)
    draws, found = known.final, chances(known.parts, question)
    needed, budget = labels_needed(found, question), next_budget(found, question)
    found_by = _warnings(evidence, known, question, needed.reachable)
    return Forecast(
        level=question.level,
        auc=_auc(evidence, draws, question),
        labels_needed=needed,
        at_budget=_at_budget(draws, found, question),
        met=question.met,
        next_budget=budget,
        curve=tuple(_band(draws, n, question) for n in _curve_budgets(question)),
        curve_unit="score" if question.in_scores else "gain",
        calibration=evidence.card.name if evidence else None,
        warnings=(*question.warnings, *warnings, *found_by),
        power_law=_power_law(evidence, question),
        target=_target(question),
        answered_by=_answered_by(evidence, question),
        shares=known.shares(card_is_start=evidence is not None and not evidence.counts),
        zero_shot=_end(draws.zero_shot, draws, question),
        ceiling=_end(draws.ceiling, draws, question),
        observations=_observations(draws, question),
        horizon=question.horizon,
        lower_is_better=question.scale.falls,
        plan=cost_of(budget, question),
    )


class _Evidence(NamedTuple):
    """Evidence from CoS-Low: the card and its estimate."""

    card: Calibration
    estimate: AucEstimate

    @property
    def counts(self) -> bool:
        """Whether CoS-Low counts: the card does not lean on the mean of its tasks."""
        return not self.card.leans_on_prior


def _evidence(
    coslow: float | None, calibration: Calibration | str | Path | None, question: Question
) -> tuple[_Evidence | None, list[str]]:
    """Return the evidence from CoS-Low, None without it, and the warnings."""
    if coslow is None and calibration is None:
        return None, []
    card = calibration if isinstance(calibration, Calibration) else by_name(calibration or POOLED)
    if coslow is None:
        return None, [f"the calibration {card.name} is not used, because no CoS-Low is given"]
    if isinstance(coslow, bool) or not isinstance(coslow, Real):
        raise InputError(f"--coslow: expected a number within -1 to 1, not {coslow!r}")
    estimate, recipe = card.predict(float(coslow), question.level), question.recipe
    of_tuning = (
        f"the card {card.name} is for {card.recipe}, and here only a head is trained on a frozen "
        "model"
    )
    frozen = question.frozen and card.recipe.casefold() != FROZEN
    if frozen and question.scores.all:
        return None, [f"CoS-Low is not used: {of_tuning}"]
    warnings = list(estimate.warnings)
    if calibration is None:
        warnings.insert(0, "no calibration is named: the pooled card of all models is used")
    if frozen:
        warnings.append(f"{of_tuning}, which may never learn the task: train on 50 labels first")
    elif recipe is not None and recipe.strip().casefold() != card.recipe.casefold():
        warnings.append(
            f"the card {card.name} was measured with {card.recipe}, not {recipe}: curves of "
            "another recipe may rise sooner or later"
        )
    return _Evidence(card, estimate), warnings


def _auc(evidence: _Evidence | None, draws: Draws, question: Question) -> Interval:
    """Return the AUC: the calibration's own interval, and once there are scores the draws'."""
    if evidence is not None and not question.scores.all:
        return Interval(evidence.estimate.mean, evidence.estimate.low, evidence.estimate.high)
    return Interval(*_centre_and_ends(draws.areas(), draws, question))


def _centre_and_ends(values: Array, draws: Draws, question: Question) -> tuple[float, float, float]:
    """Return median and ends of an interval with equal tails."""
    tail = (1 - question.level) / 2
    middle, low, high = weighted_quantiles(values, draws.weights, [0.5, tail, 1 - tail]).tolist()
    return middle, low, high


def _on_scale(values: Array, draws: Draws, question: Question) -> tuple[float, float, float]:
    """Return median and ends of scores on the user's scale, the ends in rising order."""
    found = _centre_and_ends(values, draws, question)
    middle, *ends = (question.scale.from_unit(value) for value in found)
    return middle, min(ends), max(ends)


def _band(draws: Draws, n: int, question: Question) -> CurveBand:
    """Return the curve at a budget, in the forecast's unit."""
    if question.in_scores:
        return CurveBand(n, *_on_scale(draws.at(n), draws, question))
    return CurveBand(n, *_centre_and_ends(draws.gains_at(n), draws, question))


def _curve_budgets(question: Question) -> list[int]:
    """Return the budgets at which the curve is reported: the published grid and on to the horizon.

    Where scores are known the curve bends below 50 labels in a way of its own: 10 and 20 show it.

    >>> _curve_budgets(Question.of(horizon=30_000))[-3:]
    [12500, 25000, 30000]
    """
    beyond = [n for n in (*BEYOND, question.horizon) if LARGEST_BUDGET < n <= question.horizon]
    below = BELOW if question.in_scores else ()
    return sorted({*GRID, *below, *beyond})


def _end(values: Array, draws: Draws, question: Question) -> End | None:
    """Return what is known of zero-shot or the ceiling, None where the forecast is in gains."""
    if not question.in_scores:
        return None
    return End(bool(values.min() == values.max()), *_on_scale(values, draws, question))


def score_at(draws: Draws, n: int, question: Question) -> tuple[float, float, float]:
    """Return what a training run with n labels would measure, with its interval.

    Where the forecast is in gains, it is the gain, without noise.
    """
    _, mean, low, high = _band(draws, n, question)
    if question.in_scores and n > 0:
        _, low, high = _on_scale(_measured(draws, n, question), draws, question)
        low, high = min(low, mean), max(high, mean)
    return mean, low, high


def _at_budget(draws: Draws, found: Chances, question: Question) -> AtBudget | None:
    """Return the score at the budget, and the chance that the target is met there."""
    n = question.budget
    if n is None:
        return None
    chance = found.at(n)
    if n == 0:
        target = question.target_score
        met = 0.0 if target is None else draws.weights[draws.zero_shot >= target - 1e-12].sum()
        chance = min(float(met), 1.0)
    return AtBudget(n, *score_at(draws, n, question), chance)


def _measured(draws: Draws, n: int, question: Question) -> Array:
    """Return the score that one training run of each draw would measure at n labels, [B]."""
    expected = draws.at(n)
    sd = np.sqrt(question.scores.noise.variance(expected, n, draws.tau))
    return np.clip(expected + lattice_normals(len(expected), 1, 7)[:, 0] * sd, 0.0, 1.0)


def _observations(draws: Draws, question: Question) -> tuple[ScoreObservation, ...]:
    """Return the observed scores on the user's scale, each with the sd of its noise."""
    tau, scale = np.float64(draws.weights @ draws.tau), question.scale
    return tuple(
        ScoreObservation(
            n,
            scale.from_unit(score),
            scale.sd_from_unit(float(np.sqrt(noise.variance(score, n, tau))), score),
        )
        for n, score, noise in question.scores.all
    )


def _target(question: Question) -> Target:
    ends = (question.target_score, question.zero_shot, question.ceiling)
    return Target(
        question.target, *(None if end is None else question.scale.from_unit(end) for end in ends)
    )


def _power_law(evidence: _Evidence | None, question: Question) -> PowerLaw | None:
    if evidence is None or not evidence.counts:
        return None
    if question.target is None or question.met_by_zero_shot:
        return None
    auc = evidence.estimate.mean
    labels = math.ceil(power_law_labels(question.target, auc) - 1e-6)
    return PowerLaw(auc, power_law_exponent(auc), labels)


def _answered_by(evidence: _Evidence | None, question: Question) -> tuple[str, ...]:
    if question.met_by_zero_shot:
        return ("zero-shot",)
    counts = evidence is not None and evidence.counts
    sources = {"coslow": counts, "scores": bool(question.scores.all), "prior": True}
    return tuple(name for name, used in sources.items() if used)


def _warnings(
    evidence: _Evidence | None, known: Posterior, question: Question, reachable: float
) -> list[str]:
    """Return what the intervals include besides the curve, and where the evidence disagrees.

    `reachable` is the chance that the target is reached.
    """
    warnings = []
    draws = known.final
    if question.in_scores and question.target_score is None:
        for option, name, values, given in (
            ("zero-shot", "zero-shot score", draws.zero_shot, question.zero_shot),
            ("ceiling", "ceiling", draws.ceiling, question.ceiling),
        ):
            if given is None:
                _, low, high = _on_scale(values, draws, question)
                warnings.append(
                    f"the {name} is unknown: it probably lies within {shown(low)} to {shown(high)} "
                    f"({100 * question.level:.4g}%), as on other tasks, and the intervals include "
                    f"this uncertainty; give --{option} if you can"
                )
    beyond = len(known.parts) > 1 and question.horizon > LARGEST_BUDGET
    if beyond and question.ceiling is not None and reachable < _CERTAIN:
        warnings.append(
            f"with a ceiling, most curves of the forecast end at {LARGEST_BUDGET:,} labels and are "
            "flat beyond, so the forecast may be too pessimistic there"
        )
    if not question.scores.all:
        return warnings
    warnings += _scores_warnings(known, question, reachable)
    if evidence is not None and evidence.counts:
        auc = evidence.estimate
        areas, weights = known.by_scores.areas(), known.by_scores.weights
        mean = float(weights @ areas)
        sd = math.hypot(math.sqrt(float(weights @ (areas - mean) ** 2)), auc.sd)
        if abs(mean - auc.mean) > CONTRADICTED * sd:
            warnings.append(
                f"CoS-Low (AUC {auc.mean:.2f}) and the observed scores (AUC {mean:.2f}) contradict "
                "each other; check both"
            )
    return warnings


def _scores_warnings(known: Posterior, question: Question, reachable: float) -> list[str]:
    """Return warnings where the scores fall, scatter, or lie outside all known curves."""
    scores, show = question.scores, question.scale.from_unit
    warnings = []
    fall = scores.largest_fall()
    if fall is not None:
        (n, high, _), (m, low, _) = fall
        verb = "rise" if question.scale.falls else "fall"
        warnings.append(
            f"the scores {verb} from {show(high):.3g} at {n:,.0f} to {show(low):.3g} at {m:,.0f} "
            "labels, more than their test sets explain: check these runs (a failed training run, "
            "another test set?) before you trust the forecast; the interval is wider because of it"
        )
    tau = float(known.final.weights @ known.final.tau)
    if fall is None and tau > _UNUSUAL_TAU and len(scores.all) > 1:
        middle = float(np.mean([score for _, score, _ in scores.all]))
        own = float(np.sqrt(seed_variance(middle, 100, tau)))
        scatter = f"{question.scale.sd_from_unit(own, middle):.2g}"
        warnings.append(
            f"the scores scatter by about {shown(float(scatter))} between training runs at 100 "
            "labels: measure several seeds at each budget, and give the score of each"
        )
    last, start = scores.means[-1], question.zero_shot
    # The noise of zero-shot is about that of the last score.
    learned = 0.0 if start is None else last.above(start, last.variance)
    if start is not None and learned < -_CLEARLY:
        warnings.append(
            f"the score at {last.n:,.0f} labels, {show(last.score):.3g}, is worse than zero-shot, "
            f"{show(start):.3g}: check that both are measured in the same way"
        )
    if fall is None and scores.are_flat and learned < _CLEARLY and not question.met:
        learns = not question.frozen and reachable >= 0.5
        assumption = ", and the forecast assumes that it does" if learns else ""
        warnings.append(
            "the scores do not improve by more than their noise: perhaps this model does not learn "
            f"the task{assumption}; before you label more, compare them with the score of always "
            "giving the most frequent answer"
        )
    before = known.parts[0].before
    for n, score, noise in scores.all:
        expected = before.at(n)
        sd = np.sqrt(noise.variance(expected, n, before.tau))
        if before.weights[np.abs(expected - score) <= _NEAR * sd].sum() < _RARE:
            warnings.append(
                f"hardly any known curve is at {show(score):.3g} with {n:,.0f} labels: the "
                "forecast goes beyond what its prior has seen"
            )
            break
    return warnings
