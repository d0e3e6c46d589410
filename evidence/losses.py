"""How well losses at small budgets forecast later ones, on held-out tasks.

`python -m evidence.losses RESULTS CURVES` observes the first one, two and three test losses of 90
curves (30 models on three tasks) and forecasts the later ones up to a million labels, with the
task left out of the prior. It compares with the last loss and a power law, loss = b n^-c. It takes
a minute on one core, plus five to fit the losses the first time.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from evidence.development import MeasuredCurve
from evidence.fit_prior import ScoreFit
from labelcast.forecast.efficiency import Array
from labelcast.forecast.families import Prior
from labelcast.forecast.forecasting import score_at
from labelcast.forecast.posterior import given_scores, joined
from labelcast.forecast.question import Question

LARGEST = 10**6
LEVEL = 0.9

Forecast = Callable[[Array, Array, Array], tuple[Array, Array | None]]
"""Takes budgets, losses and later budgets; returns later losses, [k], and intervals, [k, 2]."""


def last_loss(budgets: Array, losses: Array, later: Array) -> tuple[Array, None]:
    """Forecast the last loss."""
    return np.full(len(later), losses[-1]), None


def power_law(budgets: Array, losses: Array, later: Array) -> tuple[Array, None]:
    """Fit loss = b n^-c by least squares on the logarithms; with one loss, return that loss."""
    if len(budgets) < 2:
        return last_loss(budgets, losses, later)
    slope, start = np.polyfit(np.log(budgets), np.log(losses), 1)
    return np.exp(start + slope * np.log(later)), None


def labelcast_with(prior: Prior) -> Forecast:
    """Return the forecast with a prior."""

    def forecast(budgets: Array, losses: Array, later: Array) -> tuple[Array, Array]:
        question = Question.of(
            target_score=0.0,
            observations=[(int(n), float(x)) for n, x in zip(budgets, losses, strict=True)],
            lower_is_better=True,
            level=LEVEL,
            horizon=LARGEST,
        )
        draws = joined(given_scores(prior, question, published=False))
        ends = np.array([score_at(draws, int(n), question) for n in later])
        return ends[:, 0], ends[:, 1:]

    return forecast


def rows(fit: ScoreFit) -> list[str]:
    """Return a line for every number of observed losses and every method."""
    errors: dict[tuple[int, str], list[float]] = defaultdict(list)
    covered: dict[int, list[float]] = defaultdict(list)
    for task in sorted({curve.task for curve in fit.curves}):
        prior = replace(Prior.load(), losses=fit.without(task))
        ways: dict[str, Forecast] = {
            "last loss": last_loss,
            "power law": power_law,
            "labelcast": labelcast_with(prior),
        }
        for curve in (curve for curve in fit.curves if curve.task == task):
            budgets, losses = _losses(curve)
            for seen in (1, 2, 3):
                truth = losses[seen:]
                for name, way in ways.items():
                    means, ends = way(budgets[:seen], losses[:seen], budgets[seen:])
                    errors[seen, name].append(float(np.abs(means - truth).mean()))
                    if ends is not None:
                        inside = (ends[:, 0] <= truth) & (truth <= ends[:, 1])
                        covered[seen].append(float(inside.mean()))
    return [
        f"{seen} losses, {name}: error {np.mean(found):.3f}"
        + (f", 90% cover {np.mean(covered[seen]):.2f}" if name == "labelcast" else "")
        for (seen, name), found in errors.items()
    ]


def _losses(curve: MeasuredCurve) -> tuple[Array, Array]:
    """Return budgets and losses of a curve up to a million labels."""
    budgets, scores = curve.means()
    used = budgets <= LARGEST
    return budgets[used], -np.log(scores[used])


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m evidence.losses", description=__doc__)
    parser.add_argument("results", type=Path, help="the authors' results folder")
    parser.add_argument("curves", type=Path, help="a folder of measured curves (JSON Lines)")
    options = parser.parse_args(arguments)
    for line in rows(ScoreFit.cached(options.results, options.curves, "losses")):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
