"""DELIFT after a training on other data."""

from __future__ import annotations

from typing import Any

from labelcast.selection.methods.delift import Bound, Delift
from labelcast.selection.pool import Need, Pool


class DeliftContinual(Delift):
    """`Delift` after a training on other data: only what that data does not cover counts.

    The target set is that data. Maximises sum_i max(max_{j taken} u_ij - nu max_e u_ie, 0), with
    the utilities u_ie of its examples e as contexts of the pool's.

    Source: as `Delift`; facility location conditional gain.
    """

    name = "delift-continual"
    needs: frozenset[Need] = frozenset({Need.ANSWERS, Need.LANGUAGE_MODEL, Need.TARGET})

    def __init__(self, *, nu: float = 1.0, **settings: Any) -> None:
        """`nu` is the weight of the earlier data; the other settings are those of `Delift`."""
        super().__init__(**settings)
        self.nu = nu

    def bounds(self, pool: Pool) -> tuple[Bound, Bound]:
        """What the earlier data helps with is covered; see `Delift`."""
        return self.nu * self.utilities(pool, target=True).max(1), float("inf")
