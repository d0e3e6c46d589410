"""The methods of the published table, for comparison: a Gaussian over curves, and the power law."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evidence.reproduce.published import PublishedCurve
from evidence.reproduce.refinement_rows import Clues
from evidence.reproduce.scoring import LEVEL, TARGETS, LabelsPrediction, Prediction
from labelcast.forecast.distributions import normal_quantile
from labelcast.forecast.efficiency import (
    GRID,
    Array,
    budget_at,
    log_position,
    power_law_labels,
)

DIAGONAL = 1e-4
GAIN_NOISE_SD = 0.03
SAMPLES = 400
_FEWEST_PER_CEILING = 6
_SEED = 7
_TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)


@dataclass(frozen=True)
class TableMethod:
    """A Gaussian over the eight gains of the grid, conditioned on the area and on the scores.

    The baseline draws an unknown ceiling from the other tasks' ceilings above the best observed
    score.
    """

    name: str = "table"

    def fit(self, task: str, curves: Sequence[PublishedCurve]) -> "FittedTable":
        """Take mean, covariance and ceilings of the other tasks' curves."""
        gains = np.array([curve.grid_gains for curve in curves])
        return FittedTable(
            gains.mean(axis=0),
            np.cov(gains, rowvar=False) + DIAGONAL * np.eye(len(GRID)),
            np.array([curve.curve.ceiling for curve in curves]),
        )


