"""A least-squares line of AUC against CoS-Low over tasks, and whether it beats their mean."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from labelcast.errors import InputError
from labelcast.forecast.efficiency import Array

STRICT = {"extra": "forbid", "strict": True, "allow_inf_nan": False}
"""How pydantic reads a card: no unknown key, no conversion, no NaN."""

MIN_TASKS = 8
"""Below this many tasks a line and its error are too uncertain to forecast with."""

LEVEL = 0.9
RESAMPLES = 4000
_FLAT = 1e-12


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
        loo_residuals: each y minus the line through the others, [n].
        loo_mae: their mean absolute value.
        loo_mae_of_mean: the same when the mean of the others is the prediction.
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
    loo_residuals: Array
    loo_mae: float
    loo_mae_of_mean: float


def fit_line(x: npt.ArrayLike, y: npt.ArrayLike) -> LineFit:
    """Fit y = slope * x + intercept by least squares.

    Args:
        x: x of the points, [n], n >= 4, finite.
        y: y of the points, [n], finite.

    Raises:
        InputError: under 4 points, a value is not finite, or a line through the points (or through
            all but one of them) is not determined because x does not vary.

    >>> fit = fit_line([0, 1, 2, 3], [1.0, 3.0, 5.0, 7.0])
    >>> round(fit.slope, 9), round(fit.intercept, 9), round(fit.loo_mae, 9)
    (2.0, 1.0, 0.0)
    """
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(xs) < 4:
        raise InputError(f"a line needs 4 points or more, not {len(xs)}")
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
        loo_residuals=loo,
        loo_mae=float(np.abs(loo).mean()),
        loo_mae_of_mean=float(np.abs(dy * n / (n - 1)).mean()),
    )


@dataclass(frozen=True)
class TaskPoint:
    """One task behind a calibration: its CoS-Low and its measured AUC."""

    task: str
    coslow: float
    auc: float
    __pydantic_config__ = STRICT


@dataclass(frozen=True)
class ModelLine:
    """The line of one model behind a pooled calibration."""

    name: str
    slope: float
    intercept: float
    __pydantic_config__ = STRICT


def checked_points(
    coslow: Sequence[float], auc: Sequence[float], tasks: Sequence[str] | None
) -> tuple[TaskPoint, ...]:
    """Pair CoS-Low and AUC by task.

    Raises:
        InputError: lengths differ, a value is out of range, or a name appears twice.
    """
    names = [f"task {i + 1}" for i in range(len(coslow))] if tasks is None else list(tasks)
    if not len(coslow) == len(auc) == len(names):
        raise InputError(
            f"a calibration needs one CoS-Low, AUC and name a task; got {len(coslow)}, "
            f"{len(auc)} and {len(names)}"
        )
    points = tuple(
        TaskPoint(str(t), float(x), float(y)) for t, x, y in zip(names, coslow, auc, strict=True)
    )
    for point in points:
        if not -1 <= point.coslow <= 1:
            raise InputError(f"{point.task}: CoS-Low lies within -1 to 1, not {point.coslow}")
        if not 0 <= point.auc <= 1:
            raise InputError(f"{point.task}: an AUC lies within 0 to 1, not {point.auc}")
        if names.count(point.task) > 1:
            raise InputError(f"{point.task}: appears twice; give each task once")
    return points


def fit_points(points: Sequence[TaskPoint]) -> LineFit:
    """Fit a line over tasks.

    Raises:
        InputError: under 8 tasks, or a CoS-Low that does not vary.
    """
    if len(points) < MIN_TASKS:
        raise InputError(
            f"{len(points)} tasks are too few for a calibration: below {MIN_TASKS} the error of "
            "the line cannot be separated from the scatter of the tasks; measure more, or use the "
            "pooled card"
        )
    try:
        return fit_line([p.coslow for p in points], [p.auc for p in points])
    except InputError:
        raise InputError(
            "the CoS-Low of the tasks does not vary (or in one task only), so no line can be "
            "drawn through them; add tasks of other difficulty"
        ) from None


@dataclass(frozen=True)
class ErrorDifference:
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


def loto_difference(
    coslow: Sequence[float], auc: Sequence[float], *, resamples: int = RESAMPLES, seed: int = 0
) -> ErrorDifference:
    """Compare the line with the mean of the other tasks, leaving one task out.

    Args:
        coslow: CoS-Low of each task, [n], n >= 4.
        auc: measured AUC of each task, [n].
        resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.

    Raises:
        InputError: the CoS-Low does not vary.

    A resample draws n tasks with replacement. Within it everything is done again: each task is
    predicted by the line, and by the mean, of the drawn tasks that are not that task, whose copies
    are all left out. So the interval includes the error of the fits. A resample in which no line
    can be drawn is drawn again.

    >>> x = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    >>> loto_difference(x, [0.3 + 0.5 * v for v in x]).line_is_better
    True
    """
    x, y = np.asarray(coslow, dtype=np.float64), np.asarray(auc, dtype=np.float64)
    n = len(x)
    measured = _differences(x, y, np.ones((1, n)))
    if not len(measured):
        raise InputError("the CoS-Low of the tasks does not vary, so no line can be drawn")
    rng = np.random.default_rng(seed)
    found = np.zeros(0)
    while len(found) < resamples:
        drawn = rng.integers(n, size=(resamples, n))
        counts = np.stack([np.bincount(row, minlength=n) for row in drawn]).astype(np.float64)
        found = np.concatenate([found, _differences(x, y, counts)])
    low, high = np.quantile(found[:resamples], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return ErrorDifference(float(measured[0]), float(low), float(high))


def _differences(x: Array, y: Array, counts: Array) -> Array:
    """Return the mean paired difference of each resample in which every line can be drawn.

    Args:
        x: CoS-Low of the tasks, [n].
        y: their AUC, [n].
        counts: how often each was drawn, [B,n].
    """
    x = x - x.mean()
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
        gain = np.where(used, counts * (np.abs(y - mean_y) - of_line), 0.0)
    drawn = ((spread > _FLAT) | ~used).all(axis=1)
    return np.asarray((gain.sum(axis=1) / counts.sum(axis=1))[drawn])
