"""Random selection with a quota for each group of the pool."""

from __future__ import annotations

import numpy as np

from labelcast.selection.clusters import cluster, members
from labelcast.selection.pool import Pool
from labelcast.selection.quotas import quotas, round_robin
from labelcast.selection.selector import Need, Selection

CLUSTERS = 20


class Stratified:
    """Draw from every group: equally many, or as many as its share of the pool.

    The groups are the tasks of the pool, or k-means clusters of its embeddings if there are none.

    Args:
        equal: the same quota for every group, instead of one in proportion to its size.
        clusters: how many, where the pool has no task ids.
    """

    name = "stratified"
    needs: frozenset[Need] = frozenset()

    def __init__(self, *, equal: bool = False, clusters: int = CLUSTERS) -> None:
        self.equal, self.clusters = equal, clusters

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `Selector`.

        Raises:
            InputError: the pool has neither task ids nor embeddings.
        """
        if pool.task_ids is None:
            pool.check(Need.EMBEDDINGS, self.name)
            labels, _ = cluster(pool.embeddings, self.clusters, seed)
        else:
            labels = np.unique(pool.task_ids, return_inverse=True)[1]
        draw = np.random.default_rng(seed)
        groups = [draw.permutation(group) for group in members(labels)]
        sizes = [len(group) for group in groups]
        weights = np.ones(len(groups)) if self.equal else np.array(sizes)
        parts = [g[:k].tolist() for g, k in zip(groups, quotas(weights, sizes, n), strict=True)]
        return Selection(np.array(round_robin(parts, n)), np.full(n, np.nan))
