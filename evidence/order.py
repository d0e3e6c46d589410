"""How well the forecast keeps order when one score changes in steps of .005.

`python -m evidence.order` scans one observed score, or two together, with everything else fixed. It
prints how often a better score raised the labels needed (median, low, high) or lowered the chance,
and by how much at most (in log2 of the labels; 9 means that a figure became "beyond the horizon").
It takes a minute or two on one core.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from labelcast.forecast.forecasting import forecast

Scores = list[tuple[int, float]]

STEP = 0.005
_BEYOND = 9.0

SCANS: tuple[tuple[str, Callable[[float], Scores], tuple[float, float], dict[str, Any]], ...] = (
    ("one score", lambda s: [(50, s)], (0.3, 0.84), {"target_score": 0.85}),
    (
        "one score, zero-shot",
        lambda s: [(50, s)],
        (0.2, 0.79),
        {"target_score": 0.8, "zero_shot": 0.7, "observe_size": 1000},
    ),
    (
        "one score, zero-shot and ceiling",
        lambda s: [(50, s)],
        (0.3, 0.84),
        {"target_score": 0.85, "zero_shot": 0.3, "ceiling": 0.95},
    ),
    ("last of two", lambda s: [(50, 0.5), (100, s)], (0.3, 0.84), {"target_score": 0.85}),
    ("first of two", lambda s: [(50, s), (100, 0.7)], (0.3, 0.84), {"target_score": 0.85}),
    (
        "both of two",
        lambda s: [(50, s), (100, s + 0.1)],
        (0.3, 0.74),
        {"target_score": 0.85},
    ),
    (
        "last of three",
        lambda s: [(50, 0.5), (100, 0.6), (200, s)],
        (0.3, 0.84),
        {"target_score": 0.85},
    ),
    (
        "first of three",
        lambda s: [(50, s), (100, 0.6), (200, 0.7)],
        (0.3, 0.84),
        {"target_score": 0.85},
    ),
    (
        "one of three seeds",
        lambda s: [(50, 0.6), (50, 0.62), (50, s)],
        (0.3, 0.84),
        {"target_score": 0.85},
    ),
)


def scan(
    scores: Callable[[float], Scores], ends: tuple[float, float], options: dict[str, Any]
) -> dict[str, tuple[int, float]]:
    """Return for each figure how many steps are out of order, and the largest of them."""
    names = ("median", "low", "high")
    broken = dict.fromkeys((*names, "chance"), (0, 0.0))
    before = None
    for score in np.arange(ends[0], ends[1] + STEP / 2, STEP):
        now = forecast(observations=scores(float(score)), **options).labels_needed
        if before is not None:
            for name in names:
                count, most = broken[name]
                rise = _log2_rise(getattr(before, name), getattr(now, name))
                broken[name] = (count + (rise > 0), max(most, rise))
            count, most = broken["chance"]
            fall = before.reachable - now.reachable
            broken["chance"] = (count + (fall > 1e-9), max(most, fall))
        before = now
    return broken


def _log2_rise(before: int | None, now: int | None) -> float:
    """Return by how much the labels needed rose, in log2; 0 if they did not."""
    if before is None or now == before:
        return 0.0
    return _BEYOND if now is None else max(math.log2(now / max(before, 1)), 0.0)


def main() -> None:
    """Print a line for every scan."""
    for name, scores, ends, options in SCANS:
        found = scan(scores, ends, options)
        steps = round((ends[1] - ends[0]) / STEP)
        parts = (f"{figure} {count} ({most:.3f})" for figure, (count, most) in found.items())
        print(f"{name}, {steps} steps: {', '.join(parts)}", flush=True)


if __name__ == "__main__":
    main()
