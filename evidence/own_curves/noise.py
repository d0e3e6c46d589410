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


def seed_noise(group: str, rows: Sequence[ScoreRow]) -> list[dict[str, Any]]:
    """For each budget, three sds as root mean squares over tasks.

    Returns:
        Rows with `sd`, measured over seeds; `seed`, the forecast's seed noise with the prior's mean
        tau; and `test set`, the binomial noise of the test set.
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
    return [
        {
            "curves of": group,
            "labels": n,
            "tasks": len(tasks),
            "sd": _rms([np.var(values, ddof=1) for values in tasks]),
            "seed": _rms([seed_variance(np.mean(values), n, tau) for values in tasks]),
            "test set": _rms([test_variance(np.mean(values), size) for values in tasks]),
        }
        for n, tasks in sorted(by_budget.items())
    ]


def typical_tau() -> float:
    """The root mean square of the prior's tau over its mixture."""
    scores = Prior.load().scores
    variances = scores.covariances[:, LOG_TAU, LOG_TAU]
    squares = np.exp(2 * scores.means[:, LOG_TAU] + 2 * variances)
    return float(np.sqrt(scores.weights @ squares))


def _rms(variances: Sequence[Any]) -> float:
    return round(float(np.sqrt(np.mean(variances))), 4)
