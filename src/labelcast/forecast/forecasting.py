"""Labels needed for a target, with an interval that holds the error of AUC and of shape.

Knows how a calibrated AUC, the prior over curves and observed scores become one answer. Does not
know how CoS-Low was measured or where scores come from.
"""

import math
from collections.abc import Iterable
from numbers import Real
from pathlib import Path
from typing import NamedTuple

import numpy as np

from labelcast.errors import InputError
from labelcast.forecast import power_law
from labelcast.forecast.answer import (
    AtBudget,
    CurveBand,
    End,
    Forecast,
    Interval,
    LabelsNeeded,
    PowerLaw,
    Shares,
    Target,
)
from labelcast.forecast.calibration import AucEstimate, Calibration
from labelcast.forecast.cards import POOLED, by_name
from labelcast.forecast.efficiency import GRID, LARGEST_BUDGET, Array
from labelcast.forecast.intervals import (
    interval,
    label_interval,
    median_if_reached,
    weighted_quantiles,
)
from labelcast.forecast.next_budget import choose
from labelcast.forecast.posterior import Posterior
from labelcast.forecast.prior import CurvePrior
from labelcast.forecast.question import Observed, Question, ask
from labelcast.forecast.shares import shares

MIN_SAMPLES = 100
SAMPLES = 2000

CONTRADICTED = 3.0
"""So many sds between the AUC from CoS-Low and that from the scores are called a contradiction."""

_HARDLY = 1e-3
_ROUNDING = 1e-12


class _Evidence(NamedTuple):
    """What CoS-Low says: the card and its estimate."""

    card: Calibration
    estimate: AucEstimate

    @property
    def heard(self) -> bool:
        """Whether CoS-Low has a say: the card does not lean on the mean of its tasks."""
        return not self.card.leans_on_prior

    def put_into(self, posterior: Posterior) -> Posterior:
        """Replace the prior's AUC by the calibrated one."""
        return posterior.predicted_auc(self.estimate.mean, self.estimate.sd, self.estimate.df)


