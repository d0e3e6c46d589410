"""The results of the ways to spend labels, as a table."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from evidence.reproduce.policy import Simulated, search_on
from evidence.reproduce.published import PublishedCurve
from evidence.reproduce.scoring import TARGETS, TaskBootstrap
from labelcast.forecast.efficiency import Array

BASELINE = "fixed grid"


def policy_table(
    curves: Sequence[PublishedCurve], simulated: Sequence[Simulated], bootstrap: TaskBootstrap
) -> list[dict[str, Any]]:
    """Return a JSON-ready row for every way and target, and for all targets together.

    Means are over the curves that reach the target; `beyond_need` over those on which the way met
    it; `never` is what the way spends on the curves that do not reach it. `saved` compares with the
    fixed grid on the same curves and is positive if the way buys fewer labels; it includes what is
    saved by giving up, `saved_where_met` does not. Intervals are task-clustered.
    """
    needs = np.array([[search_on(curve, t).need() for t in TARGETS] for curve in curves])
    grid = next(one for one in simulated if one.way.name == BASELINE)
    chosen: list[tuple[str, slice]] = [("all", slice(None))]
    chosen += [(str(t), slice(j, j + 1)) for j, t in enumerate(TARGETS)]
    return [
        _row(one, grid, needs, name, part, bootstrap) for one in simulated for name, part in chosen
    ]


def _row(
    one: Simulated,
    grid: Simulated,
    needs: Array,
    name: str,
    part: slice,
    bootstrap: TaskBootstrap,
) -> dict[str, Any]:
    needed = np.broadcast_to(needs[:, part, None], one.labels[:, part].shape)
    labels, runs, met = one.labels[:, part], one.runs[:, part], one.met[:, part] > 0
    reachable = np.isfinite(needed)
    spread = bootstrap.spread(needed[0].size)

    def mean(values: Array, where: npt.NDArray[np.bool_]) -> dict[str, float | None]:
        return vars(spread.mean(np.where(where, values, math.nan).ravel()))

    bought = labels[reachable]
    beyond = np.maximum(labels - np.where(reachable, needed, 0.0), 0.0)
    return {
        "way": one.way.name,
        "auc_known": one.way.auc_known,
        "ceiling": one.way.ceiling,
        "target": name,
        "reach": int(np.isfinite(needs[:, part]).sum()),
        "labels_needed": mean(needed, reachable)["value"],
        "labels_bought": mean(labels, reachable),
        "labels_bought_median": float(np.median(bought)) if len(bought) else None,
        "beyond_need": mean(beyond, reachable & met),
        "runs": mean(runs, reachable),
        "missed": mean(np.where(met, 0.0, 1.0), reachable),
        "saved": mean(grid.labels[:, part] - labels, reachable),
        "saved_where_met": mean(grid.labels[:, part] - labels, reachable & met),
        "never": {
            "labels_bought": mean(labels, ~reachable)["value"],
            "runs": mean(runs, ~reachable)["value"],
        },
    }
