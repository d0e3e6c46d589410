"""Does the 90% interval of `loto_difference` cover the truth? Tested on simulated tasks.

    python benchmarks/card_trial.py

Tasks are drawn with a known correlation of CoS-Low and AUC. Two bootstraps are compared: the one
that ships, which fits every line again in every resample, and a simple one, which resamples the
differences of the tasks. The truth is the mean difference over all draws with as many tasks. Takes
about a minute.
"""

from __future__ import annotations

import json

import numpy as np

from labelcast.forecast.efficiency import Array
from labelcast.forecast.line import fit_line, loto_difference

DRAWS = 500
RESAMPLES = 500
SIZES = (12, 19, 30)
CORRELATIONS = (0.0, 0.5, 0.7, 0.85)


def simple(coslow: Array, auc: Array, rng: np.random.Generator) -> list[float]:
    """Mean and interval of the tasks' differences, without refitting lines."""
    line, n = fit_line(coslow, auc), len(auc)
    of_mean = np.abs(auc - auc.mean()) * n / (n - 1)
    gains = of_mean - np.abs(line.loo_residuals)
    means = gains[rng.integers(n, size=(RESAMPLES, n))].mean(axis=1)
    return [gains.mean(), *np.quantile(means, [0.05, 0.95])]


def main() -> None:
    """Print the coverage and how often the line is called better, for each case."""
    rng = np.random.default_rng(1)
    figures = []
    for n in SIZES:
        for r in CORRELATIONS:
            rows: dict[str, list[list[float]]] = {"refitted": [], "simple": []}
            for _ in range(DRAWS):
                x = rng.normal(size=n)
                y = r * x + np.sqrt(1 - r * r) * rng.normal(size=n)
                x, y = 0.4 + 0.15 * x, 0.5 + 0.1 * y
                found = loto_difference(x.tolist(), y.tolist(), resamples=RESAMPLES)
                rows["refitted"].append([found.mean, found.low, found.high])
                rows["simple"].append(simple(x, y, rng))
            for name, values in rows.items():
                mean, low, high = np.array(values).T
                truth = mean.mean()
                figure = {
                    "tasks": n,
                    "r": r,
                    "bootstrap": name,
                    "truth": round(float(truth), 4),
                    "coverage": round(float(((low <= truth) & (truth <= high)).mean()), 3),
                    "called_better": round(float((low > 0).mean()), 3),
                }
                figures.append(figure)
                print(*(f"{key} {value}" for key, value in figure.items()), sep="  ")
    print(json.dumps({"benchmark": "card_trial", "draws": DRAWS, "figures": figures}))


if __name__ == "__main__":
    main()
