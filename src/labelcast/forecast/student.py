"""Student's t: its quantiles and its density.

Knows that distribution alone. It exists because importing scipy.special takes longer than a whole
forecast; the tests hold it to scipy's values.
"""

import math

import numpy as np

from labelcast.forecast.efficiency import Array
from labelcast.forecast.warp import normal_quantile

__all__ = ["normal_quantile", "t_log_density", "t_quantile"]

_PANELS = 400


def t_log_density(values: Array, df: float) -> Array:
    """Return the logarithm of Student's t density, up to a constant, of the same shape."""
    return np.asarray(-(df + 1) / 2 * np.log1p(values**2 / df))


def t_quantile(probability: float, df: float) -> float:
    """Return Student's t quantile.

    Args:
        probability: strictly between 0 and 1.
        df: degrees of freedom, at least 1, not only whole ones.

    Returns:
        The quantile, to 1e-5 relative (1e-3 below 2 degrees of freedom) where the probability
        lies within 0.0005 to 0.9995.

    >>> round(t_quantile(0.95, 28), 4)
    1.7011
    """
    if probability < 0.5:
        return -t_quantile(1 - probability, df)
    # With t = sqrt(df) tan(angle) the density is cos(angle) ** (df - 1) on a bounded range.
    log_scale = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - math.log(math.pi) / 2
    scale = math.exp(log_scale)
    low, high = 0.0, math.pi / 2
    angle = math.atan(normal_quantile(probability) / math.sqrt(df))
    for _ in range(100):
        excess = scale * _cosine_power_area(angle, df - 1) - (probability - 0.5)
        low, high = (low, angle) if excess > 0 else (angle, high)
        slope = scale * math.cos(angle) ** (df - 1)
        step = angle - excess / slope if slope > 0 else high
        new = step if low < step < high else (low + high) / 2
        if abs(new - angle) <= 1e-15 * max(angle, 1e-300):
            break
        angle = new
    return math.sqrt(df) * math.tan(angle)


def _cosine_power_area(angle: float, power: float) -> float:
    """Integrate cos ** power from 0 to angle (below pi/2) by Simpson's rule."""
    points = np.linspace(0.0, angle, 2 * _PANELS + 1)
    values = np.cos(points) ** power
    inner = 4 * values[1:-1:2].sum() + 2 * values[2:-1:2].sum()
    return float((values[0] + inner + values[-1]) * angle / (6 * _PANELS))
