"""Normal and t distributions, normal numbers on a lattice, Gaussian mixtures, weighted quantiles.

Written here because importing scipy.special takes longer than a forecast, and numpy.random a tenth
of one; the tests compare the values with scipy's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from labelcast.forecast.efficiency import Array

_SLACK = 1e-12
_PANELS = 400
_SQRT_2 = math.sqrt(2.0)


def normal_cdf(z: npt.ArrayLike) -> Array:
    """Return the standard normal distribution function, of the same shape.

    >>> round(float(normal_cdf(1.6448536269514722)), 12)
    0.95
    """
    values = np.asarray(z, dtype=np.float64)
    flat = (values.ravel() / -_SQRT_2).tolist()
    tails = np.fromiter(map(math.erfc, flat), np.float64, len(flat))
    return np.asarray(0.5 * tails.reshape(values.shape), dtype=np.float64)


def normal_quantile(probability: float) -> float:
    """Return the standard normal quantile of a probability strictly between 0 and 1.

    >>> round(normal_quantile(0.95), 4)
    1.6449
    """
    return NormalDist().inv_cdf(probability)


def t_quantile(probability: float, df: float) -> float:
    """Return Student's t quantile.

    Args:
        probability: strictly between 0 and 1.
        df: degrees of freedom, at least 1; need not be an integer.

    Returns:
        The quantile, to 1e-5 relative (1e-3 below 2 degrees of freedom) where the probability
        lies within 0.0005 to 0.9995.

    >>> round(t_quantile(0.95, 28), 4)
    1.7011
    """
    if probability < 0.5:
        return -t_quantile(1 - probability, df)
    # With t = sqrt(df) tan(angle) the density is cos(angle) ** (df - 1) on a bounded range.
    log_scale = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - math.log(math.pi) / 2
    scale = math.exp(log_scale)
    low, high = 0.0, math.pi / 2
    angle = math.atan(normal_quantile(probability) / math.sqrt(df))
    for _ in range(100):
        excess = scale * _cosine_power_area(angle, df - 1) - (probability - 0.5)
        low, high = (low, angle) if excess > 0 else (angle, high)
        slope = scale * math.cos(angle) ** (df - 1)
        step = angle - excess / slope if slope > 0 else high
        new = step if low < step < high else (low + high) / 2
        if abs(new - angle) <= 1e-15 * max(angle, 1e-300):
            break
        angle = new
    return math.sqrt(df) * math.tan(angle)


def _cosine_power_area(angle: float, power: float) -> float:
    """Integrate cos ** power from 0 to angle (below pi/2) by Simpson's rule."""
    points = np.linspace(0.0, angle, 2 * _PANELS + 1)
    values = np.cos(points) ** power
    inner = 4 * values[1:-1:2].sum() + 2 * values[2:-1:2].sum()
    return float((values[0] + inner + values[-1]) * angle / (6 * _PANELS))


@lru_cache(maxsize=8)
def lattice_normals(samples: int, dimensions: int, seed: int) -> Array:
    """Return standard normal numbers, [samples, dimensions]; do not write to them.

    Row i is at (i, i times powers of the generalised golden ratio) modulo 1, so that every run
    of rows is spread evenly; the Box-Muller transform makes the numbers normal. They leave less
    noise in a quantile than random ones.
    """
    uniforms = 2 * ((dimensions + 1) // 2)
    ratio = 2.0
    for _ in range(40):
        ratio = (1 + ratio) ** (1 / (uniforms + 1))
    steps = ratio ** -np.arange(1.0, uniforms + 1)
    shift = (seed + 1) * np.sqrt(np.arange(2.0, uniforms + 2) + np.pi) + 0.5
    points = (shift + np.arange(samples)[:, None] * steps) % 1.0
    length = np.sqrt(-2 * np.log1p(-points[:, ::2]))
    angle = 2 * np.pi * points[:, 1::2]
    normals = np.concatenate([length * np.cos(angle), length * np.sin(angle)], axis=1)
    normals = normals[:, :dimensions]
    normals.flags.writeable = False
    return np.asarray(normals)


@dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture of K Gaussians: weights [K], means [K, D], covariances [K, D, D]."""

    weights: Array
    means: Array
    covariances: Array

    @classmethod
    def from_dict(cls, parts: list[dict[str, Any]]) -> "Mixture":
        """Return the mixture of these components; a covariance is its upper triangle by rows."""
        means = np.array([part["mean"] for part in parts])
        size = means.shape[1]
        rows, columns = np.triu_indices(size)
        covariances = np.zeros((len(parts), size, size))
        upper = np.array([part["covariance"] for part in parts])
        covariances[:, rows, columns] = covariances[:, columns, rows] = upper
        return cls(np.array([part["weight"] for part in parts]), means, covariances)

    def draw(self, normals: Array) -> Array:
        """Turn standard normal numbers, [B, D], into draws, [B, D]; components take turns."""
        count = len(normals)
        steps = (np.arange(count) + 0.5) / count
        # A permutation without a pattern, so that no component has one corner of the lattice.
        order = np.argsort((np.arange(count) * 0.6180339887498949) % 1.0, kind="stable")
        component = np.empty(count, dtype=np.intp)
        component[order] = np.searchsorted(np.cumsum(self.weights)[:-1], steps)
        roots = np.linalg.cholesky(self.covariances)
        moved = np.einsum("bde,be->bd", roots[component], normals)
        return np.asarray(self.means[component] + moved)


def weighted_quantiles(values: Array, weights: Array, probabilities: Sequence[float]) -> Array:
    """Return quantiles that are values of the samples themselves.

    Args:
        values: [n]; infinite ones count as largest.
        weights: [n], not all 0.
        probabilities: [q], 0 to 1.

    Returns:
        For each probability the smallest value at or below which that share of the weight lies,
        [q]. Values may be infinite, so nothing is interpolated.

    >>> weighted_quantiles(np.array([3.0, 1.0, np.inf]), np.ones(3) / 3, [0.1, 0.5, 0.9])
    array([ 1.,  3., inf])
    """
    order = np.argsort(values)
    order = order[weights[order] > 0]
    total = np.cumsum(weights[order])
    at = np.searchsorted(total, (np.asarray(probabilities) - _SLACK) * total[-1])
    return np.asarray(values[order[np.minimum(at, len(order) - 1)]], dtype=np.float64)
