"""How well losses at small budgets forecast later ones, on held-out tasks.

    python -m evidence.losses RESULTS CURVES [--times 20] [--largest 5]

It observes the first one, two and three test losses of a curve and forecasts the later ones, up to
a million labels: of 90 curves of language models (30 models on three tasks), with the task left out
of the prior, and of 36 curves of a linear head on `minilm` (`evidence.own_curves.losses`), which
the prior was not fitted to. It compares with the last loss, a power law, loss = b n^-c, and the
prior as fitted: no other kinds of curves, none of them flat, and second jumps. Errors and intervals
are of the logarithm of the loss, in means over tasks of means over curves. At the end the losses of
one seed and of all forecast the later means of the seeds of a linear head. It takes three minutes
on one core, plus some five to fit the losses the first time. `--times` multiplies all losses, as if
they were sums or perplexities; `--largest` is the size to which the largest one is scaled down.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np

from evidence.development import MeasuredCurve
from evidence.fit_prior import ScoreFit
from evidence.own_curves.losses import FOUND
from evidence.transport import interval_errors, means
from labelcast.forecast import given_scores, prior_draws
from labelcast.forecast.efficiency import Array
from labelcast.forecast.families import FITTED, Prior
from labelcast.forecast.forecasting import score_at
from labelcast.forecast.posterior import given_scores as weighed
from labelcast.forecast.posterior import joined
from labelcast.forecast.prior_draws import Block
from labelcast.forecast.question import Question

LARGEST = 10**6
LEVEL = 0.9
_SMALLEST = 1e-4
"""Losses count as this at least before their logarithm is taken."""

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
        draws = joined(weighed(prior, question, published=False))
        ends = np.array([score_at(draws, int(n), question) for n in later])
        return ends[:, 0], ends[:, 1:]

    return forecast


def errors(found: Array, ends: Array | None, truth: Array) -> dict[str, float]:
    """Return the errors of forecasts of losses, [k], with their intervals, [k, 2]."""
    logs = np.log(truth)
    known = {"error": float(np.abs(np.log(np.maximum(found, _SMALLEST)) - logs).mean())}
    if ends is not None:
        within = np.log(np.maximum(ends, _SMALLEST))
        covered, scores = interval_errors(logs, within, LEVEL)
        known |= {
            "90% cover": float(covered.mean()),
            "width": float((within[:, 1] - within[:, 0]).mean()),
            "interval score": float(scores.mean()),
        }
    return known


def as_fitted(prior: Prior) -> Forecast:
    """Return the forecast with the fitted losses alone, all of which may have a second jump."""
    # Another object, so that the draws of both are not kept as the same.
    forecast = labelcast_with(replace(prior))

    def blocks(prior: Prior, normals: Array) -> list[Block]:
        return [Block(1.0, prior.losses.draw(normals[:, :FITTED]))]

    def forecast_as_fitted(
        budgets: Array, losses: Array, later: Array
    ) -> tuple[Array, Array | None]:
        with patch.object(prior_draws, "loss_blocks", blocks):
            return forecast(budgets, losses, later)

    return forecast_as_fitted


Curves = Iterator[tuple[Prior, list[tuple[Array, Array]]]]
"""Of each task: the prior, and the curves as budgets and losses."""


def of_language_models(fit: ScoreFit) -> Curves:
    """The tasks of the fitted curves, each left out of the prior."""
    for task in sorted({curve.task for curve in fit.curves}):
        prior = replace(Prior.load(), losses=fit.without(task))
        curves = [_losses(curve) for curve in fit.curves if curve.task == task]
        yield prior, curves


def of_linear_heads() -> Curves:
    """The tasks of `evidence.own_curves.losses`, each with the curve of every seed."""
    for seeds in json.loads(FOUND.read_text()).values():
        curves = [tuple(np.array(seed, dtype=np.float64).T) for seed in seeds]
        yield Prior.load(), curves


def rows(curves: Curves, times: float = 1.0) -> Iterator[str]:
    """A line for every number of observed losses and every method."""
    found: dict[tuple[int, str], list[dict[str, float]]] = defaultdict(list)
    for prior, of_task in curves:
        ways = {
            "last loss": last_loss,
            "power law": power_law,
            "labelcast": labelcast_with(prior),
            "as fitted": as_fitted(prior),
        }
        for name, way in ways.items():
            for seen in (1, 2, 3):
                tried = [
                    errors(*way(n[:seen], losses[:seen], n[seen:]), losses[seen:])
                    for n, losses in ((n, times * losses) for n, losses in of_task)
                    if len(n) > seen
                ]
                if tried:
                    found[seen, name].append(means(tried))
    for (seen, name), of_tasks in sorted(found.items()):
        figures = ", ".join(f"{key} {value:.3f}" for key, value in means(of_tasks).items())
        yield f"{seen} losses, {name}: {figures} ({len(of_tasks)} tasks)"


def rows_of_seeds() -> Iterator[str]:
    """A line for the losses of one seed, and of all, of a linear head at the first budgets."""
    tasks = [
        [
            {n: loss for n, loss in seed if all(n in dict(other) for other in seeds)}
            for seed in seeds
        ]
        for seeds in json.loads(FOUND.read_text()).values()
    ]
    forecast = labelcast_with(Prior.load())
    for seen in (1, 2, 3, 4):
        for name, used in (("one seed", 1), ("all seeds", None)):
            found = []
            for seeds in tasks:
                first, later = [*seeds[0]][:seen], np.array([*seeds[0]][seen:])
                if len(later):
                    known = np.array([(n, seed[n]) for seed in seeds[:used] for n in first])
                    truth = np.array([np.mean([seed[n] for seed in seeds]) for n in later])
                    found.append(errors(*forecast(known[:, 0], known[:, 1], later), truth))
            figures = ", ".join(f"{key} {value:.3f}" for key, value in means(found).items())
            yield f"losses at {seen} budgets, {name}: {figures} ({len(found)} tasks)"


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
    parser.add_argument("--times", type=float, default=1.0, help="multiplies all losses")
    parser.add_argument("--largest", type=float, default=given_scores.LARGEST_LOSS)
    options = parser.parse_args(arguments)
    fit = ScoreFit.cached(options.results, options.curves, "losses")
    for kind, curves in (
        ("language models, the task left out", of_language_models(fit)),
        ("a linear head on minilm", of_linear_heads()),
    ):
        with patch.object(given_scores, "LARGEST_LOSS", options.largest):
            print(kind, *rows(curves, options.times), sep="\n", flush=True)
    print("the mean of the seeds of a linear head on minilm", *rows_of_seeds(), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
