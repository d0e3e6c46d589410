"""Equal-tailed intervals, and intervals of labels for targets that may not be reached."""

import numpy as np

from labelcast.forecast.distributions import weighted_quantiles
from labelcast.forecast.efficiency import Array


def interval(values: Array, weights: Array, level: float) -> tuple[float, float]:
    """Return the ends of the equal-tailed interval."""
    tail = (1 - level) / 2
    low, high = weighted_quantiles(values, weights, [tail, 1 - tail]).tolist()
    return low, high


def label_interval(
    labels: Array, weights: Array, level: float, *, shifted: bool = True
) -> tuple[float, float]:
    """Return the ends of the interval of the labels needed; infinite if it is open above.

    Args:
        labels: [n], infinite if the target is not reached.
        weights: [n].
        level: 0.001 to 0.999.
        shifted: give the lower end the tail that an open upper end cannot use: the truth cannot
            lie above it. For targets as fractions of the gain; for targets as scores equal tails
            covered better.
    """
    outside = 1 - level
    never = float(weights[np.isinf(labels)].sum() / weights.sum())
    # At most a half, so that the lower end stays below the median at every level.
    lower = max(outside / 2, min(outside, never, 0.5)) if shifted else outside / 2
    low, high = weighted_quantiles(labels, weights, [lower, 1 - outside / 2]).tolist()
    return low, high
