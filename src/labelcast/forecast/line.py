"""A least-squares line with everything that judges it.

Knows leave-one-out errors, leverage, influence and intervals of a line through points. Does not
know what the points mean; `calibration` gives them meaning.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from labelcast.errors import InputError
from labelcast.forecast.efficiency import Array
from labelcast.forecast.student import t_quantile


@dataclass(frozen=True, eq=False)
class LineFit:
    """A fitted line y = slope * x + intercept through n points.

    Attributes:
        x, y: the points, [n] each.
        slope, intercept: least squares.
        slope_se, intercept_se: their standard errors.
        r: correlation of x and y (0 where y does not vary).
        residual_sd: sqrt(sum of squared residuals / (n - 2)).
        mean_x, sxx: mean of x and sum of its squared deviations.
        residuals: y minus the line, [n].
        leverage: diagonal of the hat matrix, [n]; it sums to 2.
        loo_residuals: each y minus the line through the others, [n].
        loo_mae: their mean absolute value.
        loo_mae_of_mean: the same when the mean of the others is the prediction.
        cooks_distance: how far the line moves when a point is left out, [n].
    """

    x: Array
    y: Array
    slope: float
    intercept: float
    slope_se: float
    intercept_se: float
    r: float
    residual_sd: float
    mean_x: float
    sxx: float
    residuals: Array
    leverage: Array
    loo_residuals: Array
    loo_mae: float
    loo_mae_of_mean: float
    cooks_distance: Array

    @property
    def most_influential(self) -> int:
        """Index of the point that moves the line most (largest Cook's distance)."""
        return int(np.argmax(self.cooks_distance))

    def prediction_sd(self, x: float) -> float:
        """Return the standard deviation of a new y at x: residual and line, leverage included."""
        return self.residual_sd * math.sqrt(1 + 1 / len(self.x) + (x - self.mean_x) ** 2 / self.sxx)

    def prediction_interval(self, x: float, level: float = 0.9) -> tuple[float, float]:
        """Return the parametric interval (t with n - 2 degrees of freedom) of a new y at x."""
        middle = self.slope * x + self.intercept
        half = t_quantile((1 + level) / 2, len(self.x) - 2) * self.prediction_sd(x)
        return middle - half, middle + half

    def jackknife_plus(self, x: float, level: float = 0.9) -> tuple[float, float]:
        """Return the jackknife+ interval of a new y at x, which assumes no distribution.

        Infinite ends where there are too few points for the level.

        Source: Barber, Candes, Ramdas and Tibshirani (2021), Annals of Statistics 49(1), eq. 1.2.
        """
        n = len(self.x)
        moved = self.loo_residuals / self.sxx * (self.x - self.mean_x)
        slopes = self.slope - moved
        intercepts = self.intercept - self.loo_residuals / n + moved * self.mean_x
        middle = slopes * x + intercepts
        spread = np.abs(self.loo_residuals)
        rank = math.ceil(level * (n + 1) - 1e-9)
        if rank > n:
            return -math.inf, math.inf
        return float(np.sort(middle - spread)[n - rank]), float(np.sort(middle + spread)[rank - 1])


def fit_line(x: npt.ArrayLike, y: npt.ArrayLike) -> LineFit:
    """Fit y = slope * x + intercept by least squares.

    Args:
        x: of the points, [n], n >= 4, finite.
        y: of the points, [n], finite.

    Raises:
        InputError: lengths differ, under 4 points, a value is not finite, or a line through the
            points (or through all but one of them) is not determined because x does not vary.

    >>> fit = fit_line([0, 1, 2, 3], [1.0, 3.0, 5.0, 7.0])
    >>> round(fit.slope, 9), round(fit.intercept, 9), round(fit.loo_mae, 9)
    (2.0, 1.0, 0.0)
    """
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if xs.ndim != 1 or xs.shape != ys.shape or len(xs) < 4:
        raise InputError(f"a line needs 4 pairs or more; got {xs.shape} and {ys.shape}")
    if not (np.isfinite(xs).all() and np.isfinite(ys).all()):
        raise InputError("a line cannot be fitted to values that are not finite")
    n, mean_x, mean_y = len(xs), float(xs.mean()), float(ys.mean())
    dx, dy = xs - mean_x, ys - mean_y
    sxx, syy = float(dx @ dx), float(dy @ dy)
    leverage = 1 / n + dx**2 / max(sxx, np.finfo(float).tiny)
    if sxx <= n * (1e-9 * max(1.0, abs(mean_x))) ** 2 or leverage.max() > 1 - 1e-9:
        raise InputError("x does not vary enough (or only in one point) to determine a line")
    slope = float(dx @ dy) / sxx
    residuals = dy - slope * dx
    residual_sd = math.sqrt(float(residuals @ residuals) / (n - 2))
    loo = residuals / (1 - leverage)
    variance = max(residual_sd**2, np.finfo(float).tiny)
    return LineFit(
        x=xs,
        y=ys,
        slope=slope,
        intercept=mean_y - slope * mean_x,
        slope_se=residual_sd / math.sqrt(sxx),
        intercept_se=residual_sd * math.sqrt(1 / n + mean_x**2 / sxx),
        r=float(dx @ dy) / math.sqrt(sxx * syy) if syy > 0 else 0.0,
        residual_sd=residual_sd,
        mean_x=mean_x,
        sxx=sxx,
        residuals=residuals,
        leverage=leverage,
        loo_residuals=loo,
        loo_mae=float(np.abs(loo).mean()),
        loo_mae_of_mean=float(np.abs(dy * n / (n - 1)).mean()),
        cooks_distance=residuals**2 * leverage / (2 * variance * (1 - leverage) ** 2),
    )
