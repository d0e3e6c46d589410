from __future__ import annotations

import numpy as np
from selection.small_selection import vectors

from labelcast.selection.methods.k_centre import KCentre
from labelcast.selection.pool import Pool
from labelcast.selection.selector import select


def test_each_choice_is_farthest_from_those_before() -> None:
    """As algorithm 1 of Sener and Savarese, with all distances."""
    rows = vectors(80).astype(np.float64)
    found = select(KCentre(), Pool(embeddings=rows), 20, seed=4)
    distances = np.linalg.norm(rows[:, None] - rows, axis=2)
    chosen = [int(found.positions[0])]
    while len(chosen) < 20:
        chosen.append(int(distances[:, chosen].min(axis=1).argmax()))
    assert found.positions.tolist() == chosen
    expected = [distances[j, chosen[:i]].min() for i, j in enumerate(chosen) if i]
    np.testing.assert_allclose(found.values[1:], expected, rtol=1e-4)
    assert np.isinf(found.values[0])


def test_the_first_depends_on_the_seed_alone() -> None:
    pool = Pool(embeddings=vectors(80))
    firsts = {int(select(KCentre(), pool, 1, seed=seed).positions[0]) for seed in range(8)}
    assert len(firsts) > 4


def test_the_order_of_the_pool_changes_nothing_after_the_first() -> None:
    rows, n = vectors(50), 12
    first = select(KCentre(), Pool(embeddings=rows), n, seed=0)
    start = int(first.positions[0])
    order = np.random.default_rng(1).permutation(50)
    # The seed draws the same position: put the same example there.
    there = int(np.flatnonzero(order == start)[0])
    order[[start, there]] = order[[there, start]]
    second = select(KCentre(), Pool(embeddings=rows[order]), n, seed=0)
    assert order[second.positions].tolist() == first.positions.tolist()


def test_duplicates_have_distance_0_and_come_in_order() -> None:
    rows = np.tile(vectors(4), (10, 1))
    found = select(KCentre(), Pool(embeddings=rows), 6, seed=1)
    assert (found.values[4:] == 0).all()
    rest = [row for row in range(40) if row not in found.positions[:4]]
    assert found.positions[4:].tolist() == rest[:2]


def test_lengths_of_vectors_do_not_count() -> None:
    rows = vectors(30)
    scaled = rows * np.arange(1, 31)[:, None]
    first, second = (select(KCentre(), Pool(embeddings=e), 9, seed=2) for e in (rows, scaled))
    assert first.positions.tolist() == second.positions.tolist()
