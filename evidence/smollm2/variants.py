"""Other ways to reduce the gradients' cosines to one number, compared by nested validation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelcast.errors import InputError
from labelcast.forecast.line import fit_line

_SINGLE = "block "
_KEYS = ("task", "probe", "draw")


def variant_values(
    layers: Sequence[dict[str, Any]], tasks: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """The value of each variant for each task, the mean over draws, [n].

    Single blocks are left out: with 30 of them one would fit by chance.
    """
    rows = [row for row in layers if row["probe"] == "coslow"]
    subsets = [key for key in rows[0] if key not in _KEYS and not key.startswith(_SINGLE)]
    found = {}
    for subset in subsets:
        for place, what in enumerate(("median", "mean")):
            by_task = [
                [row[subset][place] for row in rows if row["task"] == task and row[subset]]
                for task in tasks
            ]
            if all(by_task):
                found[f"{subset}, {what}"] = np.array([np.mean(values) for values in by_task])
    return found


def nested_errors(
    values: Mapping[str, NDArray[np.float64]], aucs: NDArray[np.float64], default: str
) -> tuple[float, float, dict[str, int]]:
    """Leave-one-task-out errors of the default and of the variant chosen without that task.

    Args:
        values: by variant, [n].
        aucs: measured, [n].
        default: the variant that ships.

    Returns:
        Mean absolute error of the default, that of the chosen variants, and how often each was
        chosen: by the least leave-one-out error on the other n - 1 tasks.
    """
    of_default, of_chosen, picks = [], [], []
    for left in range(len(aucs)):
        kept = np.arange(len(aucs)) != left
        inner = {name: _inner_error(v[kept], aucs[kept]) for name, v in values.items()}
        best = min(inner, key=lambda name: inner[name])
        picks.append(best)
        of_default.append(_outer_error(values[default], aucs, left))
        of_chosen.append(_outer_error(values[best], aucs, left))
    return float(np.mean(of_default)), float(np.mean(of_chosen)), dict(Counter(picks))


def _inner_error(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    try:
        return fit_line(x, y).loo_mae
    except InputError:
        return float("inf")


def _outer_error(x: NDArray[np.float64], y: NDArray[np.float64], left: int) -> float:
    return float(abs(fit_line(x, y).loo_residuals[left]))
