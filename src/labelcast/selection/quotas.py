"""Share a number of examples among groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def quotas(weights: ArrayLike, sizes: Sequence[int], n: int) -> NDArray[np.int64]:
    """How many of n examples each of G groups gets, in proportion to its weight, [G].

    No group gets more than its size; what it cannot take goes to the others. Fractions are rounded
    by largest remainder, ties to the earlier group.

    Args:
        weights: at least 0, [G].
        sizes: of the groups, their sum at least n, [G].
        n: examples to share.

    Examples:
        >>> quotas([1, 1, 2], [10, 10, 10], 7).tolist()
        [2, 2, 3]
        >>> quotas([1, 1, 2], [10, 10, 1], 7).tolist()
        [3, 3, 1]
    """
    room = np.asarray(sizes, np.int64)
    shares = np.asarray(weights, np.float64)
    given = np.zeros(len(room), np.int64)
    while (left := n - int(given.sum())) > 0:
        open_groups = np.flatnonzero(given < room)
        # Groups without weight are used only if the others are full.
        weighted = open_groups[shares[open_groups] > 0]
        chosen = weighted if len(weighted) else open_groups
        share = shares[chosen] if len(weighted) else np.ones(len(chosen))
        wanted = left * share / share.sum()
        part = np.minimum(np.floor(wanted).astype(np.int64), (room - given)[chosen])
        if not part.any():
            order = np.argsort(-(wanted - np.floor(wanted)), kind="stable")[:left]
            part[order] = 1
        given[chosen] += part
    return given


def round_robin(groups: Sequence[Sequence[int]], n: int) -> list[int]:
    """The first n when taking one from each group in turn, then the second of each, and so on.

    Examples:
        >>> round_robin([[1, 2, 3], [4], [5, 6]], 5)
        [1, 4, 5, 2, 6]
    """
    longest = max(map(len, groups), default=0)
    turns = (group[place] for place in range(longest) for group in groups if place < len(group))
    return [position for position, _ in zip(turns, range(n), strict=False)]
