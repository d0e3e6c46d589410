"""How good a forecast of a curve was: errors, coverage, interval scores, clustered by task."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from labelcast.errors import InputError
from labelcast.forecast.efficiency import LARGEST_BUDGET, Array

TARGETS = (0.5, 0.7, 0.9)
"""Targets, as fractions of the gain."""

FLOOR = 50
"""Nothing was measured below this number of labels, so smaller numbers count as this one."""

LEVEL = 0.9
"""Confidence level of the intervals."""

RESAMPLES = 2000

_ROUNDING = 1e-6
_LOG2_ROUNDING = 1e-4

MEASURES = (
    "auc_error",
    "labels_error_0.5",
    "labels_error_0.7",
    "labels_error_0.9",
    "unfloored_error_0.5",
    "unfloored_error_0.7",
    "unfloored_error_0.9",
    "median_error_0.5",
    "median_error_0.7",
    "median_error_0.9",
    "score_error_5000",
    "covers_auc",
    "covers_labels",
    "covers_score_5000",
    "interval_score_auc",
    "interval_score_labels",
    "interval_score_score_5000",
    "score_target_error_0.5",
    "score_target_error_0.7",
    "score_target_error_0.9",
    "covers_score_target",
    "interval_score_score_target",
)
"""Names of the criteria, in the order of `measure`. Errors and interval scores of labels are in
log2, those of the score at 5,000 in its own unit; coverages are shares."""


@dataclass(frozen=True)
class Truth:
    """The measured truth of a curve.

    Attributes:
        auc: its area.
        labels: labels needed for each of `TARGETS`, None if not reached.
        score_5000: the score at 5,000 labels, in the unit of the prediction.
    """

    auc: float
    labels: tuple[float | None, ...]
    score_5000: float


@dataclass(frozen=True, eq=False)
class LabelsPrediction:
    """Labels needed for each of `TARGETS`.

    Attributes:
        point: [D, 3]; infinite if the prediction never reaches the target.
        interval: [D, 3, 2], open above if the upper end is infinite; None without one.
    """

    point: Array
    interval: Array | None


@dataclass(frozen=True, eq=False)
class Prediction:
    """The prediction for one curve, for each of D draws of the noise.

    Attributes:
        auc: [D].
        auc_interval: [D, 2]; None if the method has none, as for the next two.
        labels: for fractions of the gain.
        score_5000: score at 5,000 labels, [D].
        score_5000_interval: [D, 2].
        score_target: labels for targets given as scores, if the ceiling is unknown.
        labels_median: plain median of the labels, infinite if half the curves never reach the
            target, [D, 3]; None if there is only the point.
    """

    auc: Array
    auc_interval: Array | None
    labels: LabelsPrediction
    score_5000: Array | None = None
    score_5000_interval: Array | None = None
    score_target: LabelsPrediction | None = None
    labels_median: Array | None = None


def interval_score(low: Array, high: Array, truth: npt.ArrayLike, level: float = LEVEL) -> Array:
    """Return the score of intervals (lower is better): width, and 2 / (1 - level) times the miss.

    Source: Gneiting and Raftery (2007), JASA 102(477), equation 43.

    >>> interval_score(np.array([0.0, 0.5]), np.array([1.0, 1.0]), 0.25).round(6).tolist()
    [1.0, 5.5]
    """
    t = np.asarray(truth, dtype=np.float64)
    missed = np.maximum(low - t, 0) + np.maximum(t - high, 0)
    return np.asarray(high - low + 2 / (1 - level) * missed)


def measure(truth: Truth, prediction: Prediction) -> Array:
    """Return the mean of every criterion over the draws, [len(MEASURES)]; NaN if none applies.

    Labels are compared in log2 between 50 and 5,000: all truths and predictions below 50 are equal,
    and a prediction that never reaches the target counts as 5,000. A target that is not reached has
    no error; its interval covers it if it is open above.
    """
    found: dict[str, float] = {"auc_error": float(np.abs(prediction.auc - truth.auc).mean())}
    found |= _labels_errors(truth, prediction.labels.point, "labels_error", FLOOR)
    found |= _labels_errors(truth, prediction.labels.point, "unfloored_error", 1)
    plain = prediction.labels_median
    plain = prediction.labels.point if plain is None else plain
    found |= _labels_errors(truth, plain, "median_error", FLOOR)
    found |= _labels_intervals(truth, prediction.labels.interval, "labels")
    found |= _number_interval(truth.auc, prediction.auc_interval, "auc")
    if prediction.score_5000 is not None:
        found["score_error_5000"] = float(np.abs(prediction.score_5000 - truth.score_5000).mean())
    found |= _number_interval(truth.score_5000, prediction.score_5000_interval, "score_5000")
    if prediction.score_target is not None:
        target = prediction.score_target
        found |= _labels_errors(truth, target.point, "score_target_error", FLOOR)
        found |= _labels_intervals(truth, target.interval, "score_target")
    return np.array([found.get(name, math.nan) for name in MEASURES])


def _labels_errors(truth: Truth, point: Array, name: str, floor: int) -> dict[str, float]:
    logs = np.log2(np.clip(point, floor, LARGEST_BUDGET))
    return {
        f"{name}_{target}": float(np.abs(logs[:, j] - math.log2(max(labels, floor))).mean())
        for j, (target, labels) in enumerate(zip(TARGETS, truth.labels, strict=True))
        if labels is not None
    }


def _labels_intervals(truth: Truth, interval: Array | None, name: str) -> dict[str, float]:
    if interval is None:
        return {}
    needed = np.array([math.inf if n is None else n for n in truth.labels])
    logs = np.log2(np.maximum(needed, FLOOR))
    low = np.log2(np.clip(interval[..., 0], FLOOR, LARGEST_BUDGET))
    high = np.log2(np.maximum(interval[..., 1], FLOOR))
    covered = (low <= logs + _LOG2_ROUNDING) & (logs <= high + _LOG2_ROUNDING)
    top = math.log2(LARGEST_BUDGET)
    scores = interval_score(low, np.minimum(high, top), np.minimum(logs, top))
    return {f"covers_{name}": float(covered.mean()), f"interval_score_{name}": float(scores.mean())}


def _number_interval(truth: float, interval: Array | None, name: str) -> dict[str, float]:
    if interval is None:
        return {}
    low, high = interval[:, 0], interval[:, 1]
    covered = (low <= truth + _ROUNDING) & (truth <= high + _ROUNDING)
    return {
        f"covers_{name}": float(covered.mean()),
        f"interval_score_{name}": float(interval_score(low, high, truth).mean()),
    }


@dataclass(frozen=True)
class Estimate:
    """A figure with its task-clustered 95% bootstrap interval; None if nothing applies."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, eq=False)
