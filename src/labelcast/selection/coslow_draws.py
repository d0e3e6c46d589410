"""Random draws of examples to label, from the pool or from its least confident part."""

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

    Ties are broken by position. If that share has fewer than n examples, the n lowest are taken,
    with a warning. Returns the positions in the order drawn, [n].

    Args:
        confidence: one value per example in [0, 1]; NaN is never picked.
        n: how many to draw.
        seed: seed of the draw.
        share: the part of the pool that counts as low, in (0, 1].

    Raises:
        InputError: fewer than n examples can be picked, or a value is not a number.

    Source: paper, section 4 (32 examples from the lowest tenth).

    Examples:
        >>> sorted(pick_low_confidence(range(100), 3, share=0.03).tolist())
        [0, 1, 2]
    """
    try:
        values = np.asarray(confidence, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("confidence: expected one number per example, NaN if unknown.") from None
    if values.ndim != 1:
        raise InputError(f"confidence: expected a list of numbers, not {values.ndim} dimensions.")
    if not 0 < share <= 1:
        raise InputError(f"share {share}: must be above 0 and at most 1.")
    if n < 2:
        raise InputError(f"--n-label {n}: at least 2 are needed to compare gradients.")
    usable = np.flatnonzero(np.isfinite(values))
    if len(usable) < n:
        raise InputError(
            f"only {len(usable)} examples of the pool can be picked, but {n} are to be labelled. "
            f"Give a larger pool, or lower --n-label (the estimate gets less certain)."
        )
    order = usable[np.argsort(values[usable], kind="stable")]
    eligible = math.ceil(share * len(order))
    if eligible < n:
        warnings.warn(
            f"the pool is small: the lowest {share:.0%} of {len(order)} is {eligible} examples, "
            f"fewer than {n}, so the {n} with the lowest confidence are taken. "
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
    """Draw n of the positions 0 .. size - 1 at random, without those in `taken`."""
    left = np.setdiff1d(np.arange(size, dtype=np.int64), np.asarray(taken, dtype=np.int64))
    if n < 1:
        raise InputError(f"{n} examples asked for; at least 1 is needed.")
    if len(left) < n:
        raise InputError(f"{n} more examples asked for, but the pool has {len(left)} left.")
    return np.random.default_rng(seed).choice(left, size=n, replace=False)
