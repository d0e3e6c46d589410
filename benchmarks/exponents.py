"""How a cost grows: the exponent b of y = c x^b, by least squares on logarithms, and its error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FEWEST = 3


@dataclass(frozen=True)
class Growth:
    """A fitted power law.

    Attributes:
        exponent: b.
        error: standard error of b; 0 for two points, which cannot show one.
        factor: c, in the unit of y.
        points: how many points were fitted.
    """

    exponent: float
    error: float
    factor: float
    points: int

    def at(self, x: float) -> float:
        """Y at x."""
        return float(self.factor * x**self.exponent)


def fit(x: Sequence[float], y: Sequence[float]) -> Growth:
    """The power law through points, given as two sequences of the same length, all above 0.

    Raises:
        ValueError: fewer than two different x.

    Examples:
        >>> fit([1, 10, 100], [2, 20, 200]).exponent
        1.0
    """
    a, b = np.log(np.asarray(x, float)), np.log(np.asarray(y, float))
    spread = float(((a - a.mean()) ** 2).sum())
    if spread == 0:
        raise ValueError("an exponent needs at least two different x")
    exponent = float(((a - a.mean()) * (b - b.mean())).sum()) / spread
    constant = float(b.mean() - exponent * a.mean())
    left = float(((b - constant - exponent * a) ** 2).sum())
    free = len(a) - 2
    error = math.sqrt(left / free / spread) if free > 0 else 0.0
    return Growth(round(exponent, 12), error, math.exp(constant), len(a))


def upper(x: Sequence[float], y: Sequence[float]) -> Growth:
    """The power law of the larger half of the points, where fixed costs matter least."""
    order = np.argsort(x)[-max(FEWEST, (len(x) + 1) // 2) :]
    return fit([x[i] for i in order], [y[i] for i in order])
