"""Select examples that are far from each other, so that every example is near a chosen one."""

from __future__ import annotations

import numpy as np

from labelcast.selection.pool import Pool
from labelcast.selection.selector import Need, Selection


class KCentre:
    """Farthest first: each next example is the one farthest from all chosen ones.

    The largest distance of an example to a chosen one is at most twice the least possible.
    Time grows with N n, memory beside the embeddings with N.

    Source: Sener and Savarese (2018), algorithm 1, on embeddings of length 1; Gonzalez (1985).
    """

    name = "k-centre"
    needs = frozenset({Need.EMBEDDINGS})

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `Selector`.

        The first is drawn at random and has no value; the values of the others are their distances
        to the nearest one chosen before, never rising.
        """
        vectors = pool.embeddings
        squares = np.einsum("nf,nf->n", vectors, vectors)
        nearest = np.full(pool.size, np.inf, np.float32)
        chosen = np.empty(n, np.int64)
        values = np.full(n, np.nan)
        following = int(np.random.default_rng(seed).integers(pool.size))
        for place in range(n):
            chosen[place] = following
            if place:
                values[place] = np.sqrt(nearest[following])
            one = squares + squares[following] - 2 * (vectors @ vectors[following])
            np.minimum(nearest, np.maximum(one, 0), out=nearest)
            nearest[following] = -1  # below the distance of a duplicate
            following = int(nearest.argmax())
        return Selection(chosen, values)
