from __future__ import annotations

import numpy as np
import pytest
from selection.small_selection import vectors

from labelcast.selection import clusters, neighbours


def test_the_neighbours_are_those_of_the_largest_cosine(monkeypatch: pytest.MonkeyPatch) -> None:
    """In any size of blocks."""
    rows = vectors(50)
    cosine = rows @ rows.T
    np.fill_diagonal(cosine, -np.inf)
    expected = np.argsort(-cosine, axis=1)[:, :6]
    for block in (10**6, 130):
        monkeypatch.setattr(clusters, "_BLOCK", block)
        places, values = neighbours.nearest(rows, 6, seed=0)
        assert places.tolist() == expected.tolist()
        np.testing.assert_allclose(values, np.take_along_axis(cosine, expected, axis=1), atol=1e-6)


def test_cells_miss_few_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    """With cells, most true neighbours are found, in clustered data as embeddings are."""
    rng = np.random.default_rng(0)
    rows = (vectors(30, 8)[rng.integers(30, size=2000)] + rng.normal(0, 0.1, (2000, 8))).astype(
        np.float32
    )
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    exact, _ = neighbours.nearest(rows, 10, seed=0)
    monkeypatch.setattr(neighbours, "EXACT", 100)
    monkeypatch.setattr(neighbours, "_CELL", 60)
    found, _ = neighbours.nearest(rows, 10, seed=0)
    assert all(len(set(row.tolist())) == 10 for row in found)
    shared = [len({*a.tolist()} & {*b.tolist()}) for a, b in zip(exact, found, strict=True)]
    assert np.mean(shared) > 9


@pytest.mark.parametrize("columns", [40, 1000, 1007])
def test_the_largest_of_each_row(columns: int) -> None:
    """In narrow and in wide rows, also among equal values."""
    values = np.random.default_rng(0).integers(0, 50, (30, columns)).astype(np.float32)
    values[:10] += np.random.default_rng(1).random((10, columns), dtype=np.float32)
    places, found = neighbours.largest(values, 9)
    np.testing.assert_array_equal(np.sort(found), np.sort(values)[:, -9:])
    np.testing.assert_array_equal(np.take_along_axis(values, places, axis=1), found)
    assert all(len({*row.tolist()}) == 9 for row in places)


def test_cells_have_enough_neighbours_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Among duplicates a cell may be the only one that is large, and is divided."""
    rows = np.vstack([np.repeat(vectors(1), 190, axis=0), vectors(10, seed=1)])
    monkeypatch.setattr(neighbours, "EXACT", 100)
    monkeypatch.setattr(neighbours, "_CELL", 10)
    monkeypatch.setattr(neighbours, "_PROBES", 1)
    found, _ = neighbours.nearest(rows, 20, seed=0)
    assert all(len(set(row.tolist())) == 20 for row in found)
    assert all(number not in row for number, row in enumerate(found))
