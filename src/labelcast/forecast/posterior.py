"""What is known of a curve: weighted samples of it, with its zero-shot and ceiling.

Knows samples and how a statement about their area weighs them. Does not know how they were found.
"""

import math
from typing import NamedTuple

import numpy as np

from labelcast.errors import InputError
from labelcast.forecast.efficiency import Array, labels_needed, log_position
from labelcast.forecast.student import t_log_density

_BINS = 256
_SMALLEST_SD = 1e-6


class AreaDensity(NamedTuple):
    """The prior density of the area, up to a constant, at equal steps from 0 to 1."""

    density: Array

    @classmethod
    def of(cls, areas: Array) -> "AreaDensity":
        """Smooth sampled areas, [n], by a Gaussian kernel of Silverman's width."""
        width = 0.9 * float(areas.std()) * len(areas) ** -0.2
        counts, edges = np.histogram(areas, bins=_BINS, range=(0.0, 1.0))
        middle = (edges[1:] + edges[:-1]) / 2
        kernel = np.exp(-0.5 * ((middle[:, None] - middle[None]) / width) ** 2)
        # Divided by the kernel's mass within the range that occurs, so that its ends do not sag.
        inside = (middle >= areas.min()) & (middle <= areas.max())
        return cls((kernel @ counts) / (kernel @ inside))

    def at(self, areas: Array) -> Array:
        """Return the density at areas, [n], above 0."""
        middle = (np.arange(_BINS) + 0.5) / _BINS
        floor = 1e-3 * self.density.max()
        return np.asarray(np.maximum(np.interp(areas, middle, self.density), floor))


class Posterior(NamedTuple):
    """Weighted samples of curves.

    Attributes:
        budgets: knots in labels, rising: the grid and every observed budget off it, [k].
        curves: gains at the knots, [n, k]: 0 at zero-shot, never falling, within 0 and 1.
        weights: [n], sum 1.
        zero_shot, ceiling: scores of each sample, [n]; 0 and 1 where only gains are known.
        prior_area: density of the area before anything was observed.
    """

    budgets: Array
    curves: Array
    weights: Array
    zero_shot: Array
    ceiling: Array
    prior_area: AreaDensity

    def areas(self) -> Array:
        """Return the area of every sample: its data efficiency, [n]."""
        steps = np.diff(log_position(self.budgets))
        return np.asarray((self.curves[:, 1:] + self.curves[:, :-1]) @ steps / 2)

    def gains_at(self, budget: float) -> Array:
        """Return the gain of every sample at a budget (0 to 5,000 labels), [n]."""
        x, at = log_position(self.budgets), float(log_position(budget))
        right = int(np.clip(np.searchsorted(x, at), 1, len(x) - 1))
        share = (at - x[right - 1]) / (x[right] - x[right - 1])
        left = self.curves[:, right - 1]
        return np.asarray(left + share * (self.curves[:, right] - left))

    def scores_at(self, budget: float) -> Array:
        """Return the score of every sample at a budget, [n]."""
        return self.zero_shot + self.gains_at(budget) * (self.ceiling - self.zero_shot)

    def labels_for_gain(self, fraction: float) -> Array:
        """Return the labels at which each sample reaches a fraction of the gain, [n]."""
        return labels_needed(log_position(self.budgets), self.curves, fraction)

    def labels_for_score(self, score: float) -> Array:
        """Return the labels at which each sample reaches a score, [n]; infinite where never."""
        asked = (score - self.zero_shot) / (self.ceiling - self.zero_shot)
        return labels_needed(log_position(self.budgets), self.curves, asked)

    def measured_auc(self, mean: float, sd: float) -> "Posterior":
        """Multiply with a measurement of the area that has a normal error.

        Raises:
            InputError: a number is not finite, or sd below 0.
        """
        _check_auc(mean, sd)
        return self._weighed(-0.5 * ((self.areas() - mean) / max(sd, _SMALLEST_SD)) ** 2)

    def predicted_auc(self, mean: float, sd: float, df: float) -> "Posterior":
        """Replace what the prior believes of the area by a prediction, a t distribution.

        A calibrated AUC is a regression on CoS-Low, centred already: to measure the area with it
        would shrink it to the prior's mean once more.

        Raises:
            InputError: a number is not finite, sd below 0, or df below 1.
        """
        _check_auc(mean, sd)
        if not df >= 1:
            raise InputError(f"a t distribution needs 1 degree of freedom or more, not {df!r}")
        areas = self.areas()
        said = t_log_density((areas - mean) / max(sd, _SMALLEST_SD), df)
        return self._weighed(said - np.log(self.prior_area.at(areas)))

    def _weighed(self, log_ratio: Array) -> "Posterior":
        with np.errstate(divide="ignore"):
            log_weights = np.log(self.weights) + log_ratio
        weights = np.exp(log_weights - log_weights.max())
        return self._replace(weights=weights / weights.sum())

    @property
    def effective_samples(self) -> float:
        """How many samples of equal weight these are worth."""
        return float(1 / (self.weights**2).sum())


def _check_auc(mean: float, sd: float) -> None:
    if not (math.isfinite(mean) and math.isfinite(sd)) or sd < 0:
        raise InputError("an AUC needs a finite mean and an sd of 0 or more")
