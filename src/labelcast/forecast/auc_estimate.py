"""A predicted AUC with its error.

Knows the distribution, not where it came from.
"""

from dataclasses import dataclass

import numpy as np

from labelcast.forecast.efficiency import Array
from labelcast.forecast.power_law import AUC_HIGH, AUC_LOW
from labelcast.forecast.student import t_quantile


@dataclass(frozen=True)
class AucEstimate:
    """A predicted AUC: a t distribution, clipped to 0.05 to 0.95.

    Attributes:
        mean: predicted AUC, after clipping.
        sd: scale of the prediction error.
        df: degrees of freedom of the t distribution.
        level: of the interval.
        low, high: prediction interval at that level, clipped too.
        clipped: whether the mean was clipped.
        warnings: in words, for the user.
    """

    mean: float
    sd: float
    df: float
    level: float
    low: float
    high: float
    clipped: bool
    warnings: tuple[str, ...]

    def quantile(self, probability: float) -> float:
        """Return a quantile of the AUC, clipped to 0.05 to 0.95."""
        return within(self.mean + self.sd * t_quantile(probability, self.df))

    def sample(self, n: int, seed: int) -> Array:
        """Draw n AUCs, [n], clipped to 0.05 to 0.95."""
        draws = np.random.default_rng(seed).standard_t(self.df, size=n)
        return np.clip(self.mean + self.sd * draws, AUC_LOW, AUC_HIGH)


def within(auc: float) -> float:
    """Clip an AUC into 0.05 to 0.95."""
    return min(max(auc, AUC_LOW), AUC_HIGH)