@dataclass(frozen=True, eq=False)
class FittedTable:
    """The Gaussian and the ceilings.

    Attributes:
        mean: [8].
        covariance: [8, 8].
        ceilings: of the other tasks' curves, [curves].
    """

    mean: Array
    covariance: Array
    ceilings: Array

    def predict(self, clues: Clues) -> Prediction:
        """Predict from the mean curve; intervals from samples.

        Shapes: D draws of the AUC, C ceilings, S samples per ceiling, 8 budgets of the grid.
        """
        ceilings = self._ceilings(clues)
        spans = ceilings - clues.zero_shot
        means, covariance = self._condition(clues, spans)  # [D,C,8], [8,8]
        per_ceiling = max(_FEWEST_PER_CEILING, SAMPLES // len(ceilings))
        generator = np.random.default_rng(_SEED)
        noise = generator.standard_normal((len(ceilings), per_ceiling, len(GRID)))
        raw = means[:, :, None] + noise @ _root(covariance).T  # [D,C,S,8]
        raw = raw.reshape(len(means), -1, len(GRID))
        curves, centre = _bounded(raw), _bounded(means)
        sample_spans = np.repeat(spans, per_ceiling)
        mean_curve = centre.mean(axis=1)
        end = clues.zero_shot + (centre[..., -1] * spans).mean(axis=1)
        ends = clues.zero_shot + curves[..., -1] * sample_spans
        if clues.ceiling is not None:
            end, ends = mean_curve[:, -1], curves[..., -1]
        return Prediction(
            auc=mean_curve @ _area_weights(),
            auc_interval=self._auc_interval(means, covariance, raw),
            labels=_labels(mean_curve, curves, np.ones(curves.shape[1]), TARGETS),
            score_5000=end,
            score_5000_interval=np.quantile(ends, _TAILS, axis=1, method="inverted_cdf").T,
            score_target=self._score_targets(clues, centre, spans, curves, sample_spans),
        )

    def _ceilings(self, clues: Clues) -> Array:
        """Return the ceiling, or the other tasks' ceilings above the observed scores (or 1)."""
        if clues.ceiling is not None:
            return np.array([clues.ceiling])
        best = max(clues.scores, default=clues.zero_shot)
        fitting = self.ceilings[(self.ceilings > best) & (self.ceilings > clues.zero_shot + 0.01)]
        return fitting if len(fitting) else np.array([max(1.0, best + 1e-6)])

    def _condition(self, clues: Clues, spans: Array) -> tuple[Array, Array]:
        """Return the conditional Gaussian: means [D,C,8] and their covariance [8,8]."""
        rows = [np.eye(len(GRID))[GRID.index(n)] for n in clues.budgets]
        gains = (np.array(clues.scores) - clues.zero_shot) / spans[:, None]  # [C,k]
        variances = [GAIN_NOISE_SD**2] * len(rows)
        seen = gains[None]
        if clues.aucs is not None:
            rows.append(_area_weights())
            variances.append(clues.auc_error_sd**2)
            shape = (len(clues.aucs), len(spans))
            areas = np.broadcast_to(clues.aucs[:, None, None], (*shape, 1))
            seen = np.concatenate([np.broadcast_to(gains, (*shape, len(gains[0]))), areas], axis=2)
        matrix = np.array(rows).reshape(-1, len(GRID))
        shared = self.covariance @ matrix.T
        weight = np.linalg.solve(matrix @ shared + np.diag(variances), shared.T)  # [k,8]
        means = self.mean + (seen - matrix @ self.mean) @ weight
        return means, self.covariance - shared @ weight

    def _auc_interval(self, means: Array, covariance: Array, raw: Array) -> Array:
        """Return the interval of the raw Gaussian's area, before the running maximum."""
        weights = _area_weights()
        if means.shape[1] > 1:
            return np.quantile(raw @ weights, _TAILS, axis=1, method="inverted_cdf").T
        half = normal_quantile(_TAILS[1]) * math.sqrt(weights @ covariance @ weights)
        middle = means[:, 0] @ weights
        return np.stack([middle - half, middle + half], axis=1)

    def _score_targets(
        self, clues: Clues, centre: Array, spans: Array, curves: Array, sample_spans: Array
    ) -> LabelsPrediction | None:
        """Return the labels for targets that are scores, if the ceiling is unknown."""
        if clues.ceiling is not None:
            return None
        above = tuple(target - clues.zero_shot for target in clues.score_targets)
        mean_curve = (centre * spans[:, None]).mean(axis=1)
        return _labels(mean_curve, curves, sample_spans, above)


@dataclass(frozen=True)
class PowerLawMethod:
    """The paper's one-shot forecast; it uses no other curves and has no interval."""

    name: str = "power law"

    def fit(self, task: str, curves: Sequence[PublishedCurve]) -> "PowerLawMethod":
        """Return itself: there is nothing to fit."""
        return self

    def predict(self, clues: Clues) -> Prediction:
        """Predict labels by the power law of each AUC.

        Raises:
            ValueError: the AUC is not known.
        """
        if clues.aucs is None:
            raise ValueError("the power law needs an AUC")
        labels = [[power_law_labels(t, float(auc)) for t in TARGETS] for auc in clues.aucs]
        return Prediction(clues.aucs, None, LabelsPrediction(np.array(labels), None))


def _area_weights() -> Array:
    """Return the trapezoid's weights on the grid, [8]."""
    steps = np.diff(log_position(GRID), prepend=0.0, append=1.0)
    return np.asarray((steps[:-1] + steps[1:]) / 2)


def _bounded(gains: Array) -> Array:
    """Return the running maximum over the last axis, within 0 and 1."""
    return np.asarray(np.clip(np.maximum.accumulate(gains, axis=-1), 0.0, 1.0))


def _root(covariance: Array) -> Array:
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def labels_needed(x: Array, gains: Array, fraction: float) -> Array:
    """Find the labels at which rising curves first reach a fraction of the gain.

    Args:
        x: positions on the logarithmic axis, [k], rising.
        gains: curves that never fall, [n, k].
        fraction: the gain asked for.

    Returns:
        Labels, [n], linear between the points on the logarithmic axis; 0 where a curve that
        starts at zero-shot meets the fraction there, infinite where it is never reached.
    """
    reached = gains >= fraction
    right = np.argmax(reached, axis=1)
    left = np.maximum(right - 1, 0)
    rows = np.arange(len(gains))
    rise = gains[rows, right] - gains[rows, left]
    share = np.divide(fraction - gains[rows, left], rise, out=np.zeros_like(rise), where=rise > 0)
    labels = budget_at(x[left] + share * (x[right] - x[left]))
    labels = np.where((right == 0) & (x[0] == 0), 0.0, labels)
    return np.where(reached.any(axis=1), labels, np.inf)


def _labels(
    mean_curve: Array, curves: Array, spans: Array, targets: Sequence[float]
) -> LabelsPrediction:
    """Return labels for targets in the unit of `mean_curve`; samples are scaled by their span.

    Args:
        mean_curve: [D, 8].
        curves: gains, [D, samples, 8].
        spans: the full gain in that unit, [samples].
        targets: above zero-shot.
    """
    x = log_position(GRID)
    points, intervals = [], []
    for target in targets:
        points.append(labels_needed(x, mean_curve, target))
        scaled = curves * (spans / target)[:, None]
        labels = labels_needed(x, scaled.reshape(-1, len(GRID)), 1.0).reshape(curves.shape[:2])
        ends = np.quantile(labels, _TAILS, axis=1, method="inverted_cdf")
        intervals.append(ends.T)
    return LabelsPrediction(np.stack(points, axis=1), np.stack(intervals, axis=1))
