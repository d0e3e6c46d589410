"""The noise of the training seed against labels, beside what the forecast assumes.

All seeds of a task share the test set, so their spread has the noise of the draw of labels and of
training, and little of the test set's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from labelcast.forecast.families import LOG_TAU, Prior
from labelcast.forecast.observed import seed_variance, test_variance
from labelcast.sweeps.records import ScoreRow

FEWEST = 3
"""Seeds for which a spread is given."""


def seed_noise(rows: Sequence[ScoreRow], name: str) -> list[dict[str, Any]]:
    """For each budget, three sds as root mean squares over tasks.

    Args:
        rows: of one model and recipe.
        name: MODEL-RECIPE.

    Returns:
        Rows with `sd`, measured over seeds; `seed`, the forecast's seed noise with the prior's mean
        tau; `test set`, the binomial noise of the test set; and `largest`, the largest ratio of the
        first two on a task.
    """
    scores: dict[tuple[int, str], list[float]] = defaultdict(list)
    for row in rows:
        if row.budget and row.score is not None:
            scores[row.budget, row.task].append(row.score)
    size, tau = rows[0].test_size, typical_tau()
    by_budget: dict[int, list[list[float]]] = defaultdict(list)
    for (n, _), values in scores.items():
        if len(values) >= FEWEST:
            by_budget[n].append(values)
    found = []
    for n, tasks in sorted(by_budget.items()):
        measured = [float(np.var(values, ddof=1)) for values in tasks]
        assumed = [float(seed_variance(np.mean(values), n, tau)) for values in tasks]
        ratios = np.sqrt(np.array(measured) / np.array(assumed))
        found.append(
            {
                "curves of": name.replace("-", ", ", 1),
                "labels": n,
                "tasks": len(tasks),
                "sd": _rms(measured),
                "seed": _rms(assumed),
                "test set": _rms([test_variance(np.mean(values), size) for values in tasks]),
                "largest": round(float(ratios.max()), 2),
            }
        )
    return found


def typical_tau() -> float:
    """The root mean square of the prior's tau over its mixture."""
    scores = Prior.load().scores
    variances = scores.covariances[:, LOG_TAU, LOG_TAU]
    squares = np.exp(2 * scores.means[:, LOG_TAU] + 2 * variances)
    return float(np.sqrt(scores.weights @ squares))


def _rms(variances: Sequence[Any]) -> float:
    return round(float(np.sqrt(np.mean(variances))), 4)
