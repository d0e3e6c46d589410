"""Should a calibrated AUC replace the prior of the AUC, or be multiplied with it?

    python -m evidence.reproduce.calibrated_auc RESULTS [--coslow FILE]

Leave-one-task-out on the published points of one model: the line and the prior are both fitted
without the task. Prints the mean absolute error of the AUC and the coverage of its 90% interval.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from pathlib import Path

import numpy as np

from evidence.reproduce.figures import find_coslow
from evidence.reproduce.intervals import interval
from evidence.reproduce.labelcast_method import fit_scores, measured_auc, prior_without
from evidence.reproduce.published import PublishedCurve, read_published
from labelcast.forecast.distributions import weighted_quantiles
from labelcast.forecast.efficiency import AucEstimate
from labelcast.forecast.particles import Draws
from labelcast.forecast.posterior import given_scores, joined, predicted_auc
from labelcast.forecast.question import Question

GAIN_SD = 0.01
SCORES = {"CoS-Low": (), "CoS-Low, 50": (50,), "CoS-Low, 50, 100": (50, 100)}


def predict(x: list[float], y: list[float], at: float) -> tuple[float, float, int]:
    """Mean, sd and degrees of freedom of a least-squares prediction."""
    design = np.column_stack([np.ones(len(x)), x])
    line, *_ = np.linalg.lstsq(design, np.array(y), rcond=None)
    free = len(x) - 2
    variance = float(((np.array(y) - design @ line) ** 2).sum()) / free
    point = np.array([1.0, at])
    spread = 1 + point @ np.linalg.inv(design.T @ design) @ point
    return float(point @ line), math.sqrt(variance * spread), free


def judge(draws: Draws, truth: float) -> tuple[float, bool]:
    """Absolute error of the median AUC, and whether the 90% interval contains the truth."""
    areas = draws.areas()
    median = float(weighted_quantiles(areas, draws.weights, [0.5])[0])
    low, high = interval(areas, draws.weights, 0.9)
    return abs(median - truth), low <= truth <= high


def main() -> None:
    """Print the errors and coverage of both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--coslow", type=Path, help="CSV with the columns task and coslow")
    parser.add_argument("--model", default="llama", help="prefix of the model's files")
    args = parser.parse_args()
    curves = read_published(args.results)
    file = args.coslow or find_coslow(args.results)
    if file is None:
        raise SystemExit("no file of CoS-Low values; give it with --coslow")
    with file.open(encoding="utf-8", newline="") as lines:
        points = {row["task"]: float(row["coslow"]) for row in csv.DictReader(lines)}
    known = {c.task: c for c in curves if c.model == args.model and c.task in points}
    without_task = fit_scores(args.results)
    found: dict[tuple[str, str], list[tuple[float, bool]]] = {}
    for task, curve in known.items():
        others = [other for other in known if other != task]
        x, y = [points[t] for t in others], [known[t].curve.auc for t in others]
        mean, sd, free = predict(x, y, points[task])
        estimate = AucEstimate(mean, sd, free, 0.9, math.nan, math.nan, False, ())
        prior = prior_without(task, [c for c in curves if c.task != task], without_task)
        for name, seen in SCORES.items():
            parts = given_scores(prior, question_on(curve, seen), published=True)
            replaced = [predicted_auc(part.given, part.before, estimate) for part in parts]
            multiplied = [measured_auc(part.given, mean, sd) for part in parts]
            for way, weighed in (("replace", replaced), ("multiply", multiplied)):
                draws = joined(
                    [part._replace(given=d) for part, d in zip(parts, weighed, strict=True)]
                )
                found.setdefault((name, way), []).append(judge(draws, curve.curve.auc))
    figures = {
        f"{name}, {way}": {
            "auc_mae": round(float(np.mean([error for error, _ in rows])), 4),
            "coverage": round(float(np.mean([inside for _, inside in rows])), 3),
        }
        for (name, way), rows in found.items()
    }
    for name, values in figures.items():
        print(f"{name:<30}{values['auc_mae']}  {values['coverage']}")
    print(json.dumps({"tasks": len(known), "figures": figures}))


def question_on(curve: PublishedCurve, seen: tuple[int, ...]) -> Question:
    """A question with the ends of a curve and its scores at some budgets of the grid."""
    start, span = curve.curve.zero_shot, curve.curve.ceiling - curve.curve.zero_shot
    scores = (start + span * curve.curve.gain_at(seen)).tolist()
    return Question.of(
        zero_shot=start,
        ceiling=curve.curve.ceiling,
        observations=[(n, s, GAIN_SD * span) for n, s in zip(seen, scores, strict=True)],
    )


if __name__ == "__main__":
    main()
