"""Select what the model is least certain of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from labelcast.selection.pool import Pool
from labelcast.selection.selector import Need, Selection


class LowConfidence:
    """The examples with the least confidence.

    Source: Je and Raffel (2025), section 4, for the confidence; the rule is classical.
    """

    name = "low-confidence"
    needs = frozenset({Need.CONFIDENCE})

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `Selector`. The values are confidences."""
        return least(pool.confidence, n, seed)


class Margin:
    """The examples with the least difference between the probabilities of the two best answers.

    For a language model that is the smallest difference at any token of its answer.
    """

    name = "margin"
    needs = frozenset({Need.MARGIN})

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `Selector`. The values are margins."""
        return least(pool.margin, n, seed)


def least(values: NDArray[np.float64], n: int, seed: int) -> Selection:
    """The n examples with the least values, ties in random order; unknown values (NaN) last."""
    order = np.random.default_rng(seed).permutation(len(values))
    chosen = order[np.argsort(values[order], kind="stable")][:n]  # NaN sorts last
    return Selection(chosen.astype(np.int64), values[chosen])
