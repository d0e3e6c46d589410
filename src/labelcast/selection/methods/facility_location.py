"""Facility location: examples to which the rest of the pool is similar."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix

from labelcast.selection.greedy import DIGITS, lazy_greedy
from labelcast.selection.neighbours import nearest
from labelcast.selection.pool import Need, Pool
from labelcast.selection.selector import Selection


class FacilityLocation:
    """Maximise sum_i max_{j in A} sim(i, j) greedily, sim the cosine of embeddings, at least 0.

    Up to `dense` examples the matrix is complete and the choice equals naive greedy's. Above, an
    example is similar to itself and to its `neighbours` nearest ones only, in either direction,
    and memory is O(N neighbours). Both evaluate greedy exactly.

    Examples chosen before are in A from the start. The value of an example is the gain at the time
    it is chosen, at least 0, never rising. Of equal gains the first example is taken. The seed
    changes only the neighbours of a large pool.

    Source: Nemhauser et al. 1978 (greedy), Minoux 1978 (lazy); as in apricot and submodlib.
    """

    name = "facility-location"
    needs: frozenset[Need] = frozenset({Need.EMBEDDINGS})
    continues = True

    def __init__(self, *, dense: int = 4000, neighbours: int = 32) -> None:
        self.dense, self.neighbours = dense, neighbours

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `Selector`."""
        vectors, size = pool.embeddings, pool.size
        # Exactly 1 also where rounding makes it less; a vector of zeros is similar to nothing.
        own = vectors.any(axis=1)
        if size <= max(self.dense, self.neighbours + 1):
            matrix = np.maximum(vectors.astype(np.float64) @ vectors.T, 0)
            np.fill_diagonal(matrix, own)
            served = matrix[:, pool.chosen].max(axis=1, initial=0)
            return lazy_greedy(matrix, n, served, without=pool.chosen)
        places, cosines = nearest(vectors, self.neighbours, seed)
        columns = np.append(places, np.arange(size)[:, None], axis=1)
        # A number above 0, so that each column of the graph has one.
        self_cosine = np.maximum(own, np.finfo(np.float32).tiny).astype(np.float32)
        values = np.append(cosines, self_cosine[:, None], axis=1).clip(0)
        starts = np.arange(size + 1) * columns.shape[1]
        graph = csc_matrix((values.ravel(), columns.ravel(), starts), shape=(size, size))
        # Both directions: i is served by j also where only j has i as a neighbour.
        return graph_greedy(graph.maximum(graph.T.tocsc()).tocsc(), n, pool.chosen)


def graph_greedy(graph: csc_matrix, n: int, before: NDArray[np.int64]) -> Selection:
    """Choose n greedily by a symmetric sparse matrix of similarities without empty columns.

    After each choice, the gains of the columns that share a row with it are computed again: a few
    thousand in a graph of 32 neighbours, whatever N is.
    """
    served = np.zeros(graph.shape[0], graph.dtype)
    for chosen in before:
        part = slice(graph.indptr[chosen], graph.indptr[chosen + 1])
        rows = graph.indices[part]
        served[rows] = np.maximum(served[rows], graph.data[part])
    gains = _gains(graph, served)
    gains[before] = -np.inf
    positions, values = np.empty(n, np.int64), np.empty(n)
    for step in range(n):
        chosen = int(gains.argmax())
        positions[step], values[step] = chosen, gains[chosen]
        part = slice(graph.indptr[chosen], graph.indptr[chosen + 1])
        rows, similar = graph.indices[part], graph.data[part]
        better = similar > served[rows]
        served[rows[better]] = similar[better]
        touched = np.unique(graph[:, rows[better]].indices)
        touched = touched[gains[touched] > -np.inf]
        gains[touched] = _gains(graph[:, touched], served)
        gains[chosen] = -np.inf
    return Selection(positions, values)


def _gains(graph: csc_matrix, served: NDArray[np.float32]) -> NDArray[np.float64]:
    """What each column adds to what is served, [K]."""
    if not graph.shape[1]:
        return np.empty(0)
    more = np.maximum(graph.data - served[graph.indices], 0)
    return np.add.reduceat(more, graph.indptr[:-1], dtype=np.float64).round(DIGITS)
