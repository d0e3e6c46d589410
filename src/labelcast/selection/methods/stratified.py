"""Stratified random selection: a quota for each task or each cluster."""

from __future__ import annotations

from typing import Literal

import numpy as np

from labelcast.selection.clusters import draw_in_turns, k_means, members
from labelcast.selection.pool import Need, Pool
from labelcast.selection.selector import Selection


class Stratified:
    """Draw at random within groups: the pool's tasks, or k-means clusters where it has no task ids.

    A group that is too small gives all it has; the others share the rest. The chosen examples are
    in turns, one of each group. There are no values (NaN).

    Args:
        quota: ``equal``, or ``proportional`` to the groups' sizes (largest remainders).
        clusters: without task ids, the number of clusters of the embeddings.
    """

    name = "stratified"
    needs: frozenset[Need] = frozenset()  # task ids or embeddings: checked by `select`
    uses: frozenset[Need] = frozenset({Need.TASK_IDS})

    def __init__(
        self, *, quota: Literal["equal", "proportional"] = "equal", clusters: int = 10
    ) -> None:
        self.quota, self.clusters = quota, clusters

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `Selector`. Raises InputError without ids and embeddings."""
        groups = pool.tasks
        if pool.task_ids is None:
            pool.check(Need.EMBEDDINGS, self.name)
            centres, labels = k_means(pool.embeddings, self.clusters, seed)
            groups = members(labels, len(centres))
        sizes = [len(group) for group in groups]
        weights = sizes if self.quota == "proportional" else np.ones(len(groups))
        return Selection(draw_in_turns(n, groups, weights, seed), np.full(n, np.nan))
