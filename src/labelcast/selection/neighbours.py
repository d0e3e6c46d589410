"""The nearest neighbours of each vector: exact for small pools, by k-means cells for large ones.

Shapes: N vectors of length 1, F features, M neighbours.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from labelcast.selection.clusters import Vectors, blocks, k_means, members

EXACT = 20_000
"""Most vectors whose neighbours are exact; above it, N^2 products would take hours at 10^6."""
_CELL = 1000
_PROBES = 6
"""Cells of about `_CELL` vectors, and how many of them are searched for each vector."""
_LARGEST = 5
"""Times `_CELL`: a larger cell is divided."""
_FOLDS = 16


def nearest(vectors: Vectors, count: int, seed: int) -> tuple[NDArray[np.int64], Vectors]:
    """The `count` vectors of the largest cosine with each one, without itself.

    Up to 20,000 vectors all pairs are compared. Above, a vector is compared with those in its own
    k-means cell and in the five cells of the nearest centres, so a few true neighbours are missed.

    Args:
        vectors: vectors of length 1, [N,F].
        count: M, below N.
        seed: seed of the cells.

    Returns:
        Positions [N,M], nearest first, and cosines [N,M].
    """
    size = len(vectors)
    places, cosines = np.empty((size, count), np.int64), np.empty((size, count), np.float32)
    everything = np.arange(size)
    if size <= EXACT:
        _search(vectors, everything, everything, places, cosines)
        return places, cosines
    centres, labels = k_means(vectors, math.ceil(size / _CELL), seed)
    cells = members(labels, len(centres))
    # Many duplicates are one cell, in which all pairs would take as long as in the pool.
    parts = [math.ceil(len(rows) / (_LARGEST * _CELL)) for rows in cells]
    cells = [part for rows, k in zip(cells, parts, strict=True) for part in np.array_split(rows, k)]
    centres = np.repeat(centres, parts, axis=0)
    lengths = (centres**2).sum(axis=1)
    for cell, rows in enumerate(cells):
        order = np.argsort(lengths - 2 * centres @ centres[cell], kind="stable")
        held = [rows]
        for other in order[order != cell]:
            if len(held) >= _PROBES and sum(map(len, held)) > count:
                break
            held.append(cells[other])
        _search(vectors, rows, np.sort(np.concatenate(held)), places, cosines)
    return places, cosines


def _search(
    vectors: Vectors,
    rows: NDArray[np.int64],
    among: NDArray[np.int64],
    places: NDArray[np.int64],
    cosines: Vectors,
) -> None:
    """Fill in the neighbours of some rows, among others that are in order and include them."""
    others, count = vectors[among], places.shape[1]
    for part in blocks(len(rows), len(among)):
        block = rows[part]
        found = vectors[block] @ others.T
        found[np.arange(len(block)), np.searchsorted(among, block)] = -np.inf
        best, values = largest(found, count)
        order = np.lexsort((among[best], -values), axis=1)
        places[block] = among[np.take_along_axis(best, order, axis=1)]
        cosines[block] = np.take_along_axis(values, order, axis=1)


def largest(values: Vectors, count: int) -> tuple[NDArray[np.int64], Vectors]:
    """The columns [N,count] of the largest values of each row [N,M], in no order, and the values.

    Wide rows are folded 16 times: a largest value is in one of the `count` columns with the
    largest maximum over the folds.
    """
    width = values.shape[1] // _FOLDS
    if width < 4 * count:
        return _partitioned(values, np.arange(values.shape[1])[None], count)
    peaks = values[:, :width].copy()
    for fold in range(1, _FOLDS):
        np.maximum(peaks, values[:, fold * width : (fold + 1) * width], out=peaks)
    best = np.argpartition(peaks, width - count, axis=1)[:, -count:]
    columns = (best[:, None] + width * np.arange(_FOLDS)[:, None]).reshape(len(values), -1)
    rest = np.arange(_FOLDS * width, values.shape[1])
    columns = np.append(columns, np.broadcast_to(rest, (len(values), len(rest))), axis=1)
    return _partitioned(np.take_along_axis(values, columns, axis=1), columns, count)


def _partitioned(
    values: Vectors, columns: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], Vectors]:
    best = np.argpartition(values, values.shape[1] - count, axis=1)[:, -count:]
    found = np.broadcast_to(columns, values.shape)
    return np.take_along_axis(found, best, axis=1), np.take_along_axis(values, best, axis=1)
