"""Select examples like those that the model gets wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from labelcast.errors import InputError
from labelcast.models.confidence import score_confidence
from labelcast.models.protocols import Progress
from labelcast.selection.clusters import cluster, members
from labelcast.selection.pool import Pool
from labelcast.selection.quotas import quotas, round_robin
from labelcast.selection.selector import Need, Selection
from labelcast.selection.signals import Arrays
from labelcast.tasks.metrics import score_answers


class ErrorDriven:
    """Group the model's wrong answers on a labelled set, and take what is nearest to each group.

    Groups are k-means clusters of the wrong examples' embeddings; each gets a quota in proportion
    to its errors. An answer is wrong if it differs in its normal form, as in accuracy.

    Args:
        groups: how many; fewer if there are fewer errors.

    Source: the loop of arXiv 2412.15652, with clusters of embeddings in place of skills that a
    teacher names, and cosine in place of BM25.
    """

    name = "error-driven"
    needs = frozenset({Need.MODEL, Need.EMBEDDINGS, Need.TARGET})

    def __init__(self, *, groups: int = 10) -> None:
        self.groups = groups

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `Selector`. The values are cosines to the centre of the group.

        Raises:
            InputError: the model gets the complete target set right.
        """
        signals = _target_signals(pool)
        errors = signals["vectors"][signals["right"] < 1]
        if not len(errors):
            raise InputError(
                f"--method {self.name}: the model answers all {len(pool.target)} examples of the "
                "target set correctly. Give more or harder ones, or use another method."
            )
        errors = errors / np.maximum(np.linalg.norm(errors, axis=1, keepdims=True), 1e-12)
        labels, _ = cluster(errors, self.groups, seed)
        groups = members(labels)
        centres = np.stack([errors[group].mean(0) for group in groups])
        centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12)
        cosines = pool.embeddings @ centres.T
        sizes = [pool.size] * len(groups)
        shares = quotas([len(group) for group in groups], sizes, n)
        turns = round_robin([[g] * k for g, k in enumerate(shares.tolist())], n)
        ranked = np.argsort(-cosines, axis=0, kind="stable")
        taken = np.zeros(pool.size, bool)
        place = [0] * len(groups)
        chosen: list[int] = []
        for group in turns:
            while taken[ranked[place[group], group]]:
                place[group] += 1
            chosen.append(int(ranked[place[group], group]))
            taken[chosen[-1]] = True
        return Selection(np.array(chosen), cosines[chosen, turns].astype(np.float64))


def _target_signals(pool: Pool) -> Arrays:
    """Vectors of the target examples, [N,F], and whether the model's answers are right, [N]."""

    def compute(rows: Sequence[int], progress: Progress) -> Arrays:
        some = [pool.target[row] for row in rows]
        prompts = [example.prompt for example in some]
        answers = score_confidence(pool.lm, prompts, progress=progress, allowed=pool.allowed)
        given, gold = [one.answer for one in answers], [str(one.answer) for one in some]
        right = np.array(score_answers("accuracy", given, gold, pool.allowed).values)
        vectors = pool.lm.embed(prompts, batch_size=None, progress=lambda done: None)
        return {"vectors": vectors, "right": right}

    gold = [f"{example.prompt}\n{example.answer}" for example in pool.target]
    about = [*pool.about(*pool.allowed), *gold]
    return pool.store.rows("target", about, len(pool.target), compute)
