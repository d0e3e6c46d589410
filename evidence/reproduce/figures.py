"""The published figures from the authors' results folder, and the forecast tested on them."""

import csv
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evidence.reproduce.comparison import compare
from evidence.reproduce.labelcast_method import PriorWithout
from evidence.reproduce.policy import simulate
from evidence.reproduce.policy_table import policy_table
from evidence.reproduce.published import PublishedCurve, auc_max_abs_error
from evidence.reproduce.refinement import Progress, held_out, measure_all, table_rows
from evidence.reproduce.refinement import steps as refinement_steps
from evidence.reproduce.refinement_rows import DRAWS
from evidence.reproduce.scoring import LEVEL, RESAMPLES, TaskBootstrap
from labelcast.errors import InputError
from labelcast.forecast.line import fit_line

COSLOW_FILE = "coslow_llama_figure.csv"


def steps(curves: Sequence[PublishedCurve]) -> int:
    """Return how many times `reproduce` reports progress."""
    return refinement_steps(curves) + len({curve.task for curve in curves})


def reproduce(
    curves: tuple[PublishedCurve, ...],
    calibration: dict[str, Any] | None,
    without_task: PriorWithout,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Progress = lambda done: None,
) -> dict[str, Any]:
    """Recompute the published figures and test the forecast, leaving one task out.

    Args:
        curves: of four tasks or more.
        calibration: the result of `calibration_figures`, or None.
        without_task: gives the fit of the score curves without a task.
        draws: of the error of the AUC, in every row that has one.
        seed: of these draws and of the bootstrap.
        progress: called with 1 for each of `steps`.

    Returns:
        JSON-ready figures; None for one that is not available, with the reason in `notes`.

    Raises:
        InputError: under 4 tasks, under 1 draw, or a negative seed.
    """
    if seed < 0:
        raise InputError(f"--seed: expected 0 or more, not {seed}")
    next(held_out(curves))
    error, notes = _auc_error(curves)
    if calibration is None:
        notes.append(f"no calibration: {COSLOW_FILE} was not found; give it with --coslow FILE")
    bootstrap = TaskBootstrap.of([curve.task for curve in curves], seed)
    measured = measure_all(curves, without_task, draws, seed, progress)
    simulated = simulate(curves, without_task, seed, progress)
    return {
        "curves": [_row(curve) for curve in curves],
        "counts": {
            "curves": len(curves),
            "by_model": dict(Counter(curve.model for curve in curves)),
            "tasks": len({curve.task for curve in curves}),
            "without_human_score": sum(curve.human is None for curve in curves),
            "without_published_auc": sum(curve.published_auc is None for curve in curves),
        },
        "auc_max_abs_error": error,
        "calibration": calibration,
        "protocol": {
            "draws": draws,
            "seed": seed,
            "level": LEVEL,
            "bootstrap_resamples": RESAMPLES,
        },
        "refinement": table_rows(measured, bootstrap),
        "comparison": compare(measured, bootstrap),
        "policy": policy_table(curves, simulated, bootstrap),
        "notes": notes,
    }


def _row(curve: PublishedCurve) -> dict[str, Any]:
    """Return one curve as recomputed, next to the published AUC."""
    return {
        "model": curve.model,
        "task": curve.task,
        "auc": curve.curve.auc,
        "published_auc": curve.published_auc,
        "zero_shot": curve.curve.zero_shot,
        "ceiling": curve.curve.ceiling,
        "human": curve.human,
    }


def _auc_error(curves: tuple[PublishedCurve, ...]) -> tuple[float | None, list[str]]:
    """Return the largest error of a recomputed AUC, or None with a note."""
    missing = [f"{c.model} {c.task}" for c in curves if c.published_auc is None]
    if len(missing) == len(curves):
        return None, ["no published AUC to compare with: auc_res has none for these curves"]
    notes = [f"without a published AUC: {', '.join(missing)}"] if missing else []
    return auc_max_abs_error(curves), notes


def find_coslow(results: Path) -> Path | None:
    """Return the file of CoS-Low values in or next to the results folder, or None."""
    places = (results / COSLOW_FILE, results.resolve().parent / COSLOW_FILE)
    return next((path for path in places if path.is_file()), None)


def calibration_figures(path: Path) -> dict[str, Any]:
    """Fit the line from CoS-Low to AUC to a CSV file with the columns task, coslow and auc.

    Raises:
        InputError: the file cannot be read, has other columns, or a value is not a number.
    """
    points = _coslow_points(path)
    try:
        line = fit_line(*points)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return {
        "slope": line.slope,
        "intercept": line.intercept,
        "r": line.r,
        "loto_mae": line.loo_mae,
        "loto_mae_of_mean": line.loo_mae_of_mean,
        "residual_sd": line.residual_sd,
        "tasks": len(line.x),
    }


def _coslow_points(path: Path) -> tuple[list[float], list[float]]:
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV file in UTF-8 ({error})") from None
    points = [
        (_value(path, n, row, "coslow"), _value(path, n, row, "auc"))
        for n, row in enumerate(rows, start=2)
    ]
    return [x for x, _ in points], [y for _, y in points]


def _value(path: Path, line: int, row: dict[str, str], column: str) -> float:
    try:
        value = float(row[column])
    except KeyError:
        raise InputError(f"{path}: no column {column}; expected task,coslow,auc") from None
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{path}, line {line}: {column} is not a number: {row[column]!r}")
    return value
