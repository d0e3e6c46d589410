"""What the forecast's next budget costs beside a fixed grid and doubling, on raw scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from evidence.development import MeasuredCurve
from evidence.reproduce.policy import (
    DOUBLING,
    FIXED_GRID,
    Search,
    Spent,
    given_ends,
    in_turn,
    with_forecast,
)
from labelcast.forecast.families import Prior
from labelcast.forecast.next_budget import RUN_COST

SHARES = (0.5, 0.75, 0.9, 1.25)
"""Targets, as shares of the way from the score at the first budget to the best; above 1 the curve
never reaches it."""

_FIRST, _LEAST_RISE, _FEWEST = 50, 0.03, 5


def spent_by_way(curves: Sequence[MeasuredCurve], recipe: str) -> list[dict[str, Any]]:
    """What each way buys until it meets the target or gives up, in means over curves and targets.

    The forecast knows neither zero-shot nor the ceiling, and begins where `choose` says. A way may
    buy no more than the curve has. Curves that rise by less than 0.03, or with fewer than five
    budgets, are left out.
    """
    found: dict[tuple[str, bool], list[tuple[float, Spent]]] = {}
    for curve in curves:
        raw = {n: score for n, score in curve.scores if n >= _FIRST}
        start, best, horizon = raw.get(_FIRST), max(raw.values(), default=0.0), max(raw, default=0)
        if start is None or best - start < _LEAST_RISE or len(raw) < _FEWEST:
            continue
        size = curve.test_size or 0
        given = given_ends(Prior.load(), None, None, size=size, published=False, recipe=recipe)
        for share in SHARES:
            search = Search(raw, share, start + share * (best - start), math.nan)
            spent = {
                "fixed grid": in_turn(search, _within(FIXED_GRID, horizon)),
                "doubling": in_turn(search, _within(DOUBLING, horizon)),
                "labelcast": with_forecast(search, given, horizon),
            }
            for way, one in spent.items():
                found.setdefault((way, share <= 1), []).append((search.need(), one))
    return [
        {
            "way": way,
            "reachable": reachable,
            "searches": len(rows),
            "needed": _mean([need for need, _ in rows]) if reachable else None,
            "labels": _mean([one.labels for _, one in rows]),
            "runs": _mean([one.runs for _, one in rows]),
            "cost": _mean([one.labels + RUN_COST * one.runs for _, one in rows]),
            "met": _mean([float(one.met) for _, one in rows]),
        }
        for (way, reachable), rows in found.items()
    ]


def _within(budgets: Sequence[float], horizon: int) -> list[float]:
    return [*(float(n) for n in budgets if n < horizon), float(horizon)]


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 3)