def forecast(
    coslow: float | None = None,
    calibration: Calibration | str | Path | None = None,
    *,
    target: float | None = None,
    target_score: float | None = None,
    zero_shot: float | None = None,
    ceiling: float | None = None,
    observations: Iterable[Observed] = (),
    observe_size: int | None = None,
    observe_sd: float | None = None,
    level: float = 0.9,
    budget: int | None = None,
    recipe: str | None = None,
    seed: int = 0,
    samples: int = SAMPLES,
) -> Forecast:
    """Forecast how many labels a task needs.

    Args:
        coslow: CoS-Low of the task, -1 to 1; None answers from the observed scores alone.
        calibration: a card, the name of a shipped one, or the path of one; None takes the pooled
            card with a warning.
        target: fraction of the gain from zero-shot to the ceiling, above 0, at most 1; 0.9 where
            neither target is given.
        target_score: the target as a score instead.
        zero_shot: the score without labels, 0 to 1; None reckons with those of other tasks.
        ceiling: the best score to be hoped for, 0 to 1; None reckons with those of other tasks.
        observations: (budget, score) of models fine-tuned already; budget 0 gives zero_shot. A
            third number is the sd of all of that score's noise, in place of what follows.
        observe_size: test examples behind each score and zero-shot; 500 where nothing is said.
        observe_sd: noise sd that the test set gives a score, where the metric is no mean (say, by
            bootstrap), instead of observe_size. The noise of the training seed is added.
        level: of the intervals, 0.001 to 0.999.
        budget: asks the reverse: what is reached with so many labels.
        recipe: the fine-tuning meant; a card of another recipe gives a warning.
        seed: of the sampled curves.
        samples: curves drawn, 100 or more.

    Raises:
        InputError: an option is out of range or contradicts another; the message names it.

    Source: Je and Raffel (2025) for the AUC and the power law; interval and conditioning are ours.

    Examples:
        >>> answer = forecast(coslow=0.65, calibration="llama-3.1-8b-instruct", target=0.9)
        >>> round(answer.auc.mean, 3), answer.power_law.labels_needed
        (0.664, 1007)
    """
    prior = CurvePrior.load()
    question = ask(
        target=target,
        target_score=target_score,
        zero_shot=zero_shot,
        ceiling=ceiling,
        observations=observations,
        observe_size=observe_size,
        observe_sd=observe_sd,
        seed_sd=prior.seed_sd,
        level=level,
        budget=budget,
    )
    _check_draw(seed, samples)
    evidence, warnings = _evidence(coslow, calibration, recipe, level)
    if evidence is None and not question.observations and not question.met_by_zero_shot:
        raise InputError("nothing to forecast from: give --coslow, or --observe N=SCORE, or both")
    by_scores = _given_scores(prior, question, samples, seed)
    posterior = by_scores if evidence is None else evidence.put_into(by_scores)
    labels = _labels(posterior, question)
    return Forecast(
        level=question.level,
        auc=_auc(prior, evidence, posterior, question),
        labels_needed=_labels_needed(labels, posterior, question),
        at_budget=_at_budget(posterior, question),
        met=question.met,
        next_budget=_next_budget(labels, posterior, question),
        curve=tuple(_band(posterior, n, question) for n in GRID),
        curve_unit="score" if question.in_scores else "gain",
        calibration=evidence.card.name if evidence else None,
        warnings=(
            *question.warnings,
            *warnings,
            *_warnings(evidence, by_scores, posterior, question),
        ),
        power_law=_power_law(evidence, question),
        target=Target(question.target, question.target_score, question.zero_shot, question.ceiling),
        answered_by=_answered_by(evidence, question),
        shares=_shares(prior, evidence, by_scores, posterior, question),
        zero_shot=_end(posterior.zero_shot, posterior, question),
        ceiling=_end(posterior.ceiling, posterior, question),
        observations=question.observations,
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


def _given_scores(prior: CurvePrior, question: Question, samples: int, seed: int) -> Posterior:
    """Condition the prior on what is known in scores."""
    if not question.in_scores:
        return prior.condition(samples=samples, seed=seed)
    return prior.condition_on_scores(
        question.observations,
        question.zero_shot,
        question.ceiling,
        zero_shot_sd=question.zero_shot_sd,
        samples=samples,
        seed=seed,
    )


def _labels(posterior: Posterior, question: Question) -> Array:
    """Return the labels that each sample needs for the target, [n]."""
    if question.met_by_zero_shot:
        return np.zeros(len(posterior.weights))
    if question.target is not None:
        return posterior.labels_for_gain(question.target)
    assert question.target_score is not None
    return posterior.labels_for_score(question.target_score)


def _labels_needed(labels: Array, posterior: Posterior, question: Question) -> LabelsNeeded:
    weights = posterior.weights
    # Only a target as a fraction of the gain has the shifted tail: `label_interval` says why.
    shifted = question.target is not None
    low, high = label_interval(labels, weights, question.level, shifted=shifted)
    reachable = min(float(weights[np.isfinite(labels)].sum()), 1.0)
    return LabelsNeeded(
        median=_whole(float(weighted_quantiles(labels, weights, [0.5])[0])),
        low=_whole(low),
        high=_whole(high),
        reachable=reachable,
        if_reached=_whole(median_if_reached(labels, weights)) if reachable > _HARDLY else None,
    )


def _whole(labels: float) -> int | None:
    return math.ceil(labels - 1e-6) if math.isfinite(labels) else None


def _auc(
    prior: CurvePrior, evidence: _Evidence | None, posterior: Posterior, question: Question
) -> Interval:
    """Return the AUC: the calibration's own t interval, moved as far as the scores move it.

    The samples' areas end where the grid's largest does, and the calibration's do not. What lies
    between the two is kept in full where scores say nothing, and fades as they narrow the areas.
    """
    found = _centre_and_ends(posterior.areas(), posterior, question)
    if evidence is None:
        return Interval(*found)
    before = evidence.put_into(prior.plain)
    alone = _centre_and_ends(before.areas(), before, question)
    estimate = evidence.estimate
    card = (estimate.mean, estimate.low, estimate.high)
    if not question.observations:
        return Interval(*card)
    width = alone[2] - alone[1]  # 0 where both ends of a small level are one sample
    kept = min(1.0, (found[2] - found[1]) / width) ** 2 if width > 0 else 1.0
    mean, low, high = (
        float(np.clip(f + kept * (c - a), power_law.AUC_LOW, power_law.AUC_HIGH))
        for f, c, a in zip(found, card, alone, strict=True)
    )
    return Interval(mean, min(low, mean), max(high, mean))


def _centre_and_ends(
    values: Array, posterior: Posterior, question: Question
) -> tuple[float, float, float]:
    """Return median and ends of an interval with equal tails."""
    low, high = interval(values, posterior.weights, question.level)
    return float(weighted_quantiles(values, posterior.weights, [0.5])[0]), low, high


def _band(posterior: Posterior, n: int, question: Question) -> CurveBand:
    """Return the curve at a budget, in the answer's unit."""
    values = posterior.scores_at(n) if question.in_scores else posterior.gains_at(n)
    return CurveBand(n, *_centre_and_ends(values, posterior, question))


def _end(values: Array, posterior: Posterior, question: Question) -> End | None:
    """Return what is known of zero-shot or the ceiling, None where the answer is in gains."""
    if not question.in_scores:
        return None
    known = bool(values.min() == values.max())
    return End(known, *_centre_and_ends(values, posterior, question))


def _at_budget(posterior: Posterior, question: Question) -> AtBudget | None:
    if question.budget is None:
        return None
    band = _band(posterior, question.budget, question)
    # The tolerance lets a curve that meets the target exactly at this budget count.
    if question.target is not None:
        met = posterior.gains_at(question.budget) >= question.target - _ROUNDING
    else:
        assert question.target_score is not None
        met = posterior.scores_at(question.budget) >= question.target_score - _ROUNDING
    chance = min(float(posterior.weights[met].sum()), 1.0)
    return AtBudget(band.n, band.mean, band.low, band.high, chance=chance)


def _next_budget(labels: Array, posterior: Posterior, question: Question) -> int | None:
    """Return the budget to label up to and train at next."""
    tried = [int(o.budget) for o in question.observations]
    owned = max(tried, default=0)
    if question.met or owned >= LARGEST_BUDGET:
        return None
    # Without a score for the target nobody can say that what was tried has failed.
    failed = tried if question.target_score is not None else []
    return choose(labels, posterior.weights, owned, failed)


def _warnings(
    evidence: _Evidence | None, by_scores: Posterior, posterior: Posterior, question: Question
) -> list[str]:
    """Say what the intervals hold besides the curve, and where the clues disagree."""
    warnings = []
    if question.in_scores:
        for name, values, known in (
            ("zero-shot", posterior.zero_shot, question.zero_shot),
            ("ceiling", posterior.ceiling, question.ceiling),
        ):
            if known is None:
                _, low, high = _centre_and_ends(values, posterior, question)
                warnings.append(
                    f"the {name} is unknown: it probably lies within {low:.2f} to {high:.2f} "
                    f"({100 * question.level:.4g}%), as on other tasks, and the intervals hold "
                    f"that; give --{name} if you can"
                )
    if evidence is not None and evidence.heard and question.observations:
        areas = by_scores.areas()
        sd = math.hypot(float(areas.std()), evidence.estimate.sd)
        if abs(float(areas.mean()) - evidence.estimate.mean) > CONTRADICTED * sd:
            warnings.append(
                f"CoS-Low (AUC {evidence.estimate.mean:.2f}) and the observed scores (AUC "
                f"{areas.mean():.2f}) contradict each other; check both"
            )
    return warnings


def _shares(
    prior: CurvePrior,
    evidence: _Evidence | None,
    by_scores: Posterior,
    posterior: Posterior,
    question: Question,
) -> Shares:
    observed = by_scores if question.observations else None
    by_card = evidence.put_into(prior.plain) if evidence is not None else None
    if evidence is not None and not evidence.heard:
        # The mean of the card's tasks is what is likely before this task has said anything.
        start = by_card or prior.plain
        told = posterior if observed is not None else None
        return shares(start, None, told, told or start)
    both = posterior if observed is not None else by_card
    return shares(prior.plain, by_card, observed, prior.plain if both is None else both)


def _power_law(evidence: _Evidence | None, question: Question) -> PowerLaw | None:
    if evidence is None or not evidence.heard:
        return None
    if question.target is None or question.met_by_zero_shot:
        return None
    auc = evidence.estimate.mean
    labels = power_law.labels_for_gain(question.target, auc)
    return PowerLaw(auc, power_law.exponent(auc), math.ceil(labels - 1e-6))


def _answered_by(evidence: _Evidence | None, question: Question) -> tuple[str, ...]:
    if question.met_by_zero_shot:
        return ("zero-shot",)
    heard = evidence is not None and evidence.heard
    sources = {"coslow": heard, "scores": bool(question.observations)}
    return (*(name for name, used in sources.items() if used), "prior")


def _check_draw(seed: int, samples: int) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"--seed: expected a whole number 0 or more, not {seed!r}")
    whole = isinstance(samples, int | np.integer) and not isinstance(samples, bool)
    if not whole or samples < MIN_SAMPLES:
        raise InputError(f"samples: expected a whole number {MIN_SAMPLES} or more, not {samples!r}")
