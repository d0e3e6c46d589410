"""The paired difference between the forecast and the table's method, clustered by task."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from evidence.reproduce.refinement import CEILINGS, Measured, case_fields, pair
from evidence.reproduce.scoring import TARGETS, TaskBootstrap, estimate
from labelcast.forecast.efficiency import Array

_INTERVAL_SCORES = {
    "auc": "interval_score_auc",
    "log2_n": "interval_score_labels",
    "score_5000": "interval_score_score_5000",
}
_COVERAGES = {"auc": "covers_auc", "n": "covers_labels", "score_5000": "covers_score_5000"}
_TARGET_SCORES = {"score_target": "interval_score_score_target"}
_TARGET_COVERAGES = {"score_target": "covers_score_target"}


def compare(measured: Sequence[Measured], bootstrap: TaskBootstrap) -> dict[str, Any]:
    """Return the comparison under each ceiling: by row, and pooled over the seven rows.

    A ratio of log2 n is labelcast's mean error over the table's; a difference is labelcast minus
    table. Intervals are task-clustered 95% bootstrap intervals of the paired figures.
    """
    return {ceiling: _compare(*pair(measured, ceiling), bootstrap) for ceiling in CEILINGS}


def _compare(table: Measured, ours: Measured, bootstrap: TaskBootstrap) -> dict[str, Any]:
    scores, coverages = dict(_INTERVAL_SCORES), dict(_COVERAGES)
    errors = ["labels_error", "median_error"]
    if ours.ceiling == "unknown":
        scores |= _TARGET_SCORES
        coverages |= _TARGET_COVERAGES
        errors.append("score_target_error")
    ratios = {error: _ratios(table, ours, error, bootstrap) for error in errors}
    rows = [
        {
            **case_fields(case),
            "auc_mae": _difference(table, ours, "auc_error", bootstrap, row),
            "log2_n": _row_ratios(*ratios["labels_error"], row),
            "interval_score": {
                key: _difference(table, ours, name, bootstrap, row) for key, name in scores.items()
            },
        }
        for row, case in enumerate(ours.cases)
    ]
    return {
        "rows": rows,
        "pooled": {
            "auc_mae": _difference(table, ours, "auc_error", bootstrap),
            "log2_n_ratio": _pooled_ratio(*ratios["labels_error"]),
            "log2_n_ratio_plain_median": _pooled_ratio(*ratios["median_error"]),
            "log2_n_ratio_score_target": _pooled_ratio(*ratios["score_target_error"])
            if "score_target_error" in ratios
            else None,
            "interval_score": {
                key: _difference(table, ours, name, bootstrap) for key, name in scores.items()
            },
            "coverage": {
                part.method: {
                    key: vars(bootstrap.mean(_mean_over_rows(part.of(name))))
                    for key, name in coverages.items()
                }
                for part in (table, ours)
            },
        },
    }


def _difference(
    table: Measured, ours: Measured, name: str, bootstrap: TaskBootstrap, row: int | None = None
) -> dict[str, Any]:
    """Return both means and the paired difference, of one row or of the mean over rows."""
    pairs = [part.of(name) for part in (table, ours)]
    a, b = (_mean_over_rows(v) if row is None else v[:, row] for v in pairs)
    found = bootstrap.mean(b - a)
    return {
        table.method: bootstrap.mean(a).value,
        ours.method: bootstrap.mean(b).value,
        "difference": found.value,
        "low": found.low,
        "high": found.high,
    }


def _mean_over_rows(values: Array) -> Array:
    """Return each curve's mean over rows; either all of a curve's rows have a value, or none."""
    return np.asarray(values.mean(axis=1))


def _ratios(
    table: Measured, ours: Measured, error: str, bootstrap: TaskBootstrap
) -> tuple[Array, Array]:
    """Return ratios of mean errors by row: the three targets, then the mean of their errors.

    Returns:
        [rows, 4] and [resamples, rows, 4].
    """
    both = []
    for part in (table, ours):
        values = np.stack([part.of(f"{error}_{target}") for target in TARGETS], axis=-1)
        both.append(bootstrap.means(values))
    (once_a, drawn_a), (once_b, drawn_b) = both
    with np.errstate(invalid="ignore", divide="ignore"):
        return _with_mean(once_b) / _with_mean(once_a), _with_mean(drawn_b) / _with_mean(drawn_a)


def _with_mean(errors: Array) -> Array:
    return np.concatenate([errors, errors.mean(axis=-1, keepdims=True)], axis=-1)


def _row_ratios(once: Array, drawn: Array, row: int) -> dict[str, Any]:
    names = [*(str(target) for target in TARGETS), "mean"]
    return {name: vars(estimate(once[row, j], drawn[:, row, j])) for j, name in enumerate(names)}


def _pooled_ratio(once: Array, drawn: Array) -> dict[str, Any]:
    """Return the mean ratio over rows and over single targets, and the worst of each."""
    targets = slice(0, len(TARGETS))
    return {
        "mean_of_rows": vars(estimate(once[:, -1].mean(), drawn[:, :, -1].mean(axis=1))),
        "mean_of_cells": vars(
            estimate(once[:, targets].mean(), drawn[:, :, targets].mean(axis=(1, 2)))
        ),
        "worst_row": _finite(once[:, -1].max()),
        "worst_cell": _finite(once[:, targets].max()),
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
