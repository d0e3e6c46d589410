"""Select examples that are informative, unlike their neighbours, and like the rest of the pool.

Shapes: N examples, F features, C clusters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from labelcast.models.protocols import Progress
from labelcast.selection.clusters import members, nearest_centre
from labelcast.selection.pool import Pool
from labelcast.selection.quotas import quotas, round_robin
from labelcast.selection.selector import Need, Selection
from labelcast.selection.signals import Arrays

WARD = 5000
"""Examples that Ward's method clusters, which takes memory for every pair; in a larger pool the
others join the nearest centre."""
CUT = 0.1
"""Clusters are cut at this fraction of the height of the last merge."""
_MEMBERS = 5000
"""Of a larger cluster, so many at random stand for all."""
_BLOCK = 2048
Floats = NDArray[np.float64]


class DataTailor:
    """DataTailor: rank by informativeness I, uniqueness U and representativeness R.

    I is the entropy of the singular values of the prompt's last hidden states; U the sum of
    distances times I over the cluster; R the mean exp(cosine) to the centres of other clusters,
    times I. The value is (turns x rank of I + rank of U + rank of R) / (turns + 2), ranks between 0
    and 1. A task's quota is proportional to its size times the square of the mean share of the
    largest singular value.

    Source: DataTailor (Yu et al. 2024), and its repository for the clusters.
    """

    name = "data-tailor"
    needs = frozenset({Need.EMBEDDINGS, Need.MODEL})

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `Selector`."""
        tasks = pool.task_ids or [""] * pool.size
        turns = [max(len(example.turns), 1) for example in pool.examples]
        return choose(pool.embeddings, _spectra(pool), np.array(turns), tasks, n, seed)


def choose(
    vectors: NDArray[np.float32],
    spectra: Floats,
    turns: NDArray[np.int64],
    tasks: Sequence[str],
    n: int,
    seed: int,
) -> Selection:
    """The choice from known signals.

    Args:
        vectors: of length 1, [N,F].
        spectra: entropy and largest share of the singular values, [N,2]; see `models.spectra`.
        turns: of each conversation, 1 for a single prompt, [N].
        tasks: which task each example belongs to, [N].
        n: how many to choose.
        seed: of samples, used in large pools only.
    """
    values = _values(vectors, spectra[:, 0], turns, seed)
    names = np.unique(np.asarray(tasks), return_inverse=True)[1]
    groups = [group[np.argsort(-values[group], kind="stable")] for group in members(names)]
    sizes = [len(group) for group in groups]
    weights = [len(group) * spectra[group, 1].mean() ** 2 for group in groups]
    parts = [g[:k].tolist() for g, k in zip(groups, quotas(weights, sizes, n), strict=True)]
    chosen = np.array(round_robin(parts, n))
    return Selection(chosen, values[chosen])


def _spectra(pool: Pool) -> Floats:
    from labelcast.models.spectra import spectra

    def compute(rows: Sequence[int], progress: Progress) -> Arrays:
        texts = [pool.examples[row].prompt for row in rows]
        return {"spectra": spectra(pool.lm, texts, progress=progress)}

    return pool.store.rows("spectra", pool.about(), pool.size, compute)["spectra"]


def _values(
    vectors: NDArray[np.float32], entropy: Floats, turns: NDArray[np.int64], seed: int
) -> Floats:
    labels = ward(vectors, seed)
    unique, groups = np.zeros(len(vectors)), members(labels)
    for group in groups:
        unique[group] = _uniqueness(vectors[group], entropy[group], seed)
    centres = np.stack([vectors[group].mean(0, dtype=np.float64) for group in groups])
    lengths = np.linalg.norm(centres, axis=1, keepdims=True)
    centres /= np.where(lengths > 0, lengths, 1)
    own = np.empty(len(vectors), np.int64)
    for number, group in enumerate(groups):
        own[group] = number
    alike = np.ones(len(vectors))
    if len(groups) > 1:
        for start in range(0, len(vectors), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(vectors)))
            close = np.exp(vectors[rows] @ centres.T)
            total = close.sum(1) - close[np.arange(len(rows)), own[rows]]
            alike[rows] = total / (len(groups) - 1)
    parts = (turns * _ranks(entropy), _ranks(unique), _ranks(alike * entropy))
    return np.asarray(sum(parts) / (turns + 2))


def ward(vectors: NDArray[np.float32], seed: int) -> NDArray[np.int64]:
    """The Ward cluster of each row, [N]; see `CUT` and `WARD`."""
    from scipy.cluster.hierarchy import fcluster, linkage

    size = len(vectors)
    if size < 2:
        return np.zeros(size, np.int64)
    rows = np.arange(size)
    if size > WARD:
        rows = np.sort(np.random.default_rng(seed).choice(size, WARD, replace=False))
    merges = linkage(vectors[rows].astype(np.float64), "ward")
    labels = np.asarray(fcluster(merges, CUT * merges[-1, 2], "distance"), np.int64) - 1
    if size == len(rows):
        return labels
    centres = np.stack([vectors[rows[group]].mean(0) for group in members(labels)])
    return nearest_centre(vectors, centres)


def _uniqueness(vectors: NDArray[np.float32], entropy: Floats, seed: int) -> Floats:
    """Sum over the cluster of d_ij I_j, divided by the mean row sum of d, [N]; 0 if all d are."""
    size = len(vectors)
    others = np.arange(size)
    if size > _MEMBERS:
        others = np.sort(np.random.default_rng(seed).choice(size, _MEMBERS, replace=False))
    squares = np.einsum("nf,nf->n", vectors, vectors)
    weighted, sums = np.zeros(size), np.zeros(size)
    for start in range(0, size, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, size))
        apart = squares[rows, None] + squares[others] - 2 * vectors[rows] @ vectors[others].T
        apart[rows[:, None] == others] = 0
        distances = np.sqrt(np.maximum(apart, 0)).astype(np.float64)
        weighted[rows], sums[rows] = distances @ entropy[others], distances.sum(1)
    mean = sums.mean()
    return weighted / mean if mean > 0 else weighted


def _ranks(values: Floats) -> Floats:
    """Ranks from 0 for the least to 1 for the largest value; equal values share their mean."""
    from scipy.stats import rankdata

    return np.asarray((rankdata(values) - 1) / max(len(values) - 1, 1))
