"""Select the most typical example of each cluster.

Shapes: N examples, F features.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from labelcast.selection.clusters import cluster, members
from labelcast.selection.pool import Pool
from labelcast.selection.quotas import round_robin
from labelcast.selection.selector import Need, Selection

MOST_CLUSTERS = 500
_ROWS = 10_000
"""Rows of a cluster that each one is compared with; a larger cluster is sampled."""
_BLOCK = 2048


class Typical:
    """TypiClust: as many k-means clusters as examples, at most 500, largest first.

    Of each cluster the most typical example is chosen, and once every cluster has one, the next
    most typical ones. Typicality is 1 / (mean distance to the nearest neighbours in the cluster).

    Args:
        neighbours: that count for typicality; all others of a smaller cluster.

    Source: Hacohen et al. (2022), arXiv 2202.02794, section 3.
    """

    name = "typical"
    needs = frozenset({Need.EMBEDDINGS})

    def __init__(self, *, neighbours: int = 20) -> None:
        self.neighbours = neighbours

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `Selector`. The values are typicalities."""
        vectors = pool.embeddings
        labels, _ = cluster(vectors, min(n, MOST_CLUSTERS), seed)
        groups = sorted(members(labels), key=len, reverse=True)
        values = np.zeros(pool.size)
        ranked = []
        for group in groups:
            values[group] = typicality(vectors[group], self.neighbours, seed)
            ranked.append(group[np.argsort(-values[group], kind="stable")].tolist())
        chosen = np.array(round_robin(ranked, n))
        return Selection(chosen, values[chosen])


def typicality(vectors: NDArray[np.float32], count: int, seed: int = 0) -> NDArray[np.float64]:
    """1 / (mean Euclidean distance to the `count` nearest other rows + 1e-5), [N] from [N,F].

    A row that is alone has typicality 0.
    """
    size = len(vectors)
    others = np.arange(size)
    if size > _ROWS:
        others = np.sort(np.random.default_rng(seed).choice(size, _ROWS, replace=False))
    count = min(count, size - 1)
    found = np.zeros(size)
    if not count:
        return found
    squares = np.einsum("nf,nf->n", vectors, vectors)
    for start in range(0, size, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, size))
        apart = squares[rows, None] + squares[others] - 2 * vectors[rows] @ vectors[others].T
        apart[rows[:, None] == others] = np.inf
        nearest = np.partition(apart, count - 1, axis=1)[:, :count]
        found[rows] = 1 / (np.sqrt(np.maximum(nearest, 0)).mean(1) + 1e-5)
    return found
