"""Clusters and nearest neighbours of large pools.

Shapes: N examples, F features, C clusters, K neighbours.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

SAMPLE = 50_000
"""Rows that k-means is fitted to; the others join the nearest centre."""
EXACT = 10_000
"""Up to so many rows all are compared with each other."""
_BLOCK = 2048
_PROBED = 4
_ITERATIONS = 20

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def cluster(vectors: Floats, count: int, seed: int) -> tuple[Ints, Floats]:
    """Group vectors by k-means: the cluster of each, [N], and the centres, [C,F].

    Args:
        vectors: [N,F].
        count: C; fewer if there are fewer different vectors.
        seed: of the start, and of the sample if there are more than `SAMPLE` rows.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    rows = vectors
    if len(vectors) > SAMPLE:
        chosen = np.random.default_rng(seed).choice(len(vectors), SAMPLE, replace=False)
        rows = vectors[np.sort(chosen)]
    made = KMeans(min(count, len(rows)), n_init=1, max_iter=_ITERATIONS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different vectors
        made.fit(rows)
    centres = made.cluster_centers_.astype(np.float32)
    return nearest_centre(vectors, centres), centres


def nearest_centre(vectors: Floats, centres: Floats) -> Ints:
    """The position of the nearest centre by Euclidean distance, [N]."""
    half = (centres**2).sum(1) / 2
    found = np.empty(len(vectors), np.int64)
    for start in range(0, len(vectors), _BLOCK):
        rows = slice(start, start + _BLOCK)
        found[rows] = (vectors[rows] @ centres.T - half).argmax(1)
    return found


def members(labels: Ints) -> list[Ints]:
    """The positions in each cluster that has any, in rising order."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1) if len(labels) else []


def neighbours(vectors: Floats, count: int, seed: int = 0) -> tuple[Ints, Floats]:
    """The most similar other rows of each unit vector, and their cosines, [N,K] each.

    Exact up to `EXACT` rows. Above, each row is compared with those of its own k-means cell and of
    the cells next to it, which misses a few of the true neighbours.

    Args:
        vectors: of length 1, [N,F].
        count: K; N - 1 if that is less.
        seed: of the cells.
    """
    size = len(vectors)
    count = min(count, size - 1)
    found = np.full((size, count), -1, np.int64)
    cosines = np.full((size, count), -np.inf, np.float32)
    if size <= EXACT:
        everyone = np.arange(size)
        for start in range(0, size, _BLOCK):
            _compare(vectors, everyone[start : start + _BLOCK], everyone, found, cosines)
        return found, cosines
    labels, centres = cluster(vectors, round(size**0.5), seed)
    cells = {int(labels[cell[0]]): cell for cell in members(labels)}
    near = np.argsort(-(centres @ centres.T), axis=1, kind="stable")
    for number, cell in cells.items():
        others = [cells[other] for other in near[number].tolist() if other in cells]
        chosen, rows = [cell], len(cell)
        for other in others:
            # At least so many cells, and enough rows to choose from.
            if len(chosen) > _PROBED and rows > count:
                break
            if other is not cell:
                chosen.append(other)
                rows += len(other)
        inside = np.concatenate(chosen)
        for start in range(0, len(cell), _BLOCK):
            _compare(vectors, cell[start : start + _BLOCK], inside, found, cosines)
    return found, cosines


def _compare(vectors: Floats, rows: Ints, others: Ints, found: Ints, cosines: Floats) -> None:
    """Write the nearest of `others` of some rows into `found` and `cosines`."""
    count = found.shape[1]
    if not count:
        return
    similar = vectors[rows] @ vectors[others].T
    similar[others[None, :] == rows[:, None]] = -np.inf
    if count < len(others):
        best = np.argpartition(-similar, count - 1, axis=1)[:, :count]
    else:
        best = np.broadcast_to(np.arange(len(others)), similar.shape)[:, :count]
    values = np.take_along_axis(similar, best, 1)
    order = np.argsort(-values, axis=1, kind="stable")
    found[rows] = others[np.take_along_axis(best, order, 1)]
    cosines[rows] = np.take_along_axis(values, order, 1)
