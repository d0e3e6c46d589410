"""k-centre: each next example is the one farthest from all that are chosen."""

from __future__ import annotations

import numpy as np

from labelcast.selection.pool import Need, Pool
from labelcast.selection.selector import Selection


class KCentre:
    """Farthest-first traversal of the unit embeddings: the greedy 2-approximation of k-centre.

    Exact, in O(N n F) time and O(N) memory beside the embeddings [N,F]. The first example is drawn
    by the seed. The value of another is its distance to the nearest one chosen before it, in
    [0, 2], never rising; that of the first is infinite.

    Source: Sener and Savarese 2018, algorithm 1 (k-center greedy).
    """

    name = "k-centre"
    needs: frozenset[Need] = frozenset({Need.EMBEDDINGS})

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `Selector`. Of equally far ones the first is taken."""
        vectors = pool.embeddings
        # The squared distance of vectors of any length: a vector of zeros stays one.
        squares = np.einsum("nf,nf->n", vectors, vectors)
        nearest = np.full(pool.size, np.inf, np.float32)
        positions, values = np.empty(n, np.int64), np.empty(n)
        chosen = int(np.random.default_rng(seed).integers(pool.size))
        for step in range(n):
            positions[step], values[step] = chosen, np.sqrt(nearest[chosen])
            distance = squares + squares[chosen] - 2 * (vectors @ vectors[chosen])
            np.minimum(nearest, np.maximum(distance, 0), out=nearest)
            nearest[positions[: step + 1]] = -1
            chosen = int(nearest.argmax())
        return Selection(positions, values)
