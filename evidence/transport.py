"""How well scores at small budgets forecast later ones, on curves of held-out tasks.

`python -m evidence.transport RESULTS CURVES [--json]` observes the first one, two and three mean
scores of every measured curve from 10 labels up, forecasts every later score, and compares with the
last value, a power law, and the headroom rule (last score + share of what is left to 1, the median
share of the published curves). Every curve of the same task, from any source and model, is left out
of the prior and of the rule. It takes five minutes on one core.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evidence.development import PUBLISHED, MeasuredCurve, read_curves
from evidence.fit_prior import ScoreFit, gained
from labelcast.forecast.chances import chances, labels_needed
from labelcast.forecast.efficiency import Array
from labelcast.forecast.families import Prior
from labelcast.forecast.forecasting import at_budget
from labelcast.forecast.posterior import given_scores, joined
from labelcast.forecast.question import Question

SOURCES = (PUBLISHED, "pet", "african", "georgian")
SMALLEST = 10
OBSERVED = (1, 2, 3)
TARGET_SHARES = (0.25, 0.5, 0.75, 0.9)
"""Targets, as fractions of the way from the last observed to the best later score."""

LEVEL = 0.9
_LARGEST = 10**6

GRID = np.geomspace(10, _LARGEST, 41)
"""Budgets at which the headroom rule looks for the labels needed."""


class Case(NamedTuple):
    """A curve whose first scores are observed."""

    curve: MeasuredCurve
    budgets: Array
    scores: Array
    later_budgets: Array
    later_scores: Array


class Predicted(NamedTuple):
    """Scores at the later budgets, [k], intervals [k, 2] by level, and a function for labels."""

    scores: Array
    intervals: dict[float, Array] | None
    labels: Callable[[float], tuple[float, float]] | None


class Way(NamedTuple):
    """A method: its name, and what it predicts for a case given the other curves."""

    name: str
    predict: Callable[[Case], Predicted | None]


def cases(curves: Sequence[MeasuredCurve], smallest: int = SMALLEST) -> Iterator[tuple[int, Case]]:
    """Yield the number of observed scores and the case, for every curve with later scores."""
    for curve in curves:
        budgets, scores = curve.means()
        used = budgets >= smallest
        budgets, scores = budgets[used], scores[used]
        for seen in OBSERVED:
            if len(budgets) > seen:
                yield (
                    seen,
                    Case(curve, budgets[:seen], scores[:seen], budgets[seen:], scores[seen:]),
                )


def last_value(case: Case) -> Predicted:
    """Predict the last score."""
    return Predicted(np.full(len(case.later_budgets), case.scores[-1]), None, None)


def power_law(case: Case) -> Predicted | None:
    """Fit 1 - score = b n^-c by least squares on the logarithms; None below two scores."""
    if len(case.budgets) < 2:
        return None
    error = np.log(np.maximum(1 - case.scores, 1e-3))
    slope, start = np.polyfit(np.log(case.budgets), error, 1)

    def labels(target: float) -> tuple[float, float]:
        if slope >= 0:
            return np.inf, np.inf
        n = float(np.exp(min((np.log(max(1 - target, 1e-3)) - start) / slope, 30.0)))
        return n, n

    later = 1 - np.exp(start + slope * np.log(case.later_budgets))
    return Predicted(np.clip(later, 0, 1), None, labels)


def headroom_rule(published: Sequence[MeasuredCurve]) -> Callable[[Case], Predicted]:
    """Return the rule fitted to these published curves."""

    @cache
    def shares(first: float, last: float) -> Array:
        return np.quantile(gained(published, first, last), [0.5, 0.05, 0.95])

    def predict(case: Case) -> Predicted:
        n, score = case.budgets[-1], case.scores[-1]
        found = np.array([shares(n, later) for later in case.later_budgets])
        values = score + (1 - score) * found

        def labels(target: float) -> tuple[float, float]:
            grid = GRID[(n < GRID) & (max(5000.0, case.later_budgets[-1]) >= GRID)]
            rising = [score + (1 - score) * shares(n, float(m))[0] for m in grid]
            if not rising or rising[-1] < target:
                return np.inf, np.inf
            found = float(np.exp(np.interp(target, [score, *rising], np.log([n, *grid]))))
            return found, found

        return Predicted(values[:, 0], {LEVEL: values[:, 1:]}, labels)

    return predict


def labelcast_way(
    prior: Prior,
    *,
    levels: Sequence[float] = (LEVEL,),
    zero_shot: bool = False,
    recipe: str | None = None,
) -> Callable[[Case], Predicted]:
    """Return the forecast with a prior.

    Args:
        prior: the fitted numbers.
        levels: of the intervals.
        zero_shot: whether the curve's zero-shot score is given.
        recipe: recipe of the curves, which says whether the model is frozen; None if unknown.
    """

    def predict(case: Case) -> Predicted:
        observed = [(int(n), float(s)) for n, s in zip(case.budgets, case.scores, strict=True)]
        question = Question.of(
            target_score=1.0,
            zero_shot=case.curve.zero_shot if zero_shot else None,
            observations=observed,
            observe_size=case.curve.test_size,
            level=LEVEL,
            horizon=_LARGEST,
            recipe=recipe,
        )
        parts = given_scores(prior, question, published=False)
        draws = joined(parts)

        def at(n: float, level: float) -> tuple[float, float, float]:
            found = at_budget(draws, replace(question, budget=int(n), level=level))
            assert found is not None
            return found.mean, found.low, found.high

        def labels(target: float) -> tuple[float, float]:
            asked = replace(question, target_score=target, horizon=horizon)
            needed = labels_needed(chances(parts, asked), asked)
            return tuple(  # type: ignore[return-value]
                np.inf if n is None else float(n) for n in (needed.median, needed.if_reached)
            )

        horizon = int(max(5000, case.later_budgets[-1]))
        values = np.array([[at(n, level) for n in case.later_budgets] for level in levels])
        intervals = dict(zip(levels, values[:, :, 1:], strict=True))
        return Predicted(values[0, :, 0], intervals, labels)

    return predict


def from_last_score(predict: Callable[[Case], Predicted]) -> Callable[[Case], Predicted | None]:
    """Return the forecast from the last score alone; None where it is the only one."""

    def predict_last(case: Case) -> Predicted | None:
        if len(case.budgets) < 2:
            return None
        return predict(case._replace(budgets=case.budgets[-1:], scores=case.scores[-1:]))

    return predict_last


def measure(case: Case, predicted: Predicted) -> dict[str, float]:
    """Return the errors of one case, averaged over its later budgets and its targets."""
    truth = case.later_scores
    found = {
        "mae": float(np.abs(predicted.scores - truth).mean()),
        "bias": float((predicted.scores - truth).mean()),
    }
    if predicted.intervals is not None:
        covered, scores = interval_errors(truth, predicted.intervals[LEVEL], LEVEL)
        found["covered"], found["interval score"] = float(covered.mean()), float(scores.mean())
    if predicted.labels is not None:
        values = labels_errors(predicted.labels, targets(case))
        if len(values):
            for place, name in enumerate(("median", "if reached")):
                found[f"log2 n, {name}"] = float(np.abs(values[:, place]).mean())
                found[f"log2 bias, {name}"] = float(values[:, place].mean())
    return found


def interval_errors(truth: Array, ends: Array, level: float) -> tuple[Array, Array]:
    """Return which values, [k], lie within intervals, [k, 2], and Winkler's interval scores."""
    low, high = ends.T
    missed = np.maximum(low - truth, 0) + np.maximum(truth - high, 0)
    return missed <= 1e-9, high - low + 2 / (1 - level) * missed


