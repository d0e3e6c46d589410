"""What the forecast's next budget costs beside a fixed grid and doubling, on raw scores."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from evidence.own_curves.curves import Own, first_seed
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

GRID, OURS = "fixed grid", "labelcast"
_FIRST, _LEAST_RISE, _FEWEST, _RESAMPLED = 50, 0.03, 5, 4000


class Searched(NamedTuple):
    """The means of each way, and the cost beside the fixed grid as a sentence."""

    rows: list[dict[str, Any]]
    sentence: str


def spent_by_way(curves: Sequence[Own]) -> Searched:
    """What each way buys until it meets the target or gives up, on the curves of the first seed.

    The forecast knows neither zero-shot nor the ceiling, and begins where `choose` says. A way may
    buy no more than the curve has; between measured budgets the scores are interpolated. Curves
    that rise by less than 0.03, or with fewer than five budgets, are left out.
    """
    found: dict[bool, list[tuple[str, dict[str, Spent]]]] = {True: [], False: []}
    for own in first_seed(curves):
        raw = {n: score for n, score in own.curve.scores if n >= _FIRST}
        start, best, horizon = raw.get(_FIRST), max(raw.values(), default=0.0), max(raw, default=0)
        if start is None or best - start < _LEAST_RISE or len(raw) < _FEWEST:
            continue
        size = own.curve.test_size or 0
        given = given_ends(Prior.load(), None, None, size=size, published=False, recipe=own.recipe)
        for share in SHARES:
            search = Search(raw, share, start + share * (best - start), math.nan)
            spent = {
                GRID: in_turn(search, _within(FIXED_GRID, horizon)),
                "doubling": in_turn(search, _within(DOUBLING, horizon)),
                OURS: with_forecast(search, given, horizon),
            }
            found[share <= 1].append((own.task, spent))
    rows = [
        {
            "way": way,
            "reachable": reachable,
            "searches": len(searches),
            "labels": _mean([spent[way].labels for _, spent in searches]),
            "runs": _mean([spent[way].runs for _, spent in searches]),
            "cost": _mean([_cost(spent[way]) for _, spent in searches]),
            "met": _mean([float(spent[way].met) for _, spent in searches]),
        }
        for reachable, searches in found.items()
        if searches
        for way in searches[0][1]
    ]
    return Searched(rows, _beside_grid(found[True]))


def _beside_grid(searches: Sequence[tuple[str, dict[str, Spent]]]) -> str:
    """The cost of the forecast's way over the grid's where both meet the target."""
    costs: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for task, spent in searches:
        if spent[OURS].met and spent[GRID].met:
            costs[task].append((_cost(spent[OURS]), _cost(spent[GRID])))
    if not costs:
        return ""
    totals = np.array([np.sum(pairs, axis=0) for pairs in costs.values()])
    drawn = np.random.default_rng(0).integers(len(totals), size=(_RESAMPLED, len(totals)))
    ours, grid = totals[drawn].sum(axis=1).T
    low, high = np.quantile(ours / grid, [0.05, 0.95])
    share = totals[:, 0].sum() / totals[:, 1].sum()
    return (
        f"where both meet the target ({sum(map(len, costs.values()))} searches on {len(totals)} "
        f"tasks), labelcast's budgets cost {share:.2f} times as much as the fixed grid (90% "
        f"interval over tasks {low:.2f} to {high:.2f})"
    )


def _cost(spent: Spent) -> float:
    """In labels, with what a training run costs."""
    return spent.labels + RUN_COST * spent.runs


def _within(budgets: Sequence[float], horizon: int) -> list[float]:
    return [*(float(n) for n in budgets if n < horizon), float(horizon)]


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 3)
