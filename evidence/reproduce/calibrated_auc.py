"""What a calibrated AUC should do to the prior: replace what it believes, or multiply with it?

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
from evidence.reproduce.fit_prior import fit_published
from evidence.reproduce.published import PublishedCurve, read_published
from labelcast.forecast.efficiency import GRID
from labelcast.forecast.intervals import interval, weighted_quantiles
from labelcast.forecast.observed import Observation
from labelcast.forecast.posterior import Posterior

GAIN_SD = 0.01
SCORES = {"CoS-Low": (), "CoS-Low, 50": (1,), "CoS-Low, 50, 100": (1, 2)}


def predict(x: list[float], y: list[float], at: float) -> tuple[float, float, int]:
    """Mean, sd and degrees of freedom of a least-squares prediction."""
    design = np.column_stack([np.ones(len(x)), x])
    line, *_ = np.linalg.lstsq(design, np.array(y), rcond=None)
    free = len(x) - 2
    variance = float(((np.array(y) - design @ line) ** 2).sum()) / free
    point = np.array([1.0, at])
    spread = 1 + point @ np.linalg.inv(design.T @ design) @ point
    return float(point @ line), math.sqrt(variance * spread), free


def judge(posterior: Posterior, truth: float) -> tuple[float, bool]:
    """Absolute error of the median AUC, and whether the 90% interval holds the truth."""
    areas = posterior.areas()
    median = float(weighted_quantiles(areas, posterior.weights, [0.5])[0])
    low, high = interval(areas, posterior.weights, 0.9)
    return abs(median - truth), low <= truth <= high


def main() -> None:
    """Print both ways' errors and coverage."""
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
    found: dict[tuple[str, str], list[tuple[float, bool]]] = {}
    for task, curve in known.items():
        others = [other for other in known if other != task]
        x, y = [points[t] for t in others], [known[t].curve.auc for t in others]
        mean, sd, free = predict(x, y, points[task])
        prior = fit_published([c for c in curves if c.task != task])
        for name, seen in SCORES.items():
            by_scores = prior.condition(observe(curve, seen))
            for way, posterior in (
                ("replace", by_scores.predicted_auc(mean, sd, free)),
                ("multiply", by_scores.measured_auc(mean, sd)),
            ):
                found.setdefault((name, way), []).append(judge(posterior, curve.curve.auc))
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


def observe(curve: PublishedCurve, seen: tuple[int, ...]) -> list[Observation]:
    """The measured gains at some places of the grid."""
    return [Observation(float(GRID[i]), float(curve.grid_gains[i]), GAIN_SD) for i in seen]


if __name__ == "__main__":
    main()
