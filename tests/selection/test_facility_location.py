from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from selection.small_selection import vectors

from labelcast.selection.methods.facility_location import FacilityLocation
from labelcast.selection.pool import Pool
from labelcast.selection.selector import select


def naive(similar: NDArray[np.float64], n: int) -> tuple[list[int], list[float]]:
    chosen: list[int] = []
    gains: list[float] = []
    for _ in range(n):
        total = similar[:, chosen].max(axis=1).sum() if chosen else 0.0
        totals = [
            -np.inf if j in chosen else similar[:, [*chosen, j]].max(axis=1).sum()
            for j in range(len(similar))
        ]
        # Rounded: two examples that serve only each other have the same gain.
        chosen.append(int(np.argmax(np.round(totals, 7))))
        gains.append(float(max(totals) - total))
    return chosen, gains


@pytest.mark.parametrize("seed", range(10))
def test_the_dense_choice_is_naive_greedys(seed: int) -> None:
    pool = Pool(embeddings=vectors(50, seed=seed))
    found = select(FacilityLocation(), pool, 12)
    double = vectors(50, seed=seed).astype(np.float64)
    double /= np.linalg.norm(double, axis=1, keepdims=True)
    chosen, gains = naive(np.maximum(double @ double.T, 0), 12)
    assert found.positions.tolist() == chosen
    np.testing.assert_allclose(found.values, gains, atol=1e-5)


def test_two_that_serve_only_each_other_are_taken_in_order() -> None:
    """Rounding of their lengths decides nothing."""
    for rows in ([[0.3, 0.8, 0.3], [-1.3, 0.9, 0.4]], vectors(2), vectors(2, seed=1)):
        assert select(FacilityLocation(), Pool(embeddings=rows), 1).positions.tolist() == [0]


def test_a_vector_of_zeros_serves_nothing() -> None:
    rows = np.vstack([np.zeros((1, 5), np.float32), vectors(20)])
    for dense in (4000, 10):
        found = select(FacilityLocation(dense=dense, neighbours=5), Pool(embeddings=rows), 21)
        assert found.positions[-1] == 0
        assert found.values[-1] == 0


@pytest.mark.parametrize("neighbours", [3, 48])
def test_the_graphs_choice_is_naive_greedys_on_the_graph(neighbours: int) -> None:
    """An edge counts in both directions; with all neighbours it is the dense matrix."""
    rows = vectors(50)
    found = select(FacilityLocation(dense=10, neighbours=neighbours), Pool(embeddings=rows), 12)
    cosine = rows.astype(np.float64) @ rows.T
    alone = np.where(np.eye(50, dtype=bool), -np.inf, cosine)
    edge = alone >= np.sort(alone, axis=1)[:, -neighbours][:, None]
    similar = np.where(edge | edge.T | np.eye(50, dtype=bool), np.maximum(cosine, 0), 0)
    chosen, gains = naive(similar, 12)
    assert found.positions.tolist() == chosen
    np.testing.assert_allclose(found.values, gains, atol=1e-5)


@pytest.mark.parametrize("dense", [10, 4000])
def test_the_order_of_the_pool_changes_nothing(dense: int) -> None:
    rows, order = vectors(60), np.random.default_rng(3).permutation(60)
    made = FacilityLocation(dense=dense, neighbours=8)
    first = select(made, Pool(embeddings=rows), 10)
    second = select(made, Pool(embeddings=rows[order]), 10)
    assert order[second.positions].tolist() == first.positions.tolist()


@pytest.mark.parametrize("dense", [10, 4000])
def test_gains_never_rise(dense: int) -> None:
    made = FacilityLocation(dense=dense, neighbours=5)
    values = select(made, Pool(embeddings=vectors(60)), 60).values
    assert (np.diff(values) < 1e-9).all()
    assert (values >= 0).all()
