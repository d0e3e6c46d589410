"""Gaussian process variance: the next example has the largest posterior variance."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from labelcast.errors import InputError
from labelcast.selection.pool import Need, Pool
from labelcast.selection.selector import Selection

MOST = 2**30
"""Numbers of the Cholesky factor [n,N]: 4 GB in float32."""


class GpVariance:
    """The largest posterior variance given the chosen examples; equals greedy log determinant.

    The variance of x is k(x,x) - k(x,A) (k(A,A) + noise I)^-1 k(A,x), updated by one row of a
    Cholesky factor for each choice: O(N n (n + F)) time and 4 N n bytes, refused above 4 GB.

    The value is the variance when the example is chosen, in [0, 1], never rising. Equal variances:
    the first is drawn by the seed, later ones are the first of the pool. Examples chosen before
    come first.

    Args:
        kernel: ``rbf``, exp(-d^2 / (2 l^2)), or ``cosine``.
        noise: variance of an answer, above 0.
        length: l of the RBF kernel; None takes the median distance of 1,000 drawn examples.

    Source: arXiv 2007.03195 (variance of a Gaussian process on features); Krause et al. 2008
    (greedy selection by it); Chen et al. 2018 (incremental Cholesky).
    """

    name = "gp-variance"
    needs: frozenset[Need] = frozenset({Need.EMBEDDINGS})
    continues = True

    def __init__(
        self,
        *,
        kernel: Literal["rbf", "cosine"] = "rbf",
        noise: float = 0.1,
        length: float | None = None,
    ) -> None:
        self.kernel, self.noise, self.length = kernel, noise, length

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `Selector`. Raises InputError where 4 N n is above 4 GB."""
        before = pool.chosen.tolist()
        rows = len(before) + n
        if rows * pool.size > MOST:
            raise InputError(
                f"--method {self.name}: {rows:,} of {pool.size:,} examples need "
                f"{4e-9 * rows * pool.size:.0f} GB for a Cholesky factor, and 4 are allowed. "
                f"Choose {MOST // pool.size:,} or fewer, or draw a smaller pool at random first."
            )
        vectors, rng = pool.embeddings, np.random.default_rng(seed)
        squares = np.einsum("nf,nf->n", vectors, vectors)
        length = self.length or _median_distance(vectors, rng)

        def column(j: int) -> NDArray[np.float32]:
            products: NDArray[np.float32] = vectors @ vectors[j]
            if self.kernel == "cosine":
                return products
            distances = np.maximum(squares + squares[j] - 2 * products, 0)
            distances[j] = 0
            found: NDArray[np.float32] = np.exp(-distances / np.float32(2 * length**2))
            return found

        variance = (squares if self.kernel == "cosine" else np.ones_like(squares)).astype(float)
        factor = np.empty((rows, pool.size), np.float32)
        positions, values = np.empty(rows, np.int64), np.empty(rows)
        left = np.ones(pool.size, bool)
        first = np.flatnonzero(np.isclose(variance, variance.max(), rtol=1e-5, atol=0))
        chosen = int(rng.choice(first))
        for step in range(rows):
            chosen = before[step] if step < len(before) else chosen
            positions[step], values[step] = chosen, max(variance[chosen], 0)
            left[chosen] = False
            known = factor[:step]
            row = column(chosen) - known[:, chosen] @ known
            factor[step] = row / np.sqrt(max(variance[chosen], 0) + self.noise)
            variance -= factor[step].astype(np.float64) ** 2
            chosen = int(np.where(left, variance, -np.inf).argmax())
        return Selection(positions[len(before) :], values[len(before) :])


def _median_distance(vectors: NDArray[np.float32], rng: np.random.Generator) -> float:
    """The median distance of pairs of at most 1,000 drawn vectors; 1 if it is 0."""
    from scipy.spatial.distance import pdist

    rows = np.sort(rng.permutation(len(vectors))[:1000])
    distances = pdist(vectors[rows].astype(np.float64))
    return float(np.median(distances)) or 1.0 if len(distances) else 1.0
