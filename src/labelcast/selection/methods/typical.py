"""Typical examples: the densest point of each cluster (TypiClust)."""

from __future__ import annotations

import numpy as np

from labelcast.selection.clusters import k_means, members
from labelcast.selection.neighbours import nearest
from labelcast.selection.pool import Need, Pool
from labelcast.selection.selector import Selection

_SMALLEST = 5


class Typical:
    """The most typical example of each k-means cluster, largest clusters first.

    There are as many clusters as examples wanted and chosen before, at most `most`; a cluster with
    k examples chosen before is skipped k times. Typicality is the inverse of the mean distance to
    the `neighbours` nearest examples of the same cluster (all of a smaller one), of unit
    embeddings. Clusters of fewer than 5 are used only when the others are spent. If there are more
    examples to choose than clusters, each cluster gives its next one in turn.

    The value is the typicality, above 0, infinite among duplicates and NaN in a cluster of one.
    In a cluster of more than 20,000 the neighbours are approximate; see `neighbours.nearest`.

    Source: Hacohen et al. 2022 (TypiClust), with its 500 clusters and 20 neighbours.
    """

    name = "typical"
    needs: frozenset[Need] = frozenset({Need.EMBEDDINGS})
    continues = True

    def __init__(self, *, most: int = 500, neighbours: int = 20) -> None:
        self.most, self.neighbours = most, neighbours

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `Selector`."""
        vectors = pool.embeddings
        centres, labels = k_means(vectors, min(n + len(pool.chosen), self.most), seed)
        clusters = members(labels, len(centres))
        sizes = np.array([len(rows) for rows in clusters])
        by_size = np.argsort(-sizes, kind="stable")
        large = [cluster for cluster in by_size if sizes[cluster] >= _SMALLEST]
        small = [cluster for cluster in by_size if sizes[cluster] < _SMALLEST]
        values = np.full(pool.size, np.nan)
        ranked: list[list[int]] = []
        turn = np.empty(pool.size, np.int64)
        before = np.isin(np.arange(pool.size), pool.chosen)
        for place, cluster in enumerate([*large, *small]):
            rows = clusters[cluster]
            count = min(self.neighbours, len(rows) - 1)
            if count:
                cosines = nearest(vectors[rows], count, seed)[1].astype(np.float64)
                squares = (vectors[rows].astype(np.float64) ** 2).sum(axis=1)
                # Equal to |a - b| for unit vectors; duplicates have exactly 0.
                distance = np.sqrt(np.maximum(2 * squares[:, None] - 2 * cosines, 0))
                distance[distance < 1e-3] = 0
                with np.errstate(divide="ignore"):
                    values[rows] = 1 / distance.mean(axis=1)
            order = rows[np.argsort(-values[rows], kind="stable")]
            order = order[~before[order]]
            waits = before[rows].sum() + (pool.size if place >= len(large) else 0)
            turn[order] = np.arange(len(order)) + waits
            ranked.append(order.tolist())
        everything = np.array([row for rows in ranked for row in rows])
        chosen = everything[np.argsort(turn[everything], kind="stable")][:n]
        return Selection(chosen.astype(np.int64), values[chosen])
