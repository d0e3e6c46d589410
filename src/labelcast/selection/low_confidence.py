"""Which examples of the pool a person should label: a seeded draw from the least confident."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelcast.errors import InputError, LabelcastWarning

SHARE = 0.1


def pick_low_confidence(
    confidence: ArrayLike, n: int = 32, *, seed: int = 0, share: float = SHARE
) -> NDArray[np.int64]:
    """Draw n positions at random from the share of the pool with the lowest confidence.

    Ties are broken by position. A pool whose share holds fewer than n gives its n lowest, with
    a warning.

    Args:
        confidence: one value an example in [0, 1]; NaN means never to be picked.
        n: how many to draw.
        seed: of the draw.
        share: which part of the pool counts as low, in (0, 1].

    Returns:
        n positions in the order drawn.

    Raises:
        InputError: the pool holds fewer than n that can be picked, or a value is no number.

    Source: paper, section 4 (32 examples from the lowest tenth).

    Examples:
        >>> sorted(pick_low_confidence(range(100), 3, share=0.03).tolist())
        [0, 1, 2]
    """
    try:
        values = np.asarray(confidence, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("confidence: expected one number an example, NaN where unknown.") from None
    if values.ndim != 1:
        raise InputError(f"confidence: expected a list of numbers, not {values.ndim} dimensions.")
    if not 0 < share <= 1:
        raise InputError(f"share {share}: must be above 0 and at most 1.")
    if n < 2:
        raise InputError(f"--n-label {n}: at least 2 are needed to compare gradients.")
    usable = np.flatnonzero(np.isfinite(values))
    if len(usable) < n:
        raise InputError(
            f"the pool holds {len(usable)} examples that can be picked, and {n} are to be "
            f"labelled. Give a larger pool, or lower --n-label (the estimate gets less sure)."
        )
    order = usable[np.argsort(values[usable], kind="stable")]
    eligible = math.ceil(share * len(order))
    if eligible < n:
        warnings.warn(
            f"the pool is small: the lowest {share:.0%} of {len(order)} holds {eligible} examples, "
            f"fewer than {n}, so the {n} of lowest confidence are taken. "
            f"A pool of {math.ceil(n / share)} or more is better.",
            LabelcastWarning,
            stacklevel=2,
        )
        eligible = n
    chosen = np.random.default_rng(seed).choice(eligible, size=n, replace=False)
    return order[chosen].astype(np.int64)


def draw_random(
    size: int, n: int, *, taken: Sequence[int] = (), seed: int = 0
) -> NDArray[np.int64]:
    """Draw n of the positions 0 .. size - 1 at random, none of `taken` among them.

    Raises:
        InputError: fewer than n are left.
    """
    left = np.setdiff1d(np.arange(size, dtype=np.int64), np.asarray(taken, dtype=np.int64))
    if n < 1:
        raise InputError(f"{n} examples asked for; at least 1 is needed.")
    if len(left) < n:
        raise InputError(f"{n} more examples asked for, and the pool has {len(left)} left.")
    return np.random.default_rng(seed).choice(left, size=n, replace=False)
