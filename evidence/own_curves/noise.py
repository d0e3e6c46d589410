"""The noise of the training seed against labels, beside what the forecast assumes.

All seeds of a task share the test set, so their spread has the noise of the draw of labels and of
training, and little of the test set's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from evidence.own_curves.curves import Own
from labelcast.forecast.efficiency import Array
from labelcast.forecast.families import LOG_TAU, Prior
from labelcast.forecast.observed import seed_variance, test_variance

FEWEST = 3
"""Seeds for which a spread is given."""


def seed_noise(curves: Sequence[Own]) -> list[dict[str, Any]]:
    """For each budget, three sds as root mean squares over tasks with three seeds or more.

    Args:
        curves: of one model and recipe.

    Returns:
        Rows with `sd`, measured over seeds; `seed`, the forecast's seed noise with the prior's mean
        tau; `test set`, the binomial noise of the test set; and `largest`, the largest ratio of the
        first two on a task.
    """
    scores: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for own in curves:
        for n, score in own.curve.scores:
            scores[n][own.task].append(score)
    sizes, tau = {own.task: own.curve.test_size or 0 for own in curves}, typical_tau()
    rows = []
    for n, by_task in sorted(scores.items()):
        found = []
        for task, values in by_task.items():
            mean = np.mean(values)
            of_seed = seed_variance(mean, n, tau)
            if len(values) >= FEWEST and of_seed > 0:
                found.append((np.var(values, ddof=1), of_seed, test_variance(mean, sizes[task])))
        if found:
            measured, assumed, of_test = np.array(found).T
            rows.append(
                {
                    "curves of": curves[0].group,
                    "labels": n,
                    "tasks": len(found),
                    "sd": _rms(measured),
                    "seed": _rms(assumed),
                    "test set": _rms(of_test),
                    "largest": round(float(np.sqrt(measured / assumed).max()), 2),
                }
            )
    return rows


def typical_tau() -> float:
    """The root mean square of the prior's tau over its mixture."""
    scores = Prior.load().scores
    variances = scores.covariances[:, LOG_TAU, LOG_TAU]
    squares = np.exp(2 * scores.means[:, LOG_TAU] + 2 * variances)
    return float(np.sqrt(scores.weights @ squares))


def _rms(variances: Array) -> float:
    return round(float(np.sqrt(variances.mean())), 4)
