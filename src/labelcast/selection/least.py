"""The examples of which a model is least sure: least confidence, or least margin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from labelcast.selection.pool import Need, Pool
from labelcast.selection.selector import Selection


class LowConfidence:
    """The least mean confidence of the model's answer, in [0, 1].

    `labelcast.pick_low_confidence` draws from the lowest tenth instead, as CoS-Low needs it.

    Source: the paper, section 4 (confidence); Lewis and Gale 1994 (uncertainty sampling).
    """

    name = "low-confidence"
    needs: frozenset[Need] = frozenset({Need.CONFIDENCE})

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `least`. The seed changes nothing."""
        return least(pool.confidence, n)


class Margin:
    """The least difference of the probabilities of the two best answers, in [0, 1].

    Of a language model: the smallest difference of the two best tokens at any step.

    Source: Scheffer et al. 2001 (margin sampling).
    """

    name = "margin"
    needs: frozenset[Need] = frozenset({Need.MARGIN})

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `least`. The seed changes nothing."""
        return least(pool.margin, n)


def least(values: NDArray[np.float64], n: int) -> Selection:
    """The n examples of the least values, least first; equal ones in the pool's order.

    NaN comes last, so it is chosen only if nothing else is left.
    """
    chosen = np.argsort(values, kind="stable")[:n]
    return Selection(chosen.astype(np.int64), values[chosen])
