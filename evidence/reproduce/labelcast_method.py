"""The method of `labelcast forecast`, put to the rows of the comparison.

Knows how the clues of a row are handed to the prior, and reads points and intervals off the
posterior with the functions that a forecast uses. Does not know how the prior works.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evidence.reproduce.fit_prior import fit_published
from evidence.reproduce.published import PublishedCurve
from evidence.reproduce.refinement_rows import Clues
from evidence.reproduce.scoring import LEVEL, TARGETS, LabelsPrediction, Prediction
from labelcast.forecast.efficiency import LARGEST_BUDGET, Array
from labelcast.forecast.intervals import (
    interval,
    label_interval,
    median_if_reached,
    weighted_quantiles,
)
from labelcast.forecast.observed import Observation, ScoreObservation
from labelcast.forecast.posterior import Posterior
from labelcast.forecast.prior import SAMPLES, CurvePrior

GAIN_NOISE_SD = 0.01
"""Noise of a published score, in units of the gain: the row's truth holds that very score."""

_SEED = 0


@dataclass(frozen=True)
class LabelcastMethod:
    """The prior over whole curves, fitted anew to the other tasks."""

    name: str = "labelcast"
    samples: int = SAMPLES

    def fit(self, curves: Sequence[PublishedCurve]) -> "FittedLabelcast":
        """Fit the prior to the other tasks' curves."""
        return FittedLabelcast(fit_published(curves), self.samples)


@dataclass(frozen=True, eq=False)
class FittedLabelcast:
    """The prior, and how many curves to sample."""

    prior: CurvePrior
    samples: int

    def predict(self, clues: Clues) -> Prediction:
        """Condition on the scores once, then on each draw of the AUC."""
        seen = self.condition(clues)
        if clues.aucs is None:
            posteriors = [seen]
        else:
            posteriors = [seen.measured_auc(float(a), clues.auc_error_sd) for a in clues.aucs]
        known = clues.ceiling is not None
        areas = seen.areas()
        ends = seen.gains_at(LARGEST_BUDGET) if known else seen.scores_at(LARGEST_BUDGET)
        gains = [seen.labels_for_gain(target) for target in TARGETS]
        scores = [seen.labels_for_score(target) for target in clues.score_targets]
        return Prediction(
            auc=_medians(posteriors, areas),
            auc_interval=_intervals(posteriors, areas),
            labels=_labels(posteriors, gains, shifted=True),
            score_5000=_medians(posteriors, ends),
            score_5000_interval=_intervals(posteriors, ends),
            score_target=None if known else _labels(posteriors, scores, shifted=False),
            labels_median=np.stack([_medians(posteriors, labels) for labels in gains], axis=1),
        )

    def condition(self, clues: Clues) -> Posterior:
        """Condition on the scores, as gains where the ceiling is known."""
        seen = list(zip(clues.budgets, clues.scores, strict=True))
        if clues.ceiling is None:
            return self.prior.condition_on_scores(
                [ScoreObservation(n, score, 0.0) for n, score in seen],
                clues.zero_shot,
                None,
                gain_sd=GAIN_NOISE_SD,
                samples=self.samples,
                seed=_SEED,
            )
        span = clues.ceiling - clues.zero_shot
        gains = [Observation(n, (s - clues.zero_shot) / span, GAIN_NOISE_SD) for n, s in seen]
        return self.prior.condition(gains, samples=self.samples, seed=_SEED)


def _medians(posteriors: Sequence[Posterior], values: Array) -> Array:
    return np.array([weighted_quantiles(values, p.weights, [0.5])[0] for p in posteriors])


def _intervals(posteriors: Sequence[Posterior], values: Array) -> Array:
    return np.array([interval(values, p.weights, LEVEL) for p in posteriors])


def _labels(
    posteriors: Sequence[Posterior], labels: Sequence[Array], *, shifted: bool
) -> LabelsPrediction:
    """Return points and intervals of the labels for each target."""

    def each(read: Callable[[Array, Array], object]) -> Array:
        return np.array([[read(sample, p.weights) for sample in labels] for p in posteriors])

    return LabelsPrediction(
        point=each(median_if_reached),
        interval=each(lambda sample, w: label_interval(sample, w, LEVEL, shifted=shifted)),
    )