class TaskBootstrap:
    """Resamples of the tasks, with all curves of a task together.

    Attributes:
        counts: how often each curve is drawn, [resamples, curves].
    """

    counts: Array

    @classmethod
    def of(cls, tasks: Sequence[str], seed: int = 0, resamples: int = RESAMPLES) -> "TaskBootstrap":
        """Draw the resamples.

        Args:
            tasks: the task of each curve.
            seed: of the draws.
            resamples: number of resamples.

        Raises:
            InputError: there is no curve.
        """
        if not tasks:
            raise InputError("no curves to resample")
        names, owner = np.unique(np.asarray(tasks), return_inverse=True)
        generator = np.random.default_rng(seed)
        even = np.full(len(names), 1 / len(names))
        drawn = generator.multinomial(len(names), even, size=resamples)
        return cls(drawn[:, owner].astype(np.float64))

    def means(self, values: Array) -> tuple[Array, Array]:
        """Return the means over curves, ignoring NaN, and those of every resample.

        Args:
            values: [curves, ...].

        Returns:
            [...] and [resamples, ...]; NaN if no curve has a value.
        """
        known = ~np.isnan(values)
        filled, there = np.where(known, values, 0.0), known.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            once = filled.sum(axis=0) / there.sum(axis=0)
            drawn = np.tensordot(self.counts, filled, 1) / np.tensordot(self.counts, there, 1)
        return once, drawn

    def spread(self, times: int) -> "TaskBootstrap":
        """Return the resamples for data in which each curve has `times` values in a row."""
        return TaskBootstrap(np.repeat(self.counts, times, axis=1))

    def mean(self, values: Array) -> Estimate:
        """Return the mean over curves of values, [curves], with its interval."""
        return estimate(*self.means(values))


def estimate(value: npt.ArrayLike, resampled: Array) -> Estimate:
    """Turn a figure and its resamples, [resamples], into an estimate with a 95% interval.

    >>> estimate(1.0, np.array([1.0, 1.0]))
    Estimate(value=1.0, low=1.0, high=1.0)
    """
    number, drawn = float(np.asarray(value)), resampled[~np.isnan(resampled)]
    if math.isnan(number) or not len(drawn):
        return Estimate(None, None, None)
    low, high = np.percentile(drawn, [2.5, 97.5]).tolist()
    return Estimate(number, low, high)
