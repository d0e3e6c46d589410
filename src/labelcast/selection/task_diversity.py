"""Task diversity: a quota for each task, larger where the model is less sure."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from labelcast.selection.clusters import divide, in_turns, members
from labelcast.selection.pool import Need, Pool
from labelcast.selection.selector import Selection

_LEAST = 1e-6


class TaskDiversity:
    """Draw at random within tasks, one of each in turn until the tasks' quotas are spent.

    A quota is inversely proportional to the model's mean confidence on the task, or uniform. A task
    that is too small gives all it has. The value is the task's mean confidence, in [0, 1]; NaN with
    uniform quotas. A task without any confidence gets the mean of the others.

    The confidence is that of `labelcast score`: the formula of the source could not be read.

    Args:
        weighting: ``confidence`` (inverse) or ``uniform``.

    Source: arXiv 2507.21482 (task diversity, weighted task diversity).
    """

    name = "task-diversity"

    def __init__(self, *, weighting: Literal["confidence", "uniform"] = "confidence") -> None:
        self.weighting = weighting
        more = {Need.CONFIDENCE} if weighting == "confidence" else set()
        self.needs = frozenset({Need.TASK_IDS, *more})

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `Selector`."""
        rng = np.random.default_rng(seed)
        labels = np.unique(np.asarray(pool.task_ids), return_inverse=True)[1]
        groups = members(labels, int(labels.max()) + 1)
        means = np.full(len(groups), np.nan)
        weights = np.ones(len(groups))
        if self.weighting == "confidence":
            means = _means(pool.confidence, groups)
            weights = 1 / np.maximum(means, _LEAST)
        order = rng.permutation(len(groups))
        sizes = np.array([len(group) for group in groups])
        quotas = divide(n, weights[order], sizes[order])
        drawn = [rng.permutation(groups[g])[:q] for g, q in zip(order, quotas, strict=True)]
        chosen = in_turns(drawn)
        return Selection(chosen, means[labels[chosen]])


def _means(values: NDArray[np.float64], groups: list[NDArray[np.int64]]) -> NDArray[np.float64]:
    """The mean of each group's finite values; for a group without any, the mean of the others."""
    known = [values[group][np.isfinite(values[group])] for group in groups]
    means = np.array([found.mean() if len(found) else np.nan for found in known])
    rest = means[np.isfinite(means)]
    return np.where(np.isfinite(means), means, rest.mean() if len(rest) else 1.0)
