"""Select examples so that every example is similar to a chosen one.

Shapes: N examples, K neighbours.
"""

from __future__ import annotations

import heapq

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix, identity

from labelcast.selection.clusters import neighbours
from labelcast.selection.pool import Pool
from labelcast.selection.selector import Need, Selection

DENSE = 4000
"""Up to so many examples every pair has a similarity; above, neighbours only."""


class FacilityLocation:
    """Greedily maximise the sum over all examples of the similarity to the nearest chosen one.

    The similarity is the cosine of the embeddings, 0 if it is negative. Above `DENSE` examples it
    counts only between nearest neighbours. The greedy sum is at least 1 - 1/e of the largest.

    Args:
        neighbours: K, of each example in a large pool.

    Source: the facility location function, by lazy greedy (Minoux 1978).
    """

    name = "facility-location"
    needs = frozenset({Need.EMBEDDINGS})

    def __init__(self, *, neighbours: int = 10) -> None:
        self.neighbours = neighbours

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `Selector`. The values are their gains of the sum."""
        return lazy_greedy(self._similarities(pool, seed), n)

    def _similarities(self, pool: Pool, seed: int) -> csc_matrix:
        vectors, size = pool.embeddings, pool.size
        if size <= DENSE:
            return csc_matrix(np.maximum(vectors @ vectors.T, 0).astype(np.float64))
        found, cosines = neighbours(vectors, self.neighbours, seed)
        starts = np.arange(0, found.size + 1, found.shape[1], dtype=np.int64)
        values = np.maximum(cosines, 0).ravel()
        graph = csr_matrix((values, found.ravel(), starts), shape=(size, size))
        # A neighbour counts in both directions.
        return csc_matrix(graph.maximum(graph.T).maximum(identity(size, np.float32, "csr")))


def lazy_greedy(similarities: csc_matrix, n: int) -> Selection:
    """The greedy choice of n columns j that maximises sum_i max_j s_ij.

    A gain never rises while others are chosen, so only the column with the largest old gain is
    computed again. Ties go to the earlier column.

    Args:
        similarities: s_ij >= 0 in columns, [N,N].
        n: how many to choose.
    """
    s = similarities
    best = np.zeros(s.shape[0])
    gains = np.asarray(s.sum(axis=0)).ravel()
    queue = [(-gain, column, 0) for column, gain in enumerate(gains.tolist())]
    heapq.heapify(queue)
    chosen: list[int] = []
    values: list[float] = []
    while len(chosen) < n:
        gain, column, known = heapq.heappop(queue)
        inside = slice(s.indptr[column], s.indptr[column + 1])
        rows, similar = s.indices[inside], s.data[inside]
        if known == len(chosen):
            best[rows] = np.maximum(best[rows], similar)
            chosen.append(column)
            values.append(-gain)
        else:
            now = float(np.maximum(similar - best[rows], 0).sum())
            heapq.heappush(queue, (-now, column, len(chosen)))
    return Selection(np.array(chosen), np.array(values))
