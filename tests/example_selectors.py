"""Small selection methods, and how a test installs them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from labelcast.selection.pool import Need, Pool
from labelcast.selection.selector import Selection


class Outliers:
    """What is farthest from the mean embedding first; the values are the distances."""

    name = "outliers"
    needs = frozenset({Need.EMBEDDINGS})

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples."""
        return _highest(np.linalg.norm(pool.embeddings - pool.embeddings.mean(0), axis=1), n)


class Unsure(Outliers):
    """The lowest confidence first."""

    name = "unsure"
    needs = frozenset({Need.CONFIDENCE})

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples."""
        return _highest(-pool.confidence, n)


class Continuing(Outliers):
    """The first that are left; notes the confidence of what was chosen before."""

    name = "continuing"
    needs = frozenset({Need.CONFIDENCE})
    continues = True
    known: ClassVar[list[list[float]]] = []

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples."""
        self.known.append(pool.confidence[pool.chosen].tolist())
        left = np.setdiff1d(np.arange(pool.size), pool.chosen)
        return Selection(left[:n], np.full(n, np.nan))


class Middle(Outliers):
    """What is nearest to the mean embedding first."""

    name = "middle"

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples."""
        return _highest(-np.linalg.norm(pool.embeddings - pool.embeddings.mean(0), axis=1), n)


class ByTask(Outliers):
    """The first of each task, then the second, and so on."""

    name = "by-task"
    needs = frozenset({Need.TASK_IDS})

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples."""
        assert pool.task_ids is not None
        ids = list(pool.task_ids)
        turns = np.array([ids[:row].count(name) for row, name in enumerate(ids)])
        return _highest(-turns.astype(float), n)


class LongestAnswers(Outliers):
    """The longest answers of those that the target set has too."""

    name = "longest-answers"
    needs = frozenset({Need.ANSWERS, Need.TARGET})

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples."""
        known = {example.answer for example in pool.target}
        rows = [(e.answer in known, len(str(e.answer))) for e in pool.examples]
        return _highest(np.array([size * found for found, size in rows], float), n)


def _highest(values: np.ndarray, n: int) -> Selection:
    order = np.argsort(-values, kind="stable")[:n]
    return Selection(order, values[order])


class Misplaced(Outliers):
    """Chooses what the pool does not have."""

    name = "misplaced"

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples."""
        return Selection(np.arange(n) - 1, np.zeros(n))


def register(patch: pytest.MonkeyPatch) -> None:
    """Install a package with the methods above and those of `small_selectors`."""
    patch.syspath_prepend(Path(__file__).parent / "selector_package")
    patch.setattr(Continuing, "known", [])
