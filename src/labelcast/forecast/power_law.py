"""The paper's one-shot curve: gain = x^p over the logarithmic axis, and its inverse.

Its labels needed have no interval: the prior covers the error of the shape and of the AUC.
"""

import math

import numpy as np
import numpy.typing as npt

from labelcast.errors import InputError
from labelcast.forecast.efficiency import LARGEST_BUDGET, Array, log_position

AUC_LOW, AUC_HIGH = 0.05, 0.95
"""The range in which a predicted AUC is used."""


def clip_auc(auc: float) -> tuple[float, str | None]:
    """Clip a predicted AUC into 0.05 to 0.95, with a warning in words where it lay outside.

    Raises:
        InputError: auc is no finite number.

    >>> clip_auc(0.4)
    (0.4, None)
    >>> clip_auc(1.02)
    (0.95, 'the predicted AUC 1.020 lies outside 0.05 to 0.95 and was clipped to 0.95')
    """
    if not math.isfinite(auc):
        raise InputError(f"AUC: expected a finite number, not {auc!r}")
    clipped = min(max(auc, AUC_LOW), AUC_HIGH)
    if clipped == auc:
        return float(auc), None
    return clipped, (
        f"the predicted AUC {auc:.3f} lies outside {AUC_LOW} to {AUC_HIGH} "
        f"and was clipped to {clipped}"
    )


def exponent(auc: float) -> float:
    """Return p = (1 - AUC) / AUC, the power whose continuous area is the AUC.

    Raises:
        InputError: auc not strictly between 0 and 1.

    Source: Je and Raffel (2025); the area of x^p from 0 to 1 is 1 / (p + 1).

    >>> exponent(0.5)
    1.0
    """
    if not 0 < auc < 1:
        raise InputError(f"the power law needs an AUC strictly between 0 and 1, not {auc}")
    return (1 - auc) / auc


def gain(n: npt.ArrayLike, auc: float) -> Array:
    """Return the gain x^p at budgets n (labels, any shape), a fraction from 0 to 1.

    Raises:
        InputError: a budget outside 0 to 5,000, or auc not strictly between 0 and 1.

    >>> round(float(gain(5000, 0.66)), 3), round(float(gain(100, 0.5)), 3)
    (1.0, 0.541)
    """
    budgets = np.asarray(n, dtype=np.float64)
    if not np.all((budgets >= 0) & (budgets <= LARGEST_BUDGET)):
        raise InputError(f"the power law holds for budgets from 0 to {LARGEST_BUDGET:,} labels")
    return np.asarray(log_position(budgets) ** exponent(auc), dtype=np.float64)


def labels_for_gain(fraction: float, auc: float) -> float:
    """Return the labels at which the power law reaches a fraction of the gain.

    2 ** (log2(5000) * fraction ** (auc / (1 - auc))), from 1 to 5,000.

    Raises:
        InputError: fraction not above 0 and at most 1, or auc not strictly between 0 and 1.

    Source: Je and Raffel (2025), inverse of the fitted curve.

    >>> round(labels_for_gain(0.9, 0.54 * 0.65 + 0.31))
    1028
    """
    if not 0 < fraction <= 1:
        raise InputError(f"a target is a fraction of the gain above 0, at most 1, not {fraction}")
    return float(2 ** (math.log2(LARGEST_BUDGET) * fraction ** (1 / exponent(auc))))
