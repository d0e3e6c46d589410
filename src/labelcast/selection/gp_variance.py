"""Select the examples about which a Gaussian process would know least.

Shapes: N examples, F features.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from labelcast.errors import InputError
from labelcast.selection.pool import Pool
from labelcast.selection.selector import Need, Selection

LARGEST = 2**31
"""N n at most: the factor takes 4 bytes for each."""
_PAIRS = 1000


class GPVariance:
    """Each next example has the largest posterior variance given those chosen before.

    The process has the kernel exp(-d^2 / (2 l^2)) on embeddings of length 1. That is the greedy
    choice of the largest log determinant of I + K / noise. Time grows with N n^2.

    Args:
        noise: variance of a label.
        scale: l; None takes the median distance of random pairs.

    Source: the labelling strategy of Sindagi et al. (2020), arXiv 2007.03195.
    """

    name = "gp-variance"
    needs = frozenset({Need.EMBEDDINGS})

    def __init__(self, *, noise: float = 0.01, scale: float | None = None) -> None:
        self.noise, self.scale = noise, scale

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `Selector`.

        The first is drawn at random, since all have the same variance. The values are variances,
        never rising, 1 for the first.

        Raises:
            InputError: N n is above `LARGEST`.
        """
        if pool.size * n > LARGEST:
            raise InputError(
                f"--method {self.name}: {n:,} of {pool.size:,} examples would take "
                f"{4e-9 * pool.size * n:,.0f} GB. Choose at most {LARGEST // pool.size:,}, or use "
                "--method k-centre."
            )
        vectors = pool.embeddings
        draw = np.random.default_rng(seed)
        scale = self.scale or _median_distance(vectors, draw)
        squares = np.einsum("nf,nf->n", vectors, vectors)
        variance = np.ones(pool.size)
        factor = np.zeros((n, pool.size), np.float32)
        chosen = np.empty(n, np.int64)
        values = np.empty(n)
        following = int(draw.integers(pool.size))
        for place in range(n):
            chosen[place], values[place] = following, max(variance[following], 0.0)
            apart = squares + squares[following] - 2 * (vectors @ vectors[following])
            kernel = np.exp(-np.maximum(apart, 0) / (2 * scale**2))
            covariance = kernel - factor[:place].T @ factor[:place, following]
            factor[place] = covariance / np.sqrt(values[place] + self.noise)
            variance -= factor[place].astype(np.float64) ** 2
            hidden = variance.copy()
            hidden[chosen[: place + 1]] = -np.inf
            following = int(hidden.argmax())
        return Selection(chosen, values)


def _median_distance(vectors: NDArray[np.float32], draw: np.random.Generator) -> float:
    """Of random pairs; 1 if most are duplicates."""
    a, b = draw.integers(len(vectors), size=(2, _PAIRS))
    return float(np.median(np.linalg.norm(vectors[a] - vectors[b], axis=1))) or 1.0
