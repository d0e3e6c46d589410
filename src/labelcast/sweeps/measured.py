"""Measured curves out of a sweep's rows: mean scores by budget, and their area."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import sqrt
from statistics import fmean, stdev
from typing import Any

from labelcast.errors import InputError
from labelcast.forecast.efficiency import EfficiencyCurve
from labelcast.tasks.task import Task


def curves_of(rows: Iterable[dict[str, Any]], tasks: Mapping[str, Task]) -> dict[str, Any]:
    """The curve of each task.

    Args:
        rows: of a sweep's scores file; those with an error do not count.
        tasks: by name; their ceilings are used.

    Returns:
        By task: ``budgets`` [k], ``scores`` (means over seeds, as measured) [k], ``seeds`` (how
        many) [k], ``score_sd`` (over seeds, None for one) [k], ``metric``, ``test_size``,
        ``auc``, ``zero_shot``, ``ceiling``, ``gains`` (cleaned) [k], ``censored``, and ``note``:
        why there is no area, else empty.

    Source: Je and Raffel (2025), the curve; `EfficiencyCurve` cleans and normalises it.
    """
    by_task: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if not row["error"] and row["score"] is not None:
            by_task[row["task"]].append(row)
    return {
        name: _curve(by_task[name], task.ceiling.score if task.ceiling else None)
        for name, task in tasks.items()
    }


def _curve(rows: list[dict[str, Any]], ceiling: float | None) -> dict[str, Any]:
    scores: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        scores[int(row["budget"])].append(float(row["score"]))
    budgets = sorted(scores)
    means = {budget: fmean(scores[budget]) for budget in budgets}
    curve: dict[str, Any] = {
        "budgets": budgets,
        "scores": [means[budget] for budget in budgets],
        "seeds": [len(scores[budget]) for budget in budgets],
        "score_sd": [stdev(s) if len(s := scores[b]) > 1 else None for b in budgets],
        "metric": rows[0]["metric"] if rows else None,
        "test_size": rows[0]["test_size"] if rows else None,
    }
    return curve | _area(means, ceiling)


def _area(means: dict[int, float], ceiling: float | None) -> dict[str, Any]:
    fields = ("auc", "zero_shot", "ceiling", "gains", "censored")
    try:
        found = EfficiencyCurve.from_scores(means, ceiling)
    except InputError as error:
        return dict.fromkeys(fields) | {"note": str(error)}
    values = {name: getattr(found, name) for name in fields}
    return values | {"gains": list(found.gains), "note": _notes(means)}


def _notes(means: dict[int, float]) -> str:
    if 0 not in means:
        return "no zero-shot score (budget 0): the lowest score stands for it"
    return ""


def commonest_share(answers: Iterable[str]) -> tuple[float, float]:
    """What always answering the commonest label scores on a test set, and its standard error.

    >>> commonest_share(["yes", "yes", "no", "yes"])[0]
    0.75
    """
    found = list(answers)
    share = max(map(found.count, set(found))) / len(found)
    return share, sqrt(share * (1 - share) / len(found))
