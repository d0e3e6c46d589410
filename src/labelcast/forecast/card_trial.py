"""Whether a card's line tells more of a new task than the mean of its tasks does.

Knows tasks' CoS-Low and AUC, leave-one-task-out errors and a bootstrap over tasks. Does not know
cards, nor what a forecast does with the answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from labelcast.errors import InputError
from labelcast.forecast.efficiency import Array
from labelcast.forecast.points import STRICT

LEVEL = 0.9
RESAMPLES = 4000
_FLAT = 1e-12


@dataclass(frozen=True)
class Difference:
    """Error of predicting the mean minus that of the line, in AUC: above 0 the line errs less.

    Attributes:
        mean: mean over tasks of the paired difference of absolute leave-one-task-out errors.
        low, high: its 90% interval, by bootstrap over tasks.
    """

    mean: float
    low: float
    high: float
    __pydantic_config__ = STRICT

    @property
    def line_is_better(self) -> bool:
        """Whether the interval lies above 0."""
        return self.low > 0


class _Tasks(NamedTuple):
    """CoS-Low and AUC of n tasks, each [n]."""

    coslow: Array
    auc: Array


def loto_difference(
    coslow: Sequence[float], auc: Sequence[float], *, resamples: int = RESAMPLES, seed: int = 0
) -> Difference:
    """Compare the line with the mean of the other tasks, leaving one task out.

    Args:
        coslow: of each task, [n], n >= 4.
        auc: measured, of each task, [n].
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        InputError: too few tasks, or a CoS-Low that does not vary.

    A resample draws n tasks with replacement. Within it everything is done again: each task is
    predicted by the line, and by the mean, of the drawn tasks that are not that task, whose copies
    are all left out. So the interval holds the error of the fits too. A resample in which no line
    can be drawn is drawn again.

    >>> x = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    >>> loto_difference(x, [0.3 + 0.5 * v for v in x]).line_is_better
    True
    """
    tasks = _Tasks(np.asarray(coslow, dtype=np.float64), np.asarray(auc, dtype=np.float64))
    n = len(tasks.coslow)
    if n < 4 or tasks.auc.shape != (n,):
        raise InputError(f"a trial of a line needs 4 tasks or more, not {n}")
    whole = _differences(tasks, np.ones((1, n)))
    if not len(whole):
        raise InputError("the CoS-Low of the tasks does not vary, so no line can be drawn")
    rng = np.random.default_rng(seed)
    found = np.zeros(0)
    while len(found) < resamples:
        drawn = rng.integers(n, size=(resamples, n))
        counts = np.stack([np.bincount(row, minlength=n) for row in drawn]).astype(np.float64)
        found = np.concatenate([found, _differences(tasks, counts)])
    low, high = np.quantile(found[:resamples], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Difference(float(whole[0]), float(low), float(high))


def _differences(tasks: _Tasks, counts: Array) -> Array:
    """Return the mean paired difference of each resample in which every line can be drawn.

    Args:
        tasks: n of them.
        counts: how often each was drawn, [B,n].
    """
    x, y = tasks.coslow - tasks.coslow.mean(), tasks.auc
    # Sums over all drawn tasks but one, whose copies are all left out: [B,n].
    size, sum_x, sum_y, sum_xx, sum_xy = (
        (counts @ v)[:, None] - counts * v for v in (np.ones_like(x), x, y, x * x, x * y)
    )
    used = counts > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_x, mean_y = sum_x / size, sum_y / size
        spread = sum_xx / size - mean_x**2
        slope = (sum_xy / size - mean_x * mean_y) / spread
        of_line = np.abs(y - mean_y - slope * (x - mean_x))
    drawn = ((spread > _FLAT) | ~used).all(axis=1)
    gain = np.where(used, counts * (np.abs(y - mean_y) - of_line), 0.0)
    return np.asarray((gain.sum(axis=1) / counts.sum(axis=1))[drawn])
