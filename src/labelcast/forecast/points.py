"""The tasks behind a calibration, checked, and the line through them.

Knows what a task's CoS-Low and AUC may be and when there are too few tasks. Does not know cards.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from labelcast.errors import InputError
from labelcast.forecast.line import LineFit, fit_line

STRICT = {"extra": "forbid", "strict": True, "allow_inf_nan": False}
"""How pydantic reads a card: no unknown key, no conversion, no NaN."""

MIN_TASKS = 8
"""Below this many tasks a line and its error are too uncertain to forecast with."""


@dataclass(frozen=True)
class TaskPoint:
    """One task behind a calibration: its CoS-Low and its measured AUC."""

    task: str
    coslow: float
    auc: float
    __pydantic_config__ = STRICT


def checked_points(
    coslow: Sequence[float], auc: Sequence[float], tasks: Sequence[str] | None
) -> tuple[TaskPoint, ...]:
    """Pair CoS-Low and AUC by task.

    Raises:
        InputError: lengths differ, a value is out of range, or a name stands twice.
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
            raise InputError(f"{point.task}: stands twice; give each task once")
    return points


def fit_points(points: Sequence[TaskPoint]) -> LineFit:
    """Fit a line over tasks.

    Raises:
        InputError: under 8 tasks, or a CoS-Low that does not vary.
    """
    if len(points) < MIN_TASKS:
        raise InputError(
            f"{len(points)} tasks are too few for a calibration: below {MIN_TASKS} the error of "
            "the line cannot be told from the scatter of the tasks; measure more, or use the "
            "pooled card"
        )
    try:
        return fit_line([p.coslow for p in points], [p.auc for p in points])
    except InputError:
        raise InputError(
            "the CoS-Low of the tasks does not vary (or in one task only), so no line can be "
            "drawn through them; add tasks of other difficulty"
        ) from None
