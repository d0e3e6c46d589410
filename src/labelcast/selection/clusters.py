"""K-means clusters of any number of vectors, and how to divide a number over groups.

Shapes: N vectors, F features, K clusters or groups.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vectors = NDArray[np.float32]
Counts = NDArray[np.int64]
_FITTED = 256
"""Rows for each cluster that the centres are fitted to; more change them little."""
_SMALLEST = 20_000
_ITERATIONS = 50
_BLOCK = 2**24
"""Numbers in a block of a matrix that is too large to keep."""


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of `rows`, each of at most 64 MB of float32 beside `columns`."""
    step = max(1, _BLOCK // max(1, columns))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def unit(vectors: Vectors) -> Vectors:
    """Rows of length 1, [N,F] float32; a row of zeros stays one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32, copy=False)


def k_means(vectors: Vectors, clusters: int, seed: int) -> tuple[Vectors, Counts]:
    """Centres [K,F], and the nearest centre of each vector, [N].

    K is at most `clusters` and the number of different vectors. Of more than 20,000 vectors, and
    256 for each cluster, a part that is drawn at random gives the centres.
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    rng = np.random.default_rng(seed)
    size = max(_SMALLEST, _FITTED * clusters)
    rows = vectors
    if len(vectors) > size:
        rows = vectors[np.sort(rng.choice(len(vectors), size, replace=False))]
    kind = KMeans if len(rows) * clusters <= _SMALLEST * 50 else MiniBatchKMeans
    if clusters >= len(rows) or len(rows) <= 1024:
        clusters = min(clusters, len(np.unique(rows, axis=0)))
    state = int(rng.integers(2**31))
    # Duplicates leave fewer clusters than asked for, as the docstring says.
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        fitted = kind(clusters, n_init=1, max_iter=_ITERATIONS, random_state=state).fit(rows)
    centres = fitted.cluster_centers_.astype(np.float32)
    labels = assign(vectors, centres)
    kept, labels = np.unique(labels, return_inverse=True)  # without empty clusters
    return centres[kept], labels.astype(np.int64)


def assign(vectors: Vectors, centres: Vectors) -> Counts:
    """The nearest centre of each vector, the first of equally near ones, [N]."""
    half = (centres**2).sum(axis=1) / 2
    found = np.empty(len(vectors), np.int64)
    for rows in blocks(len(vectors), len(centres)):
        found[rows] = (vectors[rows] @ centres.T - half).argmax(axis=1)
    return found


def members(labels: ArrayLike, groups: int) -> list[Counts]:
    """The positions in each group, in order, from the group 0 .. K - 1 of each row."""
    values = np.asarray(labels)
    order = np.argsort(values, kind="stable")
    ends = np.bincount(values, minlength=groups).cumsum()
    return np.split(order, ends[:-1])


def draw_in_turns(n: int, groups: list[Counts], weights: ArrayLike, seed: int) -> Counts:
    """Draw n at random from groups, in parts as `divide` gives them, one of each group in turn."""
    rng = np.random.default_rng(seed)
    # At random, so that the first groups do not always get what is left over.
    order = rng.permutation(len(groups))
    sizes = np.array([len(groups[group]) for group in order])
    quotas = divide(n, np.asarray(weights)[order], sizes)
    drawn = [rng.permutation(groups[g])[:q] for g, q in zip(order, quotas, strict=True)]
    return in_turns(drawn)


def divide(n: int, weights: ArrayLike, most: ArrayLike) -> Counts:
    """Divide n over groups in proportion to their weights, by largest remainders, [K].

    No group gets above its `most`; what it cannot take is divided over the others in the same way.
    Equal remainders go to the first groups. n is at most the sum of `most`.
    """
    share, limit = np.asarray(weights, np.float64), np.asarray(most, np.int64)
    found = np.zeros(len(share), np.int64)
    while (left := n - int(found.sum())) > 0:
        open_ = found < limit
        part = np.where(open_, share, 0.0)
        if not part.sum() > 0:
            part = open_.astype(np.float64)
        exact = left * part / part.sum()
        step = np.floor(exact + 1e-9).astype(np.int64)
        if (over := found + step > limit).any():
            found[over] = limit[over]
            continue
        # Rounded, so that equal remainders stay equal.
        order = np.argsort(-np.round(np.where(open_, exact - step, -1), 9), kind="stable")
        order = order[(found + step)[order] < limit[order]]
        step[order[: left - int(step.sum())]] += 1
        found += step
    return found


def in_turns(groups: list[Counts]) -> Counts:
    """The members of some groups in turns: the first of each, then the second of each, ..."""
    turn = np.concatenate([np.arange(len(group)) for group in groups])
    return np.concatenate(groups)[np.argsort(turn, kind="stable")]
