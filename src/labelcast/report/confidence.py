"""Where the confidence of the pool lies, and which part of it was picked."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labelcast.runs.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterable

BINS = 40

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PoolConfidence:
    """The confidence of a pool.

    Attributes:
        size: examples of the pool.
        left_out: of these, duplicates and prompts too long, which are never picked.
        mean, low, high: over the others.
        limit: the largest confidence that could be picked.
        picked_range: smallest and largest confidence of the picked examples.
        edges: of the bins, [bins + 1].
        counts: examples in each bin, [bins].
        picked: picked examples in each bin, [bins].
    """

    size: int
    left_out: int
    mean: float
    low: float
    high: float
    limit: float
    picked_range: tuple[float, float]
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    picked: tuple[int, ...]


def read_confidence(run: Run) -> PoolConfidence | None:
    """The confidence of a run's pool; None where it was not scored here.

    Raises:
        InputError: the file is damaged.
    """
    path = run.file("confidence.parquet")
    if not path.exists():
        return None
    from labelcast.labels.store import read_draws
    from labelcast.runs.pool import pickable

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = pickable(path)
    places = [draw.index for draw in read_draws(run, ["low"]) if draw.index < len(values)]
    return summarise(values, np.asarray(places, dtype=np.int64))


def summarise(values: Array, picked: NDArray[np.int64]) -> PoolConfidence | None:
    """Count confidences, [n] with NaN for what is never picked, and those of picked positions."""
    from labelcast.selection.low_confidence import SHARE

    usable = np.sort(values[np.isfinite(values)])
    chosen = values[picked]
    chosen = chosen[np.isfinite(chosen)]
    if not len(usable) or not len(chosen):
        return None
    eligible = max(math.ceil(SHARE * len(usable)), len(picked))
    # The bins cover what occurs, in whole twentieths, since confidence may crowd near 1.
    first = min(math.floor(usable[0] * 20) / 20, 0.95)
    edges = np.linspace(first, 1.0, BINS + 1)
    return PoolConfidence(
        size=len(values),
        left_out=len(values) - len(usable),
        mean=float(usable.mean()),
        low=float(usable[0]),
        high=float(usable[-1]),
        limit=float(usable[min(eligible, len(usable)) - 1]),
        picked_range=(float(chosen.min()), float(chosen.max())),
        edges=tuple(edges.tolist()),
        counts=tuple(np.histogram(np.clip(usable, first, 1), edges)[0].tolist()),
        picked=tuple(np.histogram(np.clip(chosen, first, 1), edges)[0].tolist()),
    )


def scored_rows(run: Run, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Confidence and the model's own answer of some examples, by id.

    Raises:
        InputError: the file is damaged.
    """
    path = run.file("confidence.parquet")
    if not path.exists():
        return {}
    from labelcast.runs.pool import read_rows

    return read_rows(path, ids, ["confidence", "answer"])
