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


def nearest(vectors: Vectors, count: int, seed: int) -> tuple[NDArray[np.int64], Vectors]:
    """The `count` vectors of the largest cosine with each one, without itself.

    Up to 20,000 vectors all pairs are compared. Above, a vector is compared with those in its own
    k-means cell and in the five cells of the nearest centres, so a few true neighbours are missed.

    Args:
        vectors: of length 1, [N,F].
        count: M, below N.
        seed: of the cells.

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
    lengths = (centres**2).sum(axis=1)
    for cell, rows in enumerate(cells):
        order = np.argsort(lengths - 2 * centres @ centres[cell], kind="stable")
        held: list[NDArray[np.int64]] = []
        for number, other in enumerate(order):
            held.append(cells[other])
            if number + 1 >= _PROBES and sum(map(len, held)) > count:
                break
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
        best = np.argpartition(found, len(among) - count, axis=1)[:, -count:]
        values = np.take_along_axis(found, best, axis=1)
        order = np.lexsort((among[best], -values), axis=1)
        places[block] = among[np.take_along_axis(best, order, axis=1)]
        cosines[block] = np.take_along_axis(values, order, axis=1)
