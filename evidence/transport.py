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
from labelcast.forecast.forecasting import score_at
from labelcast.forecast.posterior import Part, given_scores, joined
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


class Labels(NamedTuple):
    """Labels needed for a target, infinite beyond the horizon.

    Attributes:
        median: of the distribution; the only guess of a method without one.
        if_reached: the best guess given that the target is reached.
        ends: of its 90% interval, also given that; None without one.
    """

    median: float
    if_reached: float
    ends: tuple[float, float] | None = None


class Predicted(NamedTuple):
    """Scores at the later budgets, [k], intervals [k, 2] by level, and a function for labels."""

    scores: Array
    intervals: dict[float, Array] | None
    labels: Callable[[float], Labels] | None


class Way(NamedTuple):
    """A method.

    Attributes:
        name: of the method.
        predict: what it says of a case, given the other curves.
        ceiling: the known ceiling that it uses, or None.
    """

    name: str
    predict: Callable[[Case], Predicted | None]
    ceiling: float | None = None


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

    def labels(target: float) -> Labels:
        if slope >= 0:
            return Labels(np.inf, np.inf)
        n = float(np.exp(min((np.log(max(1 - target, 1e-3)) - start) / slope, 30.0)))
        return Labels(n, n)

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

        def labels(target: float) -> Labels:
            grid = GRID[(n < GRID) & (horizon_of(case) >= GRID)]
            rising = [score + (1 - score) * shares(n, float(m))[0] for m in grid]
            if not rising or rising[-1] < target:
                return Labels(np.inf, np.inf)
            found = float(np.exp(np.interp(target, [score, *rising], np.log([n, *grid]))))
            return Labels(found, found)

        return Predicted(values[:, 0], {LEVEL: values[:, 1:]}, labels)

    return predict


def question_of(
    case: Case,
    *,
    zero_shot: bool = False,
    ceiling: float | None = None,
    recipe: str | None = None,
) -> Question:
    """Return the question with the scores of a case.

    Args:
        case: the curve.
        zero_shot: whether the curve's zero-shot score is given.
        ceiling: best possible score; None if unknown.
        recipe: recipe of the curve, which says whether the model is frozen; None if unknown.
    """
    return Question.of(
        target_score=1.0 if ceiling is None else ceiling,
        zero_shot=case.curve.zero_shot if zero_shot else None,
        ceiling=ceiling,
        observations=[(int(n), float(s)) for n, s in zip(case.budgets, case.scores, strict=True)],
        observe_size=case.curve.test_size,
        level=LEVEL,
        horizon=_LARGEST,
        recipe=recipe,
    )


def predicted_by(
    parts: Sequence[Part], question: Question, case: Case, levels: Sequence[float] = (LEVEL,)
) -> Predicted:
    """Return what the draws given the scores of a case say of its later budgets."""
    draws = joined(parts)

    def labels(target: float) -> Labels:
        asked = replace(question, target_score=target, horizon=horizon_of(case))
        needed = labels_needed(chances(parts, asked), asked)
        median, guess, low, high = (
            np.inf if n is None else float(n)
            for n in (
                needed.median,
                needed.if_reached,
                needed.if_reached_low,
                needed.if_reached_high,
            )
        )
        return Labels(median, guess, None if needed.if_reached is None else (low, high))

    asked = [replace(question, level=level) for level in levels]
    values = np.array([[score_at(draws, int(n), q) for n in case.later_budgets] for q in asked])
    intervals = dict(zip(levels, values[:, :, 1:], strict=True))
    return Predicted(values[0, :, 0], intervals, labels)


def labelcast_way(
    prior: Prior,
    *,
    levels: Sequence[float] = (LEVEL,),
    zero_shot: bool = False,
    ceiling: float | None = None,
    recipe: str | None = None,
) -> Callable[[Case], Predicted]:
    """Return the forecast with a prior, with intervals of these levels; see `question_of`."""

    def predict(case: Case) -> Predicted:
        question = question_of(case, zero_shot=zero_shot, ceiling=ceiling, recipe=recipe)
        # As in a forecast without CoS-Low.
        parts = given_scores(prior, question, published=ceiling is not None)
        return predicted_by(parts, question, case, levels)

    return predict


def from_last_score(predict: Callable[[Case], Predicted]) -> Callable[[Case], Predicted | None]:
    """Return the forecast from the last score alone; None where it is the only one."""

    def predict_last(case: Case) -> Predicted | None:
        if len(case.budgets) < 2:
            return None
        return predict(case._replace(budgets=case.budgets[-1:], scores=case.scores[-1:]))

    return predict_last


def errors(
    case: Case, predicted: Predicted, asked: Sequence[tuple[float, float]] | None = None
) -> dict[str, float]:
    """Return the errors of one case, averaged over its later budgets and its targets.

    Args:
        case: the curve.
        predicted: what a method says of it.
        asked: targets and the labels that they need; None means those of `targets`.
    """
    truth = case.later_scores
    rows = {
        "error": float(np.abs(predicted.scores - truth).mean()),
        "bias": float((predicted.scores - truth).mean()),
    }
    for level, within in (predicted.intervals or {}).items():
        covered, scores = interval_errors(truth, within, level)
        rows[f"covered {level:.0%}"] = float(covered.mean())
        rows[f"interval score {level:.0%}"] = float(scores.mean())
        rows[f"width {level:.0%}"] = float((within[:, 1] - within[:, 0]).mean())
    asked = targets(case) if asked is None else asked
    if predicted.labels is None or not asked:
        return rows
    answers = [(predicted.labels(target), n) for target, n in asked]
    horizon = horizon_of(case)
    off = np.array([[np.log2(min(m, horizon) / n) for m in labels[:2]] for labels, n in answers])
    rows["log2 labels"], rows["log2 labels, if reached"] = np.abs(off).mean(axis=0).tolist()
    rows["log2 bias, if reached"] = float(off[:, 1].mean())
    ends = [(*labels.ends, n) for labels, n in answers if labels.ends]
    if ends:
        rows["labels covered"] = float(np.mean([low <= n <= high for low, high, n in ends]))
        widths = [np.log2(min(high, horizon) / max(low, 1)) for low, high, _ in ends]
        rows["log2 width of labels"] = float(np.mean(widths))
    return rows


def horizon_of(case: Case) -> int:
    """Return the labels beyond which a target counts as never reached."""
    return int(max(5000, case.later_budgets[-1]))


def interval_errors(truth: Array, ends: Array, level: float) -> tuple[Array, Array]:
    """Return which values, [k], lie within intervals, [k, 2], and Winkler's interval scores."""
    low, high = ends.T
    missed = np.maximum(low - truth, 0) + np.maximum(truth - high, 0)
    return missed <= 1e-9, high - low + 2 / (1 - level) * missed


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
                    found = errors(case, predicted)
                    for source in (case.curve.source, "all"):
                        collected[source, seen, way.name].append(found)
    return [
        {"source": source, "scores": seen, "way": way, "curves": len(found), **means(found)}
        for (source, seen, way), found in sorted(collected.items())
    ]


def means(found: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each value over the rows that have it."""
    names = list(dict.fromkeys(name for row in found for name in row))
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
