"""DELIFT for a target set."""

from __future__ import annotations

from typing import Any

from labelcast.selection.methods.delift import Bound, Delift
from labelcast.selection.pool import Need, Pool


class DeliftTargeted(Delift):
    """`Delift` for a target set: what the target's examples do not help with does not count.

    Maximises sum_i min(max_{j taken} u_ij, eta max_q u_iq), with the utilities u_iq of the target's
    examples q as contexts of the pool's.

    Source: as `Delift`; facility location mutual information.
    """

    name = "delift-targeted"
    needs: frozenset[Need] = frozenset({Need.ANSWERS, Need.LANGUAGE_MODEL, Need.TARGET})

    def __init__(self, *, eta: float = 1.0, **settings: Any) -> None:
        """`eta` is the weight of the target; the other settings are those of `Delift`."""
        super().__init__(**settings)
        self.eta = eta

    def bounds(self, pool: Pool) -> tuple[Bound, Bound]:
        """What the target's examples help with is the most that counts; see `Delift`."""
        return 0.0, self.eta * self.utilities(pool, target=True).max(1, keepdims=True)
