"""The fit of the published curves as gains: a kernel density, merged into a few components.

`python -m evidence.fit_prior` writes the result to the shipped prior; the comparisons here fit it
without the held-out task. No measured curve can be recovered from the result.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from evidence.reproduce.published import PublishedCurve
from labelcast.errors import InputError
from labelcast.forecast.distributions import Mixture, normal_quantile
from labelcast.forecast.efficiency import GRID, Array
from labelcast.forecast.families import EDGE

COMPONENTS = 12
"""Components after merging, at most: as accurate as the kernel density itself."""

QUANTILES = 33
FEWEST_TASKS = 3

JITTER = 1e-4
"""Added to the variance of every latent value, so that the covariance can be inverted."""

_SPAN = 1 - 2 * EDGE
_BEYOND = 0.8 * EDGE / _SPAN


def fit_gains(curves: Sequence[PublishedCurve]) -> tuple[Mixture, Array, Array]:
    """Fit the gains of published curves; every task has the same weight.

    Args:
        curves: of three tasks or more.

    Returns:
        The mixture over latent gains at 50, 100, ... 5,000 labels, and 33 quantiles at equal steps
        of the zero-shot scores and of the ceilings, each [33].

    Raises:
        InputError: too few tasks, or no curve with a zero-shot score.
    """
    tasks = [curve.task for curve in curves]
    if len(set(tasks)) < FEWEST_TASKS:
        raise InputError("a prior needs curves of three tasks or more")
    weights = np.array([1 / tasks.count(task) for task in tasks])
    weights /= weights.sum()
    latent = to_latent(np.array([curve.grid_gains[1:] for curve in curves]))
    # Scott's rule in seven dimensions: a task counts once, however many models it has.
    bandwidth = len(set(tasks)) ** (-1 / (len(GRID) + 3))
    kernel = bandwidth**2 * _covariance(latent, weights)
    has = np.array([0 in curve.raw for curve in curves])
    if not has.any():
        raise InputError("a prior needs curves with a zero-shot score")
    zero_shots = np.array([curve.curve.zero_shot for curve in curves])
    ceilings = np.array([curve.curve.ceiling for curve in curves])
    return (
        merged(weights, latent, kernel, COMPONENTS),
        _equal_quantiles(zero_shots[has], weights[has]),
        _equal_quantiles(ceilings, weights),
    )


def to_latent(gains: Array) -> Array:
    """Turn gains into the latent values of `GainFamily`, of the same shape.

    >>> [round(float(z), 3) for z in to_latent(np.array([0.0, 0.5, 1.0]))]
    [-1.645, 0.0, 1.645]
    """
    inside = (EDGE + _SPAN * np.clip(gains, -_BEYOND, 1 + _BEYOND)).ravel().tolist()
    latent = np.fromiter(map(normal_quantile, inside), np.float64, len(inside))
    return np.asarray(latent.reshape(gains.shape))


def merged(weights: Array, means: Array, covariance: Array, components: int) -> Mixture:
    """Merge kernels of one covariance until few components are left; mean and spread stay.

    Each step merges the two that widen least (Ward's rule, in units of the kernel).

    Args:
        weights: of the kernels, [K], above 0.
        means: [K, D].
        covariance: of every kernel, [D, D].
        components: the most that are left, at least 1; none is a single kernel.
    """
    order = np.lexsort((*means.T[::-1], weights))
    w, m = weights[order] / weights.sum(), means[order]
    spread = np.zeros((len(w), *covariance.shape))
    kernels = np.ones(len(w))
    unit = np.linalg.inv(np.linalg.cholesky(covariance))
    while len(w) > 1 and (len(w) > components or kernels.min() == 1):
        # A component of a single kernel would ship one measured curve.
        alone = kernels == 1 if len(w) <= components else np.ones(len(w), dtype=bool)
        a, b = _closest(w, m @ unit.T, alone)
        share = w[b] / (w[a] + w[b])
        gap = m[b] - m[a]
        spread[a] += share * (spread[b] - spread[a]) + share * (1 - share) * np.outer(gap, gap)
        m[a] += share * gap
        w[a] += w[b]
        kernels[a] += kernels[b]
        w, m, spread, kernels = (np.delete(part, b, axis=0) for part in (w, m, spread, kernels))
    order = np.argsort(-w, kind="stable")
    return Mixture(w[order], m[order], covariance + spread[order])


def _closest(weights: Array, scaled: Array, merging: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Return the pair, one of them merging, that adds least to the squares within components."""
    gaps = ((scaled[:, None] - scaled[None]) ** 2).sum(axis=2)
    cost = gaps * weights[:, None] * weights[None] / (weights[:, None] + weights[None])
    cost[~(merging[:, None] | merging[None])] = np.inf
    cost[np.tril_indices(len(weights))] = np.inf
    a, b = np.unravel_index(int(np.argmin(cost)), cost.shape)
    return int(a), int(b)


def _covariance(latent: Array, weights: Array) -> Array:
    """Return the covariance of weighted latent curves, unbiased, [7, 7]."""
    residuals = latent - weights @ latent
    effective = 1 / (weights**2).sum()
    spread = (residuals * weights[:, None]).T @ residuals * effective / (effective - 1)
    return np.asarray(spread + JITTER * np.eye(latent.shape[1]))


def _equal_quantiles(values: Array, weights: Array) -> Array:
    """Return quantiles at equal steps, interpolated between the values, [33]."""
    order = np.argsort(values, kind="stable")
    middle = np.cumsum(weights[order]) - weights[order] / 2
    at = (np.arange(QUANTILES) + 0.5) / QUANTILES
    return np.asarray(np.interp(at, middle / weights.sum(), values[order]))
