"""Select from every task of the pool, and more from those that the model is less certain of."""

from __future__ import annotations

import numpy as np

from labelcast.selection.clusters import members
from labelcast.selection.pool import Pool
from labelcast.selection.quotas import quotas, round_robin
from labelcast.selection.selector import Need, Selection


class TaskDiversity:
    """Give every task a quota, uniform or inversely proportional to the mean confidence on it.

    Examples of a task are drawn at random, and the tasks take turns until all n are chosen.

    Args:
        uniform: the same quota for every task; needs no confidence.

    Source: arXiv 2507.21482. Its confidence could not be read; this is `Pool.confidence`.
    """

    name = "task-diversity"

    def __init__(self, *, uniform: bool = False) -> None:
        self.uniform = uniform
        self.needs = frozenset({Need.TASK_IDS} | (set() if uniform else {Need.CONFIDENCE}))

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `Selector`. The values are the mean confidences on the tasks."""
        labels = np.unique(pool.task_ids or (), return_inverse=True)[1]
        groups = members(labels)
        means = np.full(len(groups), np.nan)
        if not self.uniform:
            confidence = pool.confidence
            known = [confidence[g][np.isfinite(confidence[g])] for g in groups]
            # A task whose prompts are all too long counts as one that the model is certain of.
            means = np.array([one.mean() if len(one) else 1.0 for one in known])
        weights = np.ones(len(groups)) if self.uniform else 1 / np.maximum(means, 1e-6)
        draw = np.random.default_rng(seed)
        sizes = [len(group) for group in groups]
        parts = [
            draw.permutation(group)[:quota].tolist()
            for group, quota in zip(groups, quotas(weights, sizes, n), strict=True)
        ]
        chosen = np.array(round_robin(parts, n))
        return Selection(chosen, means[labels[chosen]])
