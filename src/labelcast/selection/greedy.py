"""Greedy choice of columns that cover the rows of a matrix."""

from __future__ import annotations

from heapq import heapify, heapreplace

import numpy as np
from numpy.typing import NDArray

from labelcast.selection.selector import Selection

DIGITS = 9
"""Gains are rounded to this many digits, so that equal gains stay equal, as they often are."""


def lazy_greedy(
    matrix: NDArray[np.float64],
    n: int,
    served: NDArray[np.float64],
    *,
    without: NDArray[np.int64] | None = None,
) -> Selection:
    """Take n columns, one after another, to maximise sum_i max(served_i, max_{j taken} m_ij).

    Lazy: a column's gain only falls, so it is computed again only when the last known one is the
    largest. Of equal gains the first column is taken.

    Args:
        matrix: m, [N,C].
        n: at most C, less `without`.
        served: what is covered at the beginning, [N].
        without: columns that are not taken.

    Returns:
        The columns in the order taken, with their gains.

    Source: Nemhauser et al. 1978 (greedy), Minoux 1978 (lazy).
    """
    served = served.copy()
    gains = np.maximum(matrix - served[:, None], 0).sum(axis=0).round(DIGITS)
    if without is not None:
        gains[without] = -np.inf
    heap = list(zip((-gains).tolist(), range(len(gains)), strict=True))
    heapify(heap)
    positions, values = np.empty(n, np.int64), np.empty(n)
    for step in range(n):
        while True:
            j = heap[0][1]
            gain = round(float(np.maximum(matrix[:, j] - served, 0).sum()), DIGITS)
            if heap[0][0] >= -gain:
                break
            heapreplace(heap, (-gain, j))
            if heap[0] == (-gain, j):
                break
        positions[step], values[step] = j, gain
        np.maximum(served, matrix[:, j], out=served)
        heapreplace(heap, (np.inf, j))
    return Selection(positions, values)
