"""How similar examples are: the order of the heat map, pairs and means."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from coslow_runs import answered_run, cosines

from labelcast.report.examples import MOST, Similarity, clustered, read_similarity


@pytest.mark.parametrize("count", [1, 2, 3, 8, 33])
def test_the_order_is_a_permutation(count: int) -> None:
    """Every example is in it once, and the same matrix gives the same order."""
    found = cosines(count)
    assert sorted(clustered(found)) == list(range(count))
    assert clustered(found) == clustered(found.copy())


def test_similar_examples_are_together() -> None:
    """Two kinds become two blocks, and duplicates become neighbours."""
    found = cosines(32)
    order = clustered(found)
    kinds = [position % 2 for position in order]
    assert sum(a != b for a, b in pairwise(kinds)) == 1
    found[5], found[:, 5] = found[20], found[:, 20]
    found[5, 5] = found[5, 20] = found[20, 5] = 1.0
    order = clustered(found)
    assert abs(order.index(5) - order.index(20)) == 1


def test_the_order_does_not_depend_on_the_order_of_the_examples() -> None:
    """Shuffled examples give the same neighbours."""
    found = cosines(12, seed=3)
    shuffled = np.random.default_rng(1).permutation(12)
    order = clustered(found)
    again = [int(shuffled[i]) for i in clustered(found[np.ix_(shuffled, shuffled)])]
    assert tuple(again) in (order, order[::-1])


def test_equal_examples_have_an_order() -> None:
    """All equal, or all opposed: there is no distance between them, and no error."""
    for matrix in (np.ones((5, 5)), 2 * np.eye(5) - 1):
        assert sorted(clustered(matrix)) == list(range(5))


def test_pairs_and_means_are_those_of_the_matrix(tmp_path: Path) -> None:
    """The most similar pair comes first, the least similar last; means leave out the diagonal."""
    found = read_similarity(answered_run(tmp_path, low=6))
    assert found is not None
    pairs = found.pairs(3)
    values = found.cosines[np.triu_indices(6, 1)]
    assert pairs[0].cosine == values.max() and pairs[-1].cosine == values.min()
    assert len(pairs) == 4
    others = [found.cosines[0, j] for j in range(1, 6)]
    assert found.means[found.ids[0]] == pytest.approx(np.mean(others))


def test_a_large_matrix_is_shown_in_part() -> None:
    """`MOST` different examples, evenly spaced in the order."""
    count = 3 * MOST
    found = Similarity(tuple(map(str, range(count))), np.eye(count), tuple(range(count)))
    assert len(set(found.shown)) == MOST
    assert (found.shown[0], found.shown[-1]) == (0, count - 1)
