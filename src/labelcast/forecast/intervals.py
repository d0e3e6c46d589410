"""Points and intervals from weighted samples.

Knows quantiles and how an interval of labels is cut where a target may never be reached. Does not
know where samples come from.
"""

from collections.abc import Sequence

import numpy as np

from labelcast.errors import InputError
from labelcast.forecast.efficiency import Array

LEVELS = (0.001, 0.999)
"""Within these the quantiles are good to the digits that are printed."""
_SLACK = 1e-12


def check_level(level: float) -> None:
    """Refuse a level that no interval has, or that none of ours can be trusted at.

    Raises:
        InputError: it lies outside `LEVELS`.
    """
    if not LEVELS[0] <= level <= LEVELS[1]:
        raise InputError(
            f"--level: lies within {LEVELS[0]} to {LEVELS[1]} (say 0.9), not {level:.17g}"
        )


def weighted_quantiles(values: Array, weights: Array, probabilities: Sequence[float]) -> Array:
    """Return quantiles that are values of the samples themselves.

    Args:
        values: [n]; infinite ones count as largest.
        weights: [n], not all 0.
        probabilities: [q], 0 to 1.

    Returns:
        For each probability the smallest value at or below which that share of the weight lies,
        [q]. Between a number and infinity lies nothing, so nothing is interpolated.

    >>> weighted_quantiles(np.array([3.0, 1.0, np.inf]), np.ones(3) / 3, [0.1, 0.5, 0.9])
    array([ 1.,  3., inf])
    """
    order = np.argsort(values)
    order = order[weights[order] > 0]
    total = np.cumsum(weights[order])
    at = np.searchsorted(total, (np.asarray(probabilities) - _SLACK) * total[-1])
    return np.asarray(values[order[np.minimum(at, len(order) - 1)]], dtype=np.float64)


def interval(values: Array, weights: Array, level: float) -> tuple[float, float]:
    """Return the ends of the interval with equal tails."""
    tail = (1 - level) / 2
    low, high = weighted_quantiles(values, weights, [tail, 1 - tail]).tolist()
    return low, high


def label_interval(
    labels: Array, weights: Array, level: float, *, shifted: bool = True
) -> tuple[float, float]:
    """Return the ends of the interval of the labels needed; infinite where it is open above.

    Args:
        labels: [n], infinite where the target is not reached.
        weights: [n].
        level: 0.001 to 0.999.
        shifted: give the lower end the tail that an open upper end cannot use: the truth cannot
            lie above it. For targets as fractions of the gain; for targets as scores equal tails
            covered better.
    """
    outside = 1 - level
    never = float(weights[np.isinf(labels)].sum() / weights.sum())
    # No more than a half, so that the lower end stays below the median at every level.
    lower = max(outside / 2, min(outside, never, 0.5)) if shifted else outside / 2
    low, high = weighted_quantiles(labels, weights, [lower, 1 - outside / 2]).tolist()
    return low, high
