"""Leave-one-task-out comparison of the forecast with the method of the published table."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evidence.reproduce.labelcast_method import LabelcastMethod, PriorWithout
from evidence.reproduce.published import PublishedCurve
from evidence.reproduce.refinement_rows import (
    DRAWS,
    POWER_LAW_ROWS,
    PRIOR_ROWS,
    SEVEN_ROWS,
    Case,
    Method,
    clues_of,
    truth_of,
)
from evidence.reproduce.scoring import MEASURES, TARGETS, TaskBootstrap, measure
from evidence.reproduce.table_method import PowerLawMethod, TableMethod
from labelcast.errors import InputError
from labelcast.forecast.efficiency import Array

FEWEST_TASKS = 4
"""A prior needs at least three tasks, and one is left out."""

CEILINGS = {"known": True, "unknown": False}

Progress = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class Measured:
    """One method under one ceiling.

    Attributes:
        method: its name.
        ceiling: "known" or "unknown".
        cases: the rows.
        values: criteria, mean over draws, [curves, rows, len(MEASURES)].
    """

    method: str
    ceiling: str
    cases: tuple[Case, ...]
    values: Array

    def of(self, name: str) -> Array:
        """Return one criterion, [curves, rows]."""
        return np.asarray(self.values[:, :, MEASURES.index(name)])

    def rows(self, cases: Sequence[Case]) -> "Measured":
        """Return a subset of the rows."""
        kept = [self.cases.index(case) for case in cases]
        return Measured(self.method, self.ceiling, tuple(cases), self.values[:, kept])


def held_out(
    curves: Sequence[PublishedCurve],
) -> Iterator[tuple[str, list[PublishedCurve], list[int]]]:
    """Yield each task, the curves of the other tasks and the indices of its own curves.

    Raises:
        InputError: under 4 tasks.
    """
    tasks = sorted({curve.task for curve in curves})
    if len(tasks) < FEWEST_TASKS:
        raise InputError(
            f"{len(tasks)} tasks are too few to leave one out: the comparison needs curves of "
            f"{FEWEST_TASKS} tasks or more in the results folder"
        )
    for task in tasks:
        others = [curve for curve in curves if curve.task != task]
        yield task, others, [i for i, curve in enumerate(curves) if curve.task == task]


def steps(curves: Sequence[PublishedCurve]) -> int:
    """Return how many times `measure_all` reports progress."""
    return len({curve.task for curve in curves}) * len(CEILINGS) * 3


def measure_all(
    curves: Sequence[PublishedCurve],
    without_task: PriorWithout,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Progress = lambda done: None,
) -> list[Measured]:
    """Run every method on every held-out curve, with the ceiling known and unknown.

    Args:
        curves: curves of four tasks or more.
        without_task: returns the fit of the score curves without a task.
        draws: number of draws of the AUC's noise.
        seed: of these draws.
        progress: called with 1 for each finished method, ceiling and task.

    Raises:
        InputError: under 4 tasks, or under 1 draw.
    """
    if draws < 1:
        raise InputError(f"--draws: expected 1 or more, not {draws}")
    methods: list[tuple[Method, tuple[Case, ...]]] = [
        (TableMethod(), PRIOR_ROWS),
        (PowerLawMethod(), POWER_LAW_ROWS),
        (LabelcastMethod(without_task), PRIOR_ROWS),
    ]
    return [
        measure_method(method, cases, curves, ceiling, draws, seed, progress)
        for ceiling in CEILINGS
        for method, cases in methods
    ]


def measure_method(
    method: Method,
    cases: tuple[Case, ...],
    curves: Sequence[PublishedCurve],
    ceiling: str,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Progress = lambda done: None,
) -> Measured:
    """Run one method on every held-out curve. Arguments as in `measure_all`."""
    known = CEILINGS[ceiling]
    values = np.full((len(curves), len(cases), len(MEASURES)), math.nan)
    for task, others, places in held_out(curves):
        fitted = method.fit(task, others)
        for i in places:
            truth = truth_of(curves[i], known)
            for row, case in enumerate(cases):
                clues = clues_of(curves[i], case, known, draws, seed, i)
                values[i, row] = measure(truth, fitted.predict(clues))
        progress(1)
    return Measured(method.name, ceiling, cases, values)


def table_rows(measured: Sequence[Measured], bootstrap: TaskBootstrap) -> list[dict[str, Any]]:
    """Return a JSON-ready row for every method, ceiling and case."""
    return [_row(part, number, bootstrap) for part in measured for number in range(len(part.cases))]


def _row(part: Measured, number: int, bootstrap: TaskBootstrap) -> dict[str, Any]:
    case = part.cases[number]

    def mean(name: str) -> float | None:
        return bootstrap.mean(part.of(name)[:, number]).value

    def by_target(name: str) -> dict[str, float | None]:
        return {str(target): mean(f"{name}_{target}") for target in TARGETS}

    def coverage(name: str) -> dict[str, float | None] | None:
        found = bootstrap.mean(part.of(name)[:, number])
        return None if found.value is None else vars(found)

    true_auc = case.auc_error_sd == 0
    return {
        "method": part.method,
        **case_fields(case),
        "ceiling": part.ceiling,
        "auc_mae": None if true_auc else mean("auc_error"),
        "log2_n_mae": by_target("labels_error"),
        "log2_n_mae_plain_median": by_target("median_error"),
        "log2_n_mae_unfloored": by_target("unfloored_error"),
        "score_5000_mae": mean("score_error_5000"),
        "coverage_auc": coverage("covers_auc"),
        "coverage_n": coverage("covers_labels"),
        "coverage_score_5000": coverage("covers_score_5000"),
        "interval_score": {
            "auc": mean("interval_score_auc"),
            "log2_n": mean("interval_score_labels"),
            "score_5000": mean("interval_score_score_5000"),
        },
        "score_target": None
        if mean("covers_score_target") is None
        else {
            "log2_n_mae": by_target("score_target_error"),
            "coverage_n": coverage("covers_score_target"),
            "interval_score": mean("interval_score_score_target"),
        },
    }


def case_fields(case: Case) -> dict[str, Any]:
    """Return the fields that name a case."""
    return {
        "observed": list(case.observed),
        "auc_known": case.auc_error_sd is not None,
        "auc_error_sd": case.auc_error_sd,
    }


def pair(measured: Sequence[Measured], ceiling: str) -> tuple[Measured, Measured]:
    """Return the table's method and labelcast under a ceiling, over the seven rows."""
    found = {
        part.method: part.rows(SEVEN_ROWS)
        for part in measured
        if part.ceiling == ceiling and set(SEVEN_ROWS) <= set(part.cases)
    }
    return found[TableMethod.name], found[LabelcastMethod.name]
