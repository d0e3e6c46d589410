"""What a selection method is: `Selector`, what it needs, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from labelcast.errors import InputError, RunError
from labelcast.selection.pool import Need, Pool


@dataclass(frozen=True)
class Selection:
    """The chosen examples, in order of preference.

    Attributes:
        positions: in the pool, from 0, different, [n].
        values: what the method gives each, in its own unit, [n]; a method without one gives NaN.
    """

    positions: NDArray[np.int64]
    values: NDArray[np.float64]


@runtime_checkable
class Selector(Protocol):
    """A method that chooses examples; a class with settings as keyword arguments.

    Attributes:
        name: as ``--method`` takes it.
        needs: checked before anything long starts.

    A method that works without task ids, but uses them if they are there, has ``uses =
    frozenset({Need.TASK_IDS})``; ``--group-by`` is refused for a method that has no use for it. A
    method that takes the examples of ``pool.chosen`` into account has ``continues = True``, and
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
        RunError: the method returned other than n positions that can be chosen.
    """
    left = pool.size - len(pool.chosen)
    for name, given, least in (("n", n, 1), ("seed", seed, 0)):
        if isinstance(given, bool) or not isinstance(given, Integral) or given < least:
            raise InputError(f"--{name} {given!r:.40}: a whole number from {least} is needed.")
    if n > left:
        raise InputError(f"--n {n}: more than the pool's {left} example{'s' * (left != 1)}.")
    for need in sorted(selector.needs):
        pool.check(need, selector.name)
    rest = np.setdiff1d(np.arange(pool.size), pool.chosen)
    if len(pool.chosen) and not getattr(selector, "continues", False):
        found = selector.select(pool.part(rest.tolist()), n, seed)
        found = Selection(rest[found.positions], found.values)
    else:
        found = selector.select(pool, n, seed)
    wrong = np.setdiff1d(found.positions, rest)
    if len(np.unique(found.positions)) != n or len(found.values) != n or len(wrong):
        raise RunError(
            f"--method {selector.name}: it did not return {n} different positions of the pool with "
            "their values. Report this to the authors of the method."
        )
    return found


def least(values: NDArray[np.float64], n: int) -> Selection:
    """The n examples of the least values, least first; equal ones in the pool's order.

    NaN comes last, so it is chosen only if nothing else is left.
    """
    chosen = np.argsort(values, kind="stable")[:n]
    return Selection(chosen.astype(np.int64), values[chosen])
