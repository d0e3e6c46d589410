"""Labels needed for a target, with an interval that holds the error of AUC and of shape.

Knows how a calibrated AUC, the prior over curves and observed scores become one answer. Does not
know how CoS-Low was measured or where scores come from.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from pathlib import Path

import numpy as np

from labelcast.curves import power_law
from labelcast.curves.answer import (
    AtBudget,
    CurveBand,
    Forecast,
    Interval,
    LabelsNeeded,
    PowerLaw,
    Target,
)
from labelcast.curves.auc_estimate import AucEstimate
from labelcast.curves.calibration import Calibration
from labelcast.curves.cards import POOLED, by_name
from labelcast.curves.efficiency import GRID, Array, labels_needed, log_position
from labelcast.curves.prior import MAX_GRID_AUC, CurvePrior, Observation, Posterior
from labelcast.curves.question import Question, ask
from labelcast.curves.student import normal_quantile, t_quantile
from labelcast.errors import InputError

CURVE_NOISE_SD = 0.03
"""Noise of an observed gain apart from its test set's: training seed, data drawn."""

MIN_SAMPLES = 100


@dataclass(frozen=True)
class _Evidence:
    """What CoS-Low says: the card and its estimate."""

    card: Calibration
    estimate: AucEstimate


def forecast(
    coslow: float | None = None,
    calibration: Calibration | str | Path | None = None,
    *,
    target: float | None = None,
    target_score: float | None = None,
    zero_shot: float | None = None,
    ceiling: float | None = None,
    observations: Iterable[tuple[int, float]] = (),
    observe_size: int | None = None,
    level: float = 0.9,
    budget: int | None = None,
    recipe: str | None = None,
    seed: int = 0,
    samples: int = 4000,
) -> Forecast:
    """Forecast how many labels a task needs.

    Args:
        coslow: CoS-Low of the task, -1 to 1; None answers from the observed scores alone.
        calibration: a card, the name of a shipped one, or the path of one; None takes the pooled
            card with a warning.
        target: fraction of the gain from zero-shot to the ceiling, above 0, at most 1; 0.9 where
            neither target is given.
        target_score: the target as a score instead; needs zero_shot and ceiling.
        zero_shot: the score without labels, 0 to 1.
        ceiling: the best score to be hoped for, 0 to 1.
        observations: (budget, score) of models fine-tuned already; needs zero_shot and ceiling;
            budget 0 gives zero_shot.
        observe_size: test examples behind each score.
        level: of the intervals, strictly between 0 and 1.
        budget: asks the reverse: what is reached with so many labels.
        recipe: the fine-tuning meant; a card of another recipe gives a warning.
        seed: of the sampled curves.
        samples: curves drawn, 100 or more.

    Raises:
        InputError: an option is out of range or contradicts another; the message names it.

    Source: Je and Raffel (2025) for the AUC and the power law; interval and conditioning are ours.

    >>> answer = forecast(coslow=0.65, calibration="llama-3.1-8b-instruct", target=0.9)
    >>> round(answer.auc.mean, 3), answer.power_law.labels_needed
    (0.664, 1007)
    """
    question = ask(
        target=target,
        target_score=target_score,
        zero_shot=zero_shot,
        ceiling=ceiling,
        observations=observations,
        observe_size=observe_size,
        level=level,
        budget=budget,
    )
    _check_draw(seed, samples)
    evidence, warnings = _evidence(coslow, calibration, recipe, level)
    if evidence is None and not question.observations and not question.met_by_zero_shot:
        raise InputError("nothing to forecast from: give --coslow, or --observe N=SCORE, or both")
    posterior = _posterior(evidence, question)
    curves = posterior.sample(samples, seed)
    needed = _labels_needed(curves, question)
    return Forecast(
        level=question.level,
        auc=_auc(evidence, posterior, question),
        labels_needed=needed,
        at_budget=_at_budget(curves, question),
        next_budget=_next_budget(needed, question),
        curve=tuple(_band(curves, n, question) for n in GRID),
        curve_unit="gain" if question.target_score is None else "score",
        calibration=evidence.card.name if evidence else None,
        warnings=(*question.warnings, *warnings),
        power_law=_power_law(evidence, question),
        target=Target(question.target, question.target_score, question.zero_shot, question.ceiling),
        answered_by=_answered_by(evidence, question),
    )


def _evidence(
    coslow: float | None,
    calibration: Calibration | str | Path | None,
    recipe: str | None,
    level: float,
) -> tuple[_Evidence | None, tuple[str, ...]]:
    """Return what CoS-Low says, None without it, and the warnings."""
    if coslow is None:
        unused = "a calibration was named but no CoS-Low is given: the calibration is not used"
        return None, () if calibration is None else (unused,)
    if isinstance(coslow, bool) or not isinstance(coslow, Real):
        raise InputError(f"--coslow: expected a number within -1 to 1, not {coslow!r}")
    card = calibration if isinstance(calibration, Calibration) else by_name(calibration or POOLED)
    estimate = card.predict(float(coslow), level)
    warnings = list(estimate.warnings)
    if calibration is None:
        warnings.insert(0, "no calibration is named: the pooled card of all models is used")
    if recipe is not None and recipe.strip().casefold() != card.recipe.casefold():
        warnings.append(
            f"the card {card.name} holds for {card.recipe}, but {recipe} is meant: curves of "
            "another recipe may rise sooner or later"
        )
    return _Evidence(card, estimate), tuple(warnings)


