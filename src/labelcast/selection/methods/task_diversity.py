"""Task diversity: a quota for each task, larger where the model is less sure."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from labelcast.selection.clusters import draw_in_turns
from labelcast.selection.pool import Need, Pool
from labelcast.selection.selector import Selection

_LEAST = 1e-6


class TaskDiversity:
    """Draw at random within tasks, one of each in turn until the tasks' quotas are spent.

    A quota is inversely proportional to the model's mean confidence on the task, or uniform. A task
    that is too small gives all it has. The value is the task's mean confidence, in [0, 1]; NaN with
    uniform quotas. A task without any confidence gets the mean of the others.

    The confidence is that of `labelcast score`: the formula of the source was not available.

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
        means, weights = np.full(len(pool.tasks), np.nan), np.ones(len(pool.tasks))
        if self.weighting == "confidence":
            means = _means(pool.confidence, pool.tasks)
            weights = 1 / np.maximum(means, _LEAST)
        chosen = draw_in_turns(n, pool.tasks, weights, seed)
        values = np.empty(pool.size)
        for rows, mean in zip(pool.tasks, means, strict=True):
            values[rows] = mean
        return Selection(chosen, values[chosen])


def _means(values: NDArray[np.float64], groups: list[NDArray[np.int64]]) -> NDArray[np.float64]:
    """The mean of each group's finite values; for a group without any, the mean of the others."""
    known = [values[group][np.isfinite(values[group])] for group in groups]
    means = np.array([found.mean() if len(found) else np.nan for found in known])
    rest = means[np.isfinite(means)]
    return np.where(np.isfinite(means), means, rest.mean() if len(rest) else 1.0)
