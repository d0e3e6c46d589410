"""The distribution of confidence in a run's pool, and which part of it was picked."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np

from labelcast.runs.label_store import read_draws
from labelcast.runs.pool import pickable
from labelcast.runs.run import Run
from labelcast.selection.low_confidence import SHARE

BINS = 40


@dataclass(frozen=True)
class PoolConfidence:
    """The confidence of a pool.

    Attributes:
        left_out: duplicates and prompts that are too long; these are never picked.
        mean, low, high: over the other examples.
        limit: the highest confidence that could be picked.
        edges, counts, picked: of a histogram: the edges of its bins, and the examples and the
            picked examples in each.
    """

    size: int
    left_out: int
    mean: float
    low: float
    high: float
    limit: float
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    picked: tuple[int, ...]


def read_confidence(run: Run) -> PoolConfidence | None:
    """The confidence of a run's pool; None if the pool was not scored in this run."""
    path = run.file("confidence.parquet")
    if not path.exists():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = pickable(path)
    picked = [draw.index for draw in read_draws(run, ["low"]) if draw.index < len(values)]
    usable = np.sort(values[np.isfinite(values)])
    chosen = values[picked]
    chosen = chosen[np.isfinite(chosen)]
    if not len(usable) or not len(chosen):
        return None
    eligible = max(math.ceil(SHARE * len(usable)), len(picked))
    # The bins cover only what occurs, since confidence may crowd near 1.
    first = min(math.floor(usable[0] * 20) / 20, 0.95)
    edges = np.linspace(first, 1.0, BINS + 1)
    return PoolConfidence(
        size=len(values),
        left_out=len(values) - len(usable),
        mean=float(usable.mean()),
        low=float(usable[0]),
        high=float(usable[-1]),
        limit=float(usable[min(eligible, len(usable)) - 1]),
        edges=tuple(edges.tolist()),
        counts=tuple(np.histogram(np.clip(usable, first, 1), edges)[0].tolist()),
        picked=tuple(np.histogram(np.clip(chosen, first, 1), edges)[0].tolist()),
    )
