"""Uniform random selection, which every other method has to beat."""

from __future__ import annotations

import numpy as np

from labelcast.selection.pool import Need, Pool
from labelcast.selection.selector import Selection


class Random:
    """Draw examples uniformly without replacement."""

    name = "random"
    needs: frozenset[Need] = frozenset()

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `Selector`."""
        chosen = np.random.default_rng(seed).permutation(pool.size)[:n]
        return Selection(chosen.astype(np.int64), np.full(n, np.nan))