def labels_errors(
    labels: Callable[[float], tuple[float, float]], asked: Sequence[tuple[float, float]]
) -> Array:
    """Return log2(predicted / needed) of the labels for targets, [t, 2]; never is a million."""
    errors = [np.log2(np.minimum(labels(target), _LARGEST) / n) for target, n in asked]
    return np.array(errors)


def targets(case: Case) -> list[tuple[float, float]]:
    """Return targets above all observed scores, and the labels at which the curve reaches each."""
    x = np.log(np.r_[case.budgets, case.later_budgets])
    rising = np.maximum.accumulate(np.r_[case.scores, case.later_scores])
    start, best = rising[len(case.budgets) - 1], rising[-1]
    if best - start < 0.01:
        return []
    found = []
    for share in TARGET_SHARES:
        target = float(start + share * (best - start))
        right = int(np.argmax(rising >= target))
        step = (target - rising[right - 1]) / (rising[right] - rising[right - 1])
        found.append((target, float(np.exp(x[right - 1] + step * (x[right] - x[right - 1])))))
    return found


def compare(
    curves: Sequence[MeasuredCurve],
    fit: ScoreFit,
    progress: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Return a row for every source, number of scores and method, averaged over curves."""
    published = [curve for curve in curves if curve.source == PUBLISHED]
    collected: dict[tuple[str, int, str], list[dict[str, float]]] = defaultdict(list)
    tried = [curve for curve in curves if curve.source in SOURCES]
    for task in sorted({curve.task for curve in tried}):
        progress(task)
        prior = fit.prior_without(task)
        others = [curve for curve in published if curve.task != task]
        forecast = labelcast_way(prior)
        ways = [
            Way("last value", last_value),
            Way("power law", power_law),
            Way("headroom rule", headroom_rule(others)),
            Way("labelcast", forecast),
            Way("labelcast, last score", from_last_score(forecast)),
        ]
        for seen, case in cases([curve for curve in tried if curve.task == task]):
            for way in ways:
                predicted = way.predict(case)
                if predicted is not None:
                    found = measure(case, predicted)
                    for source in (case.curve.source, "all"):
                        collected[source, seen, way.name].append(found)
    return [
        {"source": source, "scores": seen, "way": way, "curves": len(found), **_means(found)}
        for (source, seen, way), found in sorted(collected.items())
    ]


def _means(found: Sequence[dict[str, float]]) -> dict[str, float]:
    names = sorted({name for row in found for name in row})
    return {
        name: round(float(np.mean([row[name] for row in found if name in row])), 4)
        for name in names
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m evidence.transport", description=__doc__)
    parser.add_argument("results", type=Path, help="the authors' results folder")
    parser.add_argument("curves", type=Path, help="a folder of measured curves (JSON Lines)")
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    options = parser.parse_args(arguments)
    curves = read_curves(options.results, options.curves)
    fit = ScoreFit.cached(options.results, options.curves)
    rows = compare(curves, fit)
    if options.json:
        print(json.dumps(rows, indent=1))
        return 0
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
