"""What a selection method is: `Selector`, what it needs, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from labelcast.errors import InputError
from labelcast.selection.pool import Need, Pool


@dataclass(frozen=True)
class Selection:
    """The chosen examples, best or first chosen first.

    Attributes:
        positions: in the pool, from 0, different, [n].
        values: what the method gives each, in its own unit, [n]; a method without one gives NaN.
    """

    positions: NDArray[np.int64]
    values: NDArray[np.float64]


class Selector(Protocol):
    """A method that chooses examples; a class with settings as keyword arguments.

    Attributes:
        name: as ``--method`` takes it.
        needs: checked before anything long starts.

    A method that takes the examples of ``pool.chosen`` into account has ``continues = True``, and
    chooses none of them. Other methods do not see them.
    """

    name: str
    needs: frozenset[Need]

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n >= 1 examples that were not chosen before; the same seed chooses the same."""


def select(selector: Selector, pool: Pool, n: int, *, seed: int = 0) -> Selection:
    """Choose n examples of a pool, after checking that the pool has what the method needs.

    Raises:
        InputError: n is below 1 or above what is left of the pool, or the pool lacks a need.
    """
    left = pool.size - len(pool.chosen)
    if n < 1:
        raise InputError(f"--n {n}: at least 1 example must be chosen.")
    if n > left:
        raise InputError(f"--n {n}: more than the pool's {left} examples.")
    for need in sorted(selector.needs):
        pool.check(need, selector.name)
    if len(pool.chosen) and not getattr(selector, "continues", False):
        rest = np.setdiff1d(np.arange(pool.size), pool.chosen)
        found = selector.select(pool.part(rest.tolist()), n, seed)
        found = Selection(rest[found.positions], found.values)
    else:
        found = selector.select(pool, n, seed)
    if len(np.unique(found.positions)) != n or len(found.values) != n:
        raise RuntimeError(f"method {selector.name}: did not return {n} different positions")
    return found
