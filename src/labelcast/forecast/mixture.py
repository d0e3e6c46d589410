"""A Gaussian mixture, and a kernel density reduced to one.

Knows weights, means and covariances. Does not know that they are curves.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from labelcast.forecast.efficiency import Array


class Mixture(NamedTuple):
    """A mixture of K Gaussians in D dimensions.

    Attributes:
        weights: [K], sum 1.
        means: [K, D].
        covariances: [K, D, D].
    """

    weights: Array
    means: Array
    covariances: Array

    @property
    def within(self) -> Array:
        """The mean covariance of a component, [D, D]."""
        return np.asarray(np.einsum("k,kde->de", self.weights, self.covariances))


def reduced(weights: Array, means: Array, covariance: Array, components: int) -> Mixture:
    """Merge kernels of one covariance until so many components are left; mean and spread stay.

    Args:
        weights: of the kernels, [K], above 0.
        means: [K, D].
        covariance: of every kernel, [D, D].
        components: at most so many, at least 1; none is left that is one kernel alone.

    Each step merges the two that widen least (Ward's rule, in units of the kernel). The result
    has the mean and the covariance of the kernel density exactly.
    """
    order = np.lexsort((*means.T[::-1], weights))
    w, m = weights[order] / weights.sum(), means[order]
    spread = np.zeros((len(w), *covariance.shape))
    kernels = np.ones(len(w))
    unit = np.linalg.inv(np.linalg.cholesky(covariance))
    while len(w) > 1 and (len(w) > components or kernels.min() == 1):
        # A component that is one kernel would ship one measured curve.
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
