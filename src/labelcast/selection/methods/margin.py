"""Margin: the examples where the two best answers are closest."""

from __future__ import annotations

from labelcast.selection.pool import Need, Pool
from labelcast.selection.selector import Selection, least


class Margin:
    """The least difference of the probabilities of the two best answers, in [0, 1].

    Of a language model: the smallest difference of the two best tokens at any step.

    Source: Scheffer et al. 2001 (margin sampling).
    """

    name = "margin"
    needs: frozenset[Need] = frozenset({Need.MARGIN})

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `selector.least`. The seed changes nothing."""
        return least(pool.margin, n)
