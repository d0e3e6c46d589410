"""The method of `labelcast forecast`, applied to the rows of the comparison."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from evidence.fit_prior import CURVES, ScoreFit
from evidence.reproduce.gains import fit_gains
from evidence.reproduce.intervals import interval, label_interval
from evidence.reproduce.published import PublishedCurve
from evidence.reproduce.refinement_rows import Clues
from evidence.reproduce.scoring import LEVEL, TARGETS, LabelsPrediction, Prediction
from labelcast.forecast.chances import POINT
from labelcast.forecast.distributions import weighted_quantiles
from labelcast.forecast.efficiency import LARGEST_BUDGET, Array
from labelcast.forecast.families import Prior
from labelcast.forecast.particles import Draws
from labelcast.forecast.posterior import Part, given_scores, joined
from labelcast.forecast.question import Question

GAIN_NOISE_SD = 0.015
"""Noise of a published score, in units of the gain. The row's truth contains the score itself, so
the noise only allows for the shape of the curves between budgets."""

_SMALLEST_SD = 1e-3
_HARDLY = 1e-3
"""If the chance of reaching a target is lower, its labels are those of the largest budget."""

PriorWithout = Callable[[str], Prior]
"""Returns the prior with score curves and headroom shares fitted without a task."""


def fit_scores(results: Path, folder: Path = CURVES) -> PriorWithout:
    """Fit the score curves once; return a function that leaves a task out.

    Args:
        results: the authors' results folder.
        folder: of other models' curves.
    """
    return cache(ScoreFit.cached(results, folder).prior_without)


def prior_without(task: str, curves: Sequence[PublishedCurve], without_task: PriorWithout) -> Prior:
    """Return the prior without a task.

    Args:
        task: the held-out task.
        curves: the published curves of the other tasks.
        without_task: returns the rest of the prior without the task.
    """
    gains, zero_shots, ceilings = fit_gains(curves)
    return replace(without_task(task), gains=gains, zero_shots=zero_shots, ceilings=ceilings)


@dataclass(frozen=True)
class LabelcastMethod:
    """The prior over curves, fitted to the other tasks."""

    without_task: PriorWithout
    name: str = "labelcast"

    def fit(self, task: str, curves: Sequence[PublishedCurve]) -> "FittedLabelcast":
        """Fit the prior to the other tasks' curves."""
        return FittedLabelcast(prior_without(task, curves, self.without_task))


@dataclass(frozen=True, eq=False)
class FittedLabelcast:
    """The prior of one held-out task."""

    prior: Prior

    def predict(self, clues: Clues) -> Prediction:
        """Condition on the scores once, then weight the same draws by each draw of the AUC."""
        parts = self.condition(clues)
        seen = joined(parts)
        weights = seen.weights[None]
        if clues.aucs is not None:
            weights = np.stack([auc_weights(parts, a, clues.auc_error_sd) for a in clues.aucs])
        known = clues.ceiling is not None
        end = seen.gains_at(LARGEST_BUDGET) if known else seen.at(LARGEST_BUDGET)
        areas, ends = _Sorted(seen.areas(), weights), _Sorted(end, weights)
        gains = [_Sorted(_within(seen.labels_for_gain(t)), weights) for t in TARGETS]
        scores = [_Sorted(_within(seen.labels_for_score(s)), weights) for s in clues.score_targets]
        return Prediction(
            auc=areas.medians(),
            auc_interval=areas.intervals(),
            labels=_labels(gains, shifted=not clues.budgets),
            score_5000=ends.medians(),
            score_5000_interval=ends.intervals(),
            score_target=None if known else _labels(scores, shifted=False),
            labels_median=np.stack([labels.medians() for labels in gains], axis=1),
        )

    def condition(self, clues: Clues) -> list[Part]:
        """Return each family's draws given the scores and the known ends."""
        top = 1.0 if clues.ceiling is None else clues.ceiling
        sd = GAIN_NOISE_SD * (top - clues.zero_shot)
        question = Question.of(
            zero_shot=clues.zero_shot,
            ceiling=clues.ceiling,
            observations=[(n, s, sd) for n, s in zip(clues.budgets, clues.scores, strict=True)],
        )
        published = clues.ceiling is not None or clues.aucs is not None
        return given_scores(self.prior, question, published=published)


def auc_weights(parts: Sequence[Part], auc: float, sd: float) -> Array:
    """Return the weights of the joined draws given an AUC: each family keeps its share, [B]."""
    known = [part._replace(given=measured_auc(part.given, float(auc), sd)) for part in parts]
    return np.concatenate([part.share * part.final().weights for part in known])


def measured_auc(draws: Draws, mean: float, sd: float) -> Draws:
    """Weigh draws by a measurement of the area with a normal error."""
    return draws.reweighted(-0.5 * ((draws.areas() - mean) / max(sd, _SMALLEST_SD)) ** 2)


def _within(labels: Array) -> Array:
    """Return labels with those beyond 5,000 infinite, [B]."""
    return np.where(labels <= LARGEST_BUDGET * (1 + 1e-9), labels, np.inf)


class _Sorted:
    """Values in rising order, [B], with the weights of D draws of the AUC, [D, B].

    Sorting sorted values again costs little, so the forecast's own functions can be used for every
    draw.
    """

    def __init__(self, values: Array, weights: Array) -> None:
        order = np.argsort(values, kind="stable")
        self.values = values[order]
        self.weights = weights[:, order]

    def medians(self) -> Array:
        """Return the median for each draw, [D]."""
        return np.array([weighted_quantiles(self.values, w, [0.5])[0] for w in self.weights])

    def intervals(self) -> Array:
        """Return the interval for each draw, [D, 2]."""
        return np.array([interval(self.values, w, LEVEL) for w in self.weights])

    def each(self, read: Callable[[Array, Array], object]) -> Array:
        """Return the result of a function for each draw, [D, ...]."""
        return np.array([read(self.values, w) for w in self.weights])


def _labels(labels: Sequence[_Sorted], *, shifted: bool) -> LabelsPrediction:
    """Return points and intervals of the labels for each target."""

    def guess(values: Array, weights: Array) -> float:
        reached = np.where(np.isfinite(values), weights, 0.0)
        if reached.sum() <= _HARDLY:
            return LARGEST_BUDGET
        return float(weighted_quantiles(values, reached, [POINT])[0])

    def ends(values: Array, weights: Array) -> tuple[float, float]:
        return label_interval(values, weights, LEVEL, shifted=shifted)

    return LabelsPrediction(
        point=np.stack([one.each(guess) for one in labels], axis=1),
        interval=np.stack([one.each(ends) for one in labels], axis=1),
    )
