"""A distribution over whole curves, conditioned on an AUC and on observed scores.

Knows curves as eight normalised gains on the grid and a Gaussian over them. Does not know scores,
ceilings, calibrations or targets: what it is given is in units of the gain already.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from labelcast.curves.efficiency import GRID, LARGEST_BUDGET, Array, log_position
from labelcast.errors import InputError

DIAGONAL = 1e-4
"""Added to the variance of every grid value, so that the covariance can be inverted."""

_SMALLEST_SD = 1e-6

Observation = tuple[float, float, float]
"""A budget (labels), the gain observed there, and the standard deviation of its noise."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """What is known of a curve: a Gaussian over its gains on the grid.

    Attributes:
        mean: [8].
        covariance: [8, 8].
        auc_mean, auc_sd: of the area, before the running maximum and the bounds.
    """

    mean: Array
    covariance: Array
    auc_mean: float
    auc_sd: float

    def sample(self, n: int, seed: int) -> Array:
        """Draw n curves, [n, 8]: never falling, within 0 and 1, 0 at zero-shot.

        >>> curves = CurvePrior.load().condition().sample(3, seed=0)
        >>> curves.shape, bool((np.diff(curves) >= 0).all())
        ((3, 8), True)
        """
        draws = np.random.default_rng(seed).standard_normal((n, len(GRID)))
        curves = self.mean + draws @ _symmetric_root(self.covariance)
        curves[:, 0] = 0.0
        return np.clip(np.maximum.accumulate(curves, axis=1), 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class CurvePrior:
    """A Gaussian over the normalised gains on the grid.

    Attributes:
        mean: [8].
        covariance: [8, 8].

    Source: fitted to the published curves of Je and Raffel (2025); `prior.json` says how.
    """

    mean: Array
    covariance: Array

    @classmethod
    @cache
    def load(cls) -> "CurvePrior":
        """Return the prior that ships with the package."""
        text = files("labelcast.curves").joinpath("prior.json").read_text(encoding="utf-8")
        fitted = json.loads(text)
        return cls(np.array(fitted["mean"]), np.array(fitted["covariance"]))

    @classmethod
    def from_curves(cls, gains: npt.ArrayLike) -> "CurvePrior":
        """Fit mean and covariance to curves of gains on the grid, [curves, 8].

        Raises:
            InputError: under two curves, another width than the grid's, or a value not finite.
        """
        curves = np.asarray(gains, dtype=np.float64)
        if curves.ndim != 2 or curves.shape[1] != len(GRID) or len(curves) < 2:
            raise InputError(f"a prior needs two curves or more of {len(GRID)} gains each")
        if not np.isfinite(curves).all():
            raise InputError("a prior cannot be fitted to gains that are not finite")
        covariance = np.cov(curves, rowvar=False) + DIAGONAL * np.eye(len(GRID))
        return cls(curves.mean(axis=0), covariance)

    def with_auc(self, mean: float, sd: float) -> "CurvePrior":
        """Replace what is believed of the area by a prediction of it; the shape follows.

        For a calibrated prediction (a regression on CoS-Low), which is centred already: to
        measure the area with `condition` instead would shrink it to the prior's mean once more.

        Args:
            mean: the predicted area.
            sd: of its error.

        Raises:
            InputError: a number is not finite, or sd below 0.

        >>> prior = CurvePrior.load().with_auc(0.661, 0.108)
        >>> round(prior.condition().auc_mean, 6), round(prior.condition().auc_sd, 6)
        (0.661, 0.108)
        """
        if not (math.isfinite(mean) and math.isfinite(sd)) or sd < 0:
            raise InputError("an AUC needs a finite mean and an sd of 0 or more")
        weights = auc_weights()
        shared = self.covariance @ weights
        variance = float(weights @ shared)
        slope = shared / variance
        change = max(sd, _SMALLEST_SD) ** 2 - variance
        return CurvePrior(
            self.mean + slope * (mean - float(weights @ self.mean)),
            self.covariance + change * np.outer(slope, slope),
        )

    def condition(
        self,
        auc: tuple[float, float] | None = None,
        observations: Iterable[Observation] = (),
    ) -> Posterior:
        """Condition on a measurement of the area and on observed gains.

        Args:
            auc: the area measured and the standard deviation of the measurement's error. (A
                calibrated prediction is no measurement: see `with_auc`.)
            observations: (budget, gain, noise sd), at any budgets from 0 to 5,000; between the
                grid's budgets a curve is linear on the logarithmic axis. Their order is of no
                matter.

        Raises:
            InputError: a number is not finite, a budget outside 0 to 5,000, a negative sd.

        >>> posterior = CurvePrior.load().condition(observations=[(50, 0.7, 0.03)])
        >>> 0.5 < posterior.auc_mean < 0.7
        True
        """
        rows, values, sds = _measurements(auc, observations)
        mean, covariance = self.mean, self.covariance
        if len(values):
            shared = covariance @ rows.T
            weight = np.linalg.solve(rows @ shared + np.diag(sds**2), shared.T).T
            mean = mean + weight @ (values - rows @ mean)
            covariance = covariance - weight @ shared.T
            covariance = (covariance + covariance.T) / 2
        weights = auc_weights()
        variance = max(float(weights @ covariance @ weights), 0.0)
        return Posterior(mean, covariance, float(weights @ mean), math.sqrt(variance))


@cache
def auc_weights() -> Array:
    """Return the trapezoid's weights on the grid, [8]: gains @ weights is the area."""
    x = log_position(GRID)
    steps = np.diff(x)
    return np.concatenate([steps, [0.0]]) / 2 + np.concatenate([[0.0], steps]) / 2


MAX_GRID_AUC = float(auc_weights()[1:].sum())
"""The largest area on the grid, 0.770: nothing is measured between zero-shot and 50 labels."""


def grid_weights(budget: float) -> Array:
    """Return the weights on the grid, [8], that interpolate a curve at a budget (labels)."""
    x, at = log_position(GRID), float(log_position(budget))
    return np.array([np.interp(at, x, unit) for unit in np.eye(len(GRID))])


def _measurements(
    auc: tuple[float, float] | None, observations: Iterable[Observation]
) -> tuple[Array, Array, Array]:
    """Return functionals [m, 8], values [m] and noise sds [m], in an order of their own."""
    rows: list[Array] = []
    found: list[Sequence[float]] = []
    if auc is not None:
        rows.append(auc_weights())
        found.append(auc)
    for budget, gain, sd in sorted(observations):
        if not 0 <= budget <= LARGEST_BUDGET:
            raise InputError(f"budget {budget}: curves run from 0 to {LARGEST_BUDGET:,} labels")
        rows.append(grid_weights(budget))
        found.append((gain, sd))
    numbers = np.asarray(found, dtype=np.float64).reshape(-1, 2)
    if not np.isfinite(numbers).all() or (numbers[:, 1] < 0).any():
        raise InputError("an AUC or an observed gain needs finite numbers and an sd of 0 or more")
    matrix = np.asarray(rows, dtype=np.float64).reshape(-1, len(GRID))
    return matrix, numbers[:, 0], np.maximum(numbers[:, 1], _SMALLEST_SD)


def _symmetric_root(covariance: Array) -> Array:
    """Return the symmetric square root, which changes smoothly with the covariance."""
    values, vectors = np.linalg.eigh(covariance)
    root: Array = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return root
