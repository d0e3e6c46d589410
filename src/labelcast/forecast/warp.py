"""The latent axis on which curves are Gaussian.

Knows how a gain becomes a latent value and back. Does not know budgets, curves or noise.
"""

import numpy as np
import numpy.typing as npt

from labelcast.forecast.efficiency import Array
from labelcast.forecast.student import normal_cdf, normal_quantile

EDGE = 0.05
"""Probability left beyond gain 0 and beyond gain 1: what lands there is clipped to the bound."""

_SPAN = 1 - 2 * EDGE
_BEYOND = 0.8 * EDGE / _SPAN
_STEP = 1e-3


def to_latent(gains: npt.ArrayLike) -> Array:
    """Turn gains into latent values, of the same shape; gains beyond -0.044 to 1.044 are clipped.

    >>> [round(float(z), 3) for z in to_latent([0.0, 0.5, 1.0])]
    [-1.645, 0.0, 1.645]
    """
    values = np.clip(np.asarray(gains, dtype=np.float64), -_BEYOND, 1 + _BEYOND)
    flat = (EDGE + _SPAN * values).ravel().tolist()
    latent = np.fromiter(map(normal_quantile, flat), np.float64, len(flat))
    return np.asarray(latent.reshape(values.shape), dtype=np.float64)


def to_gain(latent: npt.ArrayLike) -> Array:
    """Turn latent values into gains, from -0.056 to 1.056, of the same shape.

    >>> [round(float(y), 3) for y in to_gain([-1.645, 0.0, 9.0])]
    [-0.0, 0.5, 1.056]
    """
    return (normal_cdf(latent) - EDGE) / _SPAN


def latent_slope(gains: npt.ArrayLike) -> Array:
    """Return the slope of the latent value over the gain: a secant of 0.002 within 0 to 1."""
    values = np.asarray(gains, dtype=np.float64)
    low = np.clip(values - _STEP, 0.0, 1 - _STEP)
    high = np.clip(values + _STEP, _STEP, 1.0)
    return np.asarray((to_latent(high) - to_latent(low)) / (high - low), dtype=np.float64)
