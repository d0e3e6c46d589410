"""Low confidence: the examples whose answers the model is least sure of."""

from __future__ import annotations

from labelcast.selection.pool import Need, Pool
from labelcast.selection.selector import Selection, least


class LowConfidence:
    """The least mean confidence of the model's answer, in [0, 1].

    `labelcast.pick_low_confidence` draws from the lowest tenth instead, as CoS-Low needs it.

    Source: the paper, section 4 (confidence); Lewis and Gale 1994 (uncertainty sampling).
    """

    name = "low-confidence"
    needs: frozenset[Need] = frozenset({Need.CONFIDENCE})

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `selector.least`. The seed changes nothing."""
        return least(pool.confidence, n)
