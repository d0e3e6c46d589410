"""Selection methods for tests of sweeps."""

from __future__ import annotations

from typing import ClassVar

import example_selectors
import numpy as np
import pytest

from labelcast.selection.pool import Need, Pool
from labelcast.selection.selector import Selection


class Shortest:
    """The shortest prompts first."""

    name = "shortest"
    needs: frozenset[Need] = frozenset()

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples."""
        lengths = np.array([len(example.prompt) for example in pool.examples])
        chosen = np.argsort(lengths, kind="stable")[:n]
        return Selection(chosen, -lengths[chosen].astype(np.float64))


class Spread:
    """Farthest first, from an example that the seed draws."""

    name = "spread"
    needs = frozenset({Need.EMBEDDINGS})
    embedded: ClassVar[list[np.ndarray]] = []

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples."""
        vectors = pool.embeddings
        self.embedded.append(vectors)
        chosen = [int(np.random.default_rng(seed).integers(pool.size))]
        while len(chosen) < n:
            near = (vectors @ vectors[chosen].T).max(axis=1)
            near[chosen] = np.inf
            chosen.append(int(np.argmin(near)))
        return Selection(np.array(chosen), np.full(n, np.nan))


class Spoiling(Shortest):
    """Changes the model that it gets."""

    name = "spoiling"
    needs = frozenset({Need.MODEL, Need.ANSWERS})

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples."""
        for weight in pool.lm.model.parameters():
            weight.data.zero_()
        return super().select(pool, n, seed)


class Targeted(Shortest):
    """Needs a target set."""

    name = "targeted"
    needs = frozenset({Need.TARGET})
    targets: ClassVar[list[list[str]]] = []

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples."""
        self.targets.append([example.content for example in pool.target])
        return super().select(pool, n, seed)


class Grouped(Shortest):
    """Needs to know the parts of the data; takes note of those of its pool and its target set."""

    name = "grouped"
    needs = frozenset({Need.TASK_IDS})
    pools: ClassVar[list[tuple[dict[str, str], list[str] | None]]] = []

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples."""
        assert pool.task_ids is not None
        contents = [example.content for example in pool.examples]
        ids = pool.target_ids
        parts = dict(zip(contents, pool.task_ids, strict=True))
        self.pools.append((parts, None if ids is None else list(ids)))
        return super().select(pool, n, seed)


class Shown(Shortest):
    """Needs a language model."""

    name = "shown"
    needs = frozenset({Need.LANGUAGE_MODEL})


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the methods above be chosen by name."""
    example_selectors.register(monkeypatch)
    monkeypatch.setattr(Spread, "embedded", [])
    monkeypatch.setattr(Targeted, "targets", [])
    monkeypatch.setattr(Grouped, "pools", [])
