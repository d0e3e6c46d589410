"""k-centre: the next example is the one farthest from all chosen ones."""

from __future__ import annotations

import numpy as np

from labelcast.selection.pool import Need, Pool
from labelcast.selection.selector import Selection

_ROUNDING = 1e-6
"""Rounding gives duplicates a squared distance of up to this."""


class KCentre:
    """Farthest-first traversal of the unit embeddings: the greedy 2-approximation of k-centre.

    Exact, in O(N n F) time and O(N) memory beside the embeddings [N,F]. The first example is drawn
    by the seed, or is the farthest from those of an earlier choice. The value of an example is its
    distance to the nearest one chosen before it, in [0, 2], never rising; infinite without one.

    Source: Sener and Savarese 2018, algorithm 1 (k-center greedy).
    """

    name = "k-centre"
    needs: frozenset[Need] = frozenset({Need.EMBEDDINGS})
    continues = True

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `Selector`. Of equally far ones the first is taken."""
        vectors = pool.embeddings
        # The squared distance of vectors of any length: a vector of zeros stays one.
        squares = np.einsum("nf,nf->n", vectors, vectors)
        nearest = np.full(pool.size, np.inf, np.float32)
        values = np.empty(n)

        def choose(chosen: int) -> None:
            distance = squares + squares[chosen] - 2 * (vectors @ vectors[chosen])
            distance[distance < _ROUNDING] = 0
            np.minimum(nearest, distance, out=nearest)
            nearest[chosen] = -1  # below all distances, and stays so

        for chosen in pool.chosen:
            choose(chosen)
        positions = np.full(n, np.random.default_rng(seed).integers(pool.size), np.int64)
        for step in range(n):
            if step or len(pool.chosen):
                positions[step] = nearest.argmax()
            values[step] = np.sqrt(nearest[positions[step]])
            choose(positions[step])
        return Selection(positions, values)
