from __future__ import annotations

import math

import numpy as np
import pytest

from labelcast.selection.pool import Pool
from labelcast.selection.registry import selector
from labelcast.selection.selector import select

VALUES = [0.5, math.nan, 0.1, 0.9, 0.1, 0.3]


@pytest.mark.parametrize("name", ["low-confidence", "margin"])
def test_the_least_values_come_first_and_nan_last(name: str) -> None:
    found = select(selector(name), Pool(confidence=VALUES, margin=VALUES), 6)
    assert found.positions.tolist() == [2, 4, 5, 0, 3, 1]
    np.testing.assert_array_equal(found.values, [0.1, 0.1, 0.3, 0.5, 0.9, math.nan])


@pytest.mark.parametrize("name", ["low-confidence", "margin"])
def test_another_order_of_the_pool_chooses_the_same_values(name: str) -> None:
    order = [3, 1, 5, 0, 4, 2]
    mixed = [VALUES[i] for i in order]
    first = select(selector(name), Pool(confidence=VALUES, margin=VALUES), 4)
    second = select(selector(name), Pool(confidence=mixed, margin=mixed), 4)
    assert sorted(order[i] for i in second.positions) == sorted(first.positions.tolist())
