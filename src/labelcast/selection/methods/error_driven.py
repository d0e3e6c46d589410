"""Error-driven selection: examples near those that the model answers wrongly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from labelcast.errors import InputError
from labelcast.models.confidence import score_confidence
from labelcast.models.protocols import Progress
from labelcast.selection.clusters import Vectors, divide, k_means, members, unit
from labelcast.selection.pool import Need, Pool
from labelcast.selection.selector import Selection
from labelcast.selection.signals import Arrays
from labelcast.tasks.metrics import score_answers


class ErrorDriven:
    """Group the wrong answers to a labelled target set; choose the pool's nearest to each group.

    An answer is wrong if it differs from the target's (accuracy). The wrong examples are clustered
    by k-means on their unit embeddings, and each cluster gets a part of n proportional to its share
    of the errors. It takes the pool's rows of the largest cosine with its centre that are not taken
    yet, one cluster after another in turn, the cluster with the most errors first.

    The value is that cosine, in [-1, 1]. The labels of the target set are a cost, too.

    Args:
        groups: most clusters of wrong answers.

    Source: arXiv 2412.15652, which lets a teacher name the missing skills and retrieves by BM25;
    here clusters of embeddings take the place of the skills.
    """

    name = "error-driven"
    needs: frozenset[Need] = frozenset({Need.EMBEDDINGS, Need.TARGET, Need.MODEL})

    def __init__(self, *, groups: int = 10) -> None:
        self.groups = groups

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `Selector`. Raises InputError if no target answer is wrong."""
        prompts = [example.prompt for example in pool.target]

        def compute(rows: Sequence[int], progress: Progress) -> Arrays:
            texts = [prompts[row] for row in rows]
            found = score_confidence(pool.lm, texts, progress=progress, allowed=pool.allowed)
            gold = [str(pool.target[row].answer) for row in rows]
            right = score_answers("accuracy", [one.answer for one in found], gold, pool.allowed)
            vectors = pool.lm.embed(texts, batch_size=None, progress=lambda done: None)
            return {"right": np.array(right.values), "vectors": vectors}

        about = [
            *pool.model_key,
            *pool.allowed,
            *("for", *pool.lm.answers),
            *(f"{example.prompt}\t{example.answer}" for example in pool.target),
        ]
        found = pool.store.rows("target", about, len(prompts), compute)
        wrong = found["vectors"][found["right"] < 1].astype(np.float32)
        if not len(wrong):
            raise InputError(
                f"--method {self.name}: the model answers all {len(prompts)} target examples "
                "right, so no error shows what is missing. Give more or harder ones: --target FILE."
            )
        vectors = pool.embeddings
        if wrong.shape[1] != vectors.shape[1]:
            raise InputError(
                f"--method {self.name}: the pool's embeddings have {vectors.shape[1]} numbers, and "
                f"those of the model {wrong.shape[1]}. Give embeddings of the same model."
            )
        return near_errors(vectors, wrong, n, groups=self.groups, seed=seed)


def near_errors(
    vectors: Vectors, wrong: NDArray[np.float32], n: int, *, groups: int, seed: int
) -> Selection:
    """Choose n of the vectors [N,F] near clusters of the wrong ones [M,F]; see `ErrorDriven`."""
    centres, labels = k_means(unit(wrong), min(groups, len(wrong), n), seed)
    mass = np.array([len(rows) for rows in members(labels, len(centres))])
    order = np.argsort(-mass, kind="stable")
    quotas = divide(n, mass[order], np.full(len(order), len(vectors)))
    cosines = unit(centres[order]) @ vectors.T
    # Others take at most n of a cluster's nearest, so 2 n of them are enough.
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, : 2 * n]
    queues, left = [iter(row.tolist()) for row in nearest], quotas.copy()
    taken = np.zeros(len(vectors), bool)
    positions: list[int] = []
    values: list[float] = []
    while left.any():
        for group in np.flatnonzero(left):
            row = next(row for row in queues[group] if not taken[row])
            taken[row] = True
            left[group] -= 1
            positions.append(row)
            values.append(float(cosines[group, row]))
    return Selection(np.array(positions, np.int64), np.array(values))
