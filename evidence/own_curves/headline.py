"""The forecast of the score at 1,000 labels from the first two scores, in sentences."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from evidence.own_curves.curves import AT, CHOSEN_ON, LATER, Own, headline_of
from evidence.transport import LEVEL, Case, Predicted
from labelcast.forecast.question import FROZEN

_RESAMPLED = 4000

Row = dict[str, Any]


def row_of(own: Own, case: Case, predicted: Predicted) -> list[Row]:
    """The forecast for `AT` labels beside the measured score; empty where there is none."""
    places = np.flatnonzero(case.later_budgets == AT)
    if (
        tuple(case.budgets) != headline_of(own.group)
        or not len(places)
        or predicted.intervals is None
    ):
        return []
    place = int(places[0])
    low, high = predicted.intervals[LEVEL][place]
    truth = case.later_scores[place]
    return [
        {
            "curves of": own.group,
            "frozen minilm": (own.model, own.recipe) == ("minilm", FROZEN),
            "task": own.task,
            "seed": own.seed,
            "forecast": round(float(predicted.scores[place]), 4),
            "low": round(float(low), 4),
            "high": round(float(high), 4),
            "measured": float(truth),
            "inside": bool(low - 1e-9 <= truth <= high + 1e-9),
        }
    ]


def sentences(headline: Sequence[Row], group: str) -> list[str]:
    """How often the score was inside, over tasks, with the first seed, and by kind of task."""
    rows = [row for row in headline if row["curves of"] == group]
    observed = " and ".join(map(str, headline_of(group)))
    if not rows:
        return [f"{group}: no curve has scores at {observed} labels and later at {AT:,}"]
    missed = [row for row in rows if not row["inside"]]
    below = sum(row["measured"] < row["low"] for row in missed)
    first = min(row["seed"] for row in rows)
    once = [row for row in rows if row["seed"] == first]
    not_inside = sorted(row["task"] for row in once if not row["inside"])
    found = [
        f"from the scores at {observed} labels the 90% interval contains the score at {AT:,} in "
        f"{inside_of(rows)} forecasts; {_over_tasks(rows)}; the mean width is "
        f"{np.mean([row['high'] - row['low'] for row in rows]):.2f}",
        f"{below} of {len(missed)} misses lie below the interval; with the first seed it contains "
        f"{inside_of(once)}" + (f" (not {', '.join(not_inside)})" if not_inside else ""),
        *_split(rows, f"above the majority baseline at {AT:,} labels", lambda row: row["above"]),
    ]
    known = {row["task"]: row["above later"] for row in rows if not row["above"]}
    later = [above for above in known.values() if above is not None]
    if later:
        found.append(
            f"above the majority baseline at {LATER:,} labels, but not at {AT:,}: {sum(later)} of "
            f"{len(later)} tasks"
        )
    if rows[0]["frozen minilm"]:
        words = "on which the share of flat curves was chosen"
        found += _split(rows, words, lambda row: row["task"] in CHOSEN_ON)
    return [f"{group}: {line}" for line in found]


def _split(rows: Sequence[Row], words: str, belongs: Callable[[Row], bool]) -> list[str]:
    """How often the score was inside on the tasks of a kind and on the others; none of one kind."""
    of = [row for row in rows if belongs(row)]
    others = [row for row in rows if not belongs(row)]
    if not of or not others:
        return []
    return [
        f"{inside_of(of)} on the {tasks_of(of)} {words}, {inside_of(others)} on the "
        f"other {len({row['task'] for row in others})}"
    ]


def _over_tasks(rows: Sequence[Row]) -> str:
    share, low, high = mean_over_tasks(rows)
    text = f"in the mean over {tasks_of(rows)} in {share:.0%}"
    # Resampled tasks that are all alike say nothing about other tasks.
    return text if low == high else f"{text} (90% interval over tasks {low:.0%} to {high:.0%})"


def mean_over_tasks(rows: Sequence[Row]) -> tuple[float, float, float]:
    """The share inside, in the mean over tasks, and its 90% interval; tasks are resampled."""
    by_task: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        by_task[row["task"]].append(row["inside"])
    shares = np.array([np.mean(inside) for inside in by_task.values()])
    drawn = np.random.default_rng(0).integers(len(shares), size=(_RESAMPLED, len(shares)))
    low, high = np.quantile(shares[drawn].mean(axis=1), [0.05, 0.95])
    return float(shares.mean()), float(low), float(high)


def inside_of(rows: Sequence[Row]) -> str:
    """How many of the measured scores are inside their intervals."""
    return f"{sum(row['inside'] for row in rows)} of {len(rows)}"


def tasks_of(rows: Sequence[Row]) -> str:
    """How many tasks they are of."""
    count = len({row["task"] for row in rows})
    return f"{count} task{'s' * (count != 1)}"
