"""The measured curves that the prior is fitted to and tested on, in one format.

The published curves are read from the authors' results folder, the others from a folder of JSON
Lines files (`source`, `model`, `task`, `metric`, `higher_is_better`, `curve`, ...).
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evidence.reproduce.published import read_published
from labelcast.forecast.efficiency import Array

PUBLISHED = "published"
LOSSES = "lin"
"""The source whose scores are losses, kept as exp(-loss)."""


@dataclass(frozen=True)
class MeasuredCurve:
    """One model on one task; scores from 0 to 1, higher is better.

    Attributes:
        source, model, task: names.
        scores: (labels, score) of every training run with 1 label or more, sorted by labels.
        zero_shot: score before any training example, None if unknown.
        test_size: test examples behind each score, None if unknown.
    """

    source: str
    model: str
    task: str
    scores: tuple[tuple[int, float], ...]
    zero_shot: float | None
    test_size: int | None

    @property
    def key(self) -> tuple[str, str]:
        """The task; all its curves are held out together."""
        return self.source, self.task

    def means(self) -> tuple[Array, Array]:
        """Return the budgets in rising order and the mean score at each, both [k]."""
        budgets = sorted({n for n, _ in self.scores})
        means = [np.mean([s for m, s in self.scores if m == n]) for n in budgets]
        return np.array(budgets, dtype=np.float64), np.array(means)


def read_curves(results: Path, folder: Path) -> list[MeasuredCurve]:
    """Read the published curves and those of a folder.

    Args:
        results: the authors' results folder.
        folder: of JSON Lines files.
    """
    curves = [
        MeasuredCurve(
            PUBLISHED,
            curve.model,
            curve.task,
            tuple((n, s) for n, s in sorted(curve.raw.items()) if n > 0),
            curve.raw.get(0),
            1000,
        )
        for curve in read_published(results)
    ]
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            curves.append(_curve(json.loads(line)))
    return curves


def _curve(row: dict) -> MeasuredCurve:  # type: ignore[type-arg]
    def unit(value: float) -> float:
        if row["source"] == LOSSES:
            return math.exp(-value)
        share = value / float(row.get("scale", 1))
        return share if row["higher_is_better"] else 1 - share

    points = [(int(point[0]), unit(point[1])) for point in row["curve"]]
    zero = [score for n, score in points if n == 0]
    given = row.get("zero_shot")
    zero_shot = zero[0] if zero else None if given is None else unit(given)
    trained = tuple(sorted(point for point in points if point[0] > 0))
    return MeasuredCurve(
        row["source"], row["model"], row["task"], trained, zero_shot, row.get("test_size")
    )
