from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from selection.small_selection import vectors

from labelcast.selection.clusters import assign, divide, in_turns, k_means, members


@given(st.lists(st.tuples(st.floats(0, 9), st.integers(0, 9)), min_size=1, max_size=8), st.data())
def test_a_division_sums_to_n_within_the_limits(
    groups: list[tuple[float, int]], data: st.DataObject
) -> None:
    weights, most = zip(*groups, strict=True)
    n = data.draw(st.integers(0, sum(most)))
    found = divide(n, weights, most)
    assert found.sum() == n
    assert (found >= 0).all()
    assert (found <= most).all()
    if sum(weights) > 1e-6:
        # A group with room gets at least its share, rounded down.
        share = np.floor(n * np.array(weights) / sum(weights) - 1e-6)
        assert (found >= np.minimum(share, most)).all()


def test_a_division_without_limits_is_by_largest_remainder() -> None:
    assert divide(10, [5, 3, 1], [99] * 3).tolist() == [6, 3, 1]
    assert divide(5, [1, 1, 1], [99] * 3).tolist() == [2, 2, 1]


def test_what_a_small_group_cannot_take_goes_to_the_others() -> None:
    assert divide(10, [1, 1, 1], [1, 99, 99]).tolist() == [1, 5, 4]


def test_each_vector_belongs_to_its_nearest_centre() -> None:
    rows = vectors(300)
    centres, labels = k_means(rows, 7, seed=0)
    distances = ((rows[:, None] - centres) ** 2).sum(axis=2)
    assert labels.tolist() == distances.argmin(axis=1).tolist()
    assert labels.tolist() == assign(rows, centres).tolist()
    assert len(centres) == 7


@pytest.mark.parametrize("copies", [5, 500])
def test_there_are_no_more_clusters_than_different_vectors(copies: int) -> None:
    """And the library's warning about duplicates is not passed on."""
    centres, labels = k_means(np.repeat(vectors(3), copies, axis=0), 9, seed=0)
    assert len(centres) == len(set(labels.tolist())) == 3


def test_groups_keep_the_order_and_take_turns() -> None:
    groups = members([1, 0, 1, 1], 2)
    assert [group.tolist() for group in groups] == [[1], [0, 2, 3]]
    assert in_turns(groups).tolist() == [1, 0, 2, 3]
