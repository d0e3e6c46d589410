"""Facility location: examples to which the rest of the pool is similar."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heapreplace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix

from labelcast.selection.neighbours import nearest
from labelcast.selection.pool import Need, Pool
from labelcast.selection.selector import Selection

Column = Callable[[int], tuple[NDArray[np.int64] | slice, NDArray[np.float64]]]

_DIGITS = 9
"""Of gains, so that equal ones stay equal: two examples that serve only each other are common."""


class FacilityLocation:
    """Maximise sum_i max_{j in A} sim(i, j) greedily, sim the cosine of embeddings, at least 0.

    Up to `dense` examples the matrix is complete and the choice equals naive greedy's. Above, an
    example is similar to itself and to its `neighbours` nearest ones only, in either direction,
    and memory is O(N neighbours). Lazy evaluation is exact: gains never rise.

    The value of an example is the gain at the time it is chosen, at least 0, never rising. Of equal
    gains the first example is taken. The seed changes only the neighbours of a large pool.

    Source: Nemhauser et al. 1978 (greedy), Minoux 1978 (lazy); as in apricot and submodlib.
    """

    name = "facility-location"
    needs: frozenset[Need] = frozenset({Need.EMBEDDINGS})

    def __init__(self, *, dense: int = 4000, neighbours: int = 32) -> None:
        self.dense, self.neighbours = dense, neighbours

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `Selector`."""
        vectors, size = pool.embeddings, pool.size
        if size <= max(self.dense, self.neighbours + 1):
            matrix = np.maximum(vectors.astype(np.float64) @ vectors.T, 0)
            return lazy_greedy(lambda j: (slice(None), matrix[:, j]), matrix.sum(axis=0), n)
        places, cosines = nearest(vectors, self.neighbours, seed)
        columns = np.append(places, np.arange(size)[:, None], axis=1)
        values = np.append(cosines, np.ones((size, 1), np.float32), axis=1).clip(0)
        starts = np.arange(size + 1) * columns.shape[1]
        graph = csc_matrix((values.ravel(), columns.ravel(), starts), shape=(size, size))
        # Both directions: i is served by j also where only j has i as a neighbour.
        graph = graph.maximum(graph.T.tocsc()).tocsc()

        def column(j: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
            part = slice(graph.indptr[j], graph.indptr[j + 1])
            return graph.indices[part], graph.data[part].astype(np.float64)

        gains = np.add.reduceat(graph.data.astype(np.float64), graph.indptr[:-1])
        return lazy_greedy(column, gains, n)


def lazy_greedy(column: Column, gains: NDArray[np.float64], n: int) -> Selection:
    """Maximise sum_i max_{j in A} s_ij over n columns, greedily.

    Args:
        column: the rows i and values s_ij >= 0 of a column j; other values of it are 0.
        gains: the sum of each column, [N].
        n: how many to choose.
    """
    served = np.zeros(len(gains))
    heap = list(zip((-gains.round(_DIGITS)).tolist(), range(len(gains)), strict=True))
    heapify(heap)
    positions, values = np.empty(n, np.int64), np.empty(n)
    for step in range(n):
        while True:
            j = heap[0][1]
            rows, similar = column(j)
            gain = round(float(np.maximum(similar - served[rows], 0).sum()), _DIGITS)
            if heap[0][0] >= -gain:
                break
            heapreplace(heap, (-gain, j))
            if heap[0] == (-gain, j):
                break
        positions[step], values[step] = j, gain
        served[rows] = np.maximum(served[rows], similar)
        heapreplace(heap, (np.inf, j))
    return Selection(positions, values)
