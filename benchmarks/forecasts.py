"""CPU seconds of a forecast, in turns with a power law fitted with numpy to the same scores.

    python benchmarks/forecasts.py [--turns 5]

For each question, prints the median CPU seconds of labelcast and of the power law (which has no
interval and no chance), and the peak memory of this process.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from labelcast.forecast import posterior
from labelcast.forecast.forecasting import forecast

Scores = list[tuple[int, float]]
COSLOW: dict[str, Any] = {"coslow": 0.3, "calibration": "pooled", "zero_shot": 0.5}


def questions() -> dict[str, Scores]:
    """Observed scores of each question."""
    rng = np.random.default_rng(0)
    budgets = rng.integers(20, 4000, 1000)
    many = [
        (int(n), float(0.5 + 0.05 * np.log10(n) + 0.02 * rng.standard_normal())) for n in budgets
    ]
    few = [(50, 0.6), (100, 0.66), (200, 0.72)]
    return {
        "1 score": few[:1],
        "2 scores": few[:2],
        "3 scores": few,
        "2 scores, CoS-Low": few[:2],
        "1,000 scores": many,
    }


def power_law(scores: Scores) -> float:
    """Labels for 0.85 from 1 - score = b n^-c, by least squares on the logarithms."""
    budgets, values = np.array(scores, dtype=np.float64).T
    if len(scores) < 2:
        return float("nan")
    slope, start = np.polyfit(np.log(budgets), np.log(1 - values), 1)
    return float(np.exp((np.log(0.15) - start) / slope))


def cpu(call: Callable[[], object]) -> float:
    """CPU seconds of a call."""
    start = time.process_time()
    call()
    return time.process_time() - start


def new_draws() -> None:
    """Forget the draws of the prior that forecasts with the same ends share."""
    posterior._score_prior.cache_clear()
    posterior._gain_prior.cache_clear()


def main() -> None:
    """Print a line for every question."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    turns = parser.parse_args().turns
    forecast(observations=[(50, 0.6)], target_score=0.85)
    for name, scores in questions().items():
        ours, theirs = [], []
        for _ in range(turns):
            known = COSLOW if name.endswith("CoS-Low") else {}
            new_draws()  # as in a process that makes one forecast
            ours.append(cpu(partial(forecast, observations=scores, target_score=0.85, **known)))
            theirs.append(cpu(partial(power_law, scores)))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{name:<18} labelcast {statistics.median(ours):.3f} s, power law "
            f"{statistics.median(theirs):.5f} s, peak {peak:,.0f} MiB"
        )


if __name__ == "__main__":
    main()