def _posterior(evidence: _Evidence | None, question: Question) -> Posterior:
    """Put the predicted AUC into the prior, then condition on the observed scores."""
    prior = CurvePrior.load()
    if evidence is not None:
        # No curve of the grid has a larger area: beyond it all would stand at the ceiling.
        mean = min(evidence.estimate.mean, MAX_GRID_AUC)
        prior = prior.with_auc(mean, _gaussian_sd(evidence.estimate))
    return prior.condition(observations=_observed_gains(question))


def _gaussian_sd(estimate: AucEstimate) -> float:
    """Return the sd of the Gaussian whose 90% interval is that of the t distribution.

    The curves are Gaussian; the t's own sd is infinite at 2 degrees of freedom and below. The
    level is fixed, so that the curves do not depend on the level asked for.
    """
    return estimate.sd * t_quantile(0.95, estimate.df) / normal_quantile(0.95)


def _observed_gains(question: Question) -> list[Observation]:
    """Return the observations in units of the gain, with the sd of their noise."""
    gains = []
    for budget, score in question.observations:
        variance = CURVE_NOISE_SD**2
        if question.observe_size is not None:
            size = question.observe_size
            # One success and one failure more, so that a perfect score has noise too.
            share = (score * size + 1) / (size + 2)
            unit = question.gain(1.0) - question.gain(0.0)
            variance += share * (1 - share) / size * unit**2
        gains.append((float(budget), question.gain(score), math.sqrt(variance)))
    return gains


def _labels_needed(curves: Array, question: Question) -> LabelsNeeded:
    if question.met_by_zero_shot:
        return LabelsNeeded(0, 0, 0, 1.0)
    labels = labels_needed(log_position(GRID), curves, question.target)
    tail = (1 - question.level) / 2
    # A quantile that is one of the samples: between a number and infinity lies nothing.
    low, median, high = np.quantile(labels, [tail, 0.5, 1 - tail], method="inverted_cdf")
    return LabelsNeeded(
        median=_whole(median),
        low=_whole(low),
        high=_whole(high),
        reachable=float(np.isfinite(labels).mean()),
    )


def _whole(labels: float) -> int | None:
    return math.ceil(labels - 1e-6) if math.isfinite(labels) else None


def _auc(evidence: _Evidence | None, posterior: Posterior, question: Question) -> Interval:
    """Return the AUC: the calibration's own t interval as long as no score was observed."""
    if evidence is not None and not question.observations:
        return Interval(evidence.estimate.mean, evidence.estimate.low, evidence.estimate.high)
    half = normal_quantile((1 + question.level) / 2) * posterior.auc_sd
    ends = np.array([0.0, -half, half]) + posterior.auc_mean
    mean, low, high = np.clip(ends, power_law.AUC_LOW, power_law.AUC_HIGH).tolist()
    return Interval(mean, low, high)


def _gains_at(curves: Array, n: int) -> Array:
    """Interpolate sampled curves at a budget, [samples]."""
    x, at = log_position(GRID), float(log_position(n))
    right = int(np.clip(np.searchsorted(x, at), 1, len(GRID) - 1))
    share = (at - x[right - 1]) / (x[right] - x[right - 1])
    left, rise = curves[:, right - 1], curves[:, right] - curves[:, right - 1]
    return np.asarray(left + share * rise)


def _band(curves: Array, n: int, question: Question) -> CurveBand:
    """Return mean and interval at a budget, in scores where zero-shot and ceiling are known."""
    gains = _gains_at(curves, n)
    tail = (1 - question.level) / 2
    numbers = np.array([gains.mean(), *np.quantile(gains, [tail, 1 - tail])])
    if question.zero_shot is not None and question.ceiling is not None:
        numbers = question.zero_shot + numbers * (question.ceiling - question.zero_shot)
    mean, low, high = numbers.tolist()
    return CurveBand(n, mean, low, high)


def _at_budget(curves: Array, question: Question) -> AtBudget | None:
    if question.budget is None:
        return None
    band = _band(curves, question.budget, question)
    # The tolerance lets a curve that meets the target exactly at this budget count.
    met = _gains_at(curves, question.budget) >= question.target - 1e-12
    return AtBudget(band.n, band.mean, band.low, band.high, chance=float(met.mean()))


def _next_budget(needed: LabelsNeeded, question: Question) -> int | None:
    """Return the smallest budget of the grid that covers the median and was not yet tried."""
    tried = question.observations[-1][0] if question.observations else 0
    if question.met or tried >= GRID[-1]:
        return None
    wanted = GRID[-1] if needed.median is None else needed.median
    return next(n for n in GRID if n > tried and n >= wanted and n > 0)


def _power_law(evidence: _Evidence | None, question: Question) -> PowerLaw | None:
    if evidence is None or question.met_by_zero_shot:
        return None
    auc = evidence.estimate.mean
    labels = power_law.labels_for_gain(question.target, auc)
    return PowerLaw(auc, power_law.exponent(auc), math.ceil(labels - 1e-6))


def _answered_by(evidence: _Evidence | None, question: Question) -> tuple[str, ...]:
    if question.met_by_zero_shot:
        return ("zero-shot",)
    sources = {"coslow": evidence is not None, "scores": bool(question.observations)}
    return (*(name for name, used in sources.items() if used), "prior")


def _check_draw(seed: int, samples: int) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"--seed: expected a whole number 0 or more, not {seed!r}")
    whole = isinstance(samples, int | np.integer) and not isinstance(samples, bool)
    if not whole or samples < MIN_SAMPLES:
        raise InputError(f"samples: expected a whole number {MIN_SAMPLES} or more, not {samples!r}")
