from __future__ import annotations

import numpy as np
import pytest
from selection.small_selection import vectors

from labelcast.selection.clusters import k_means
from labelcast.selection.methods.typical import Typical
from labelcast.selection.pool import Pool
from labelcast.selection.selector import select


def test_each_is_the_densest_of_its_cluster() -> None:
    rows = vectors(120)
    found = select(Typical(), Pool(embeddings=rows), 6, seed=2)
    labels = k_means(rows, 6, 2)[1]
    sizes = np.bincount(labels)
    expected = []
    for cluster in np.argsort(-sizes, kind="stable"):
        inside = np.flatnonzero(labels == cluster)
        distances = np.linalg.norm(rows[inside][:, None] - rows[inside], axis=2)
        nearest = np.sort(distances, axis=1)[:, 1 : min(20, len(inside) - 1) + 1]
        typicality = 1 / nearest.mean(axis=1)
        expected.append((int(inside[typicality.argmax()]), float(typicality.max())))
    assert found.positions.tolist() == [position for position, _ in expected]
    np.testing.assert_allclose(found.values, [value for _, value in expected], rtol=1e-3)


def test_more_than_the_clusters_are_taken_in_turns() -> None:
    """With at most 3 clusters, the 9 chosen are 3 of each."""
    rows = vectors(120)
    found = select(Typical(most=3), Pool(embeddings=rows), 9, seed=0)
    labels = k_means(rows, 3, 0)[1]
    assert np.bincount(labels[found.positions]).tolist() == [3, 3, 3]
    assert sorted(labels[found.positions[:3]].tolist()) == [0, 1, 2]


@pytest.mark.parametrize("n", [2, 3])
def test_a_cluster_of_few_is_used_last(n: int) -> None:
    """Two clusters of 20, and one of two examples far from both."""
    rng = np.random.default_rng(0)
    centres = np.repeat(np.eye(4)[:3], [20, 20, 2], axis=0)
    rows = centres + rng.normal(0, 0.02, centres.shape)
    found = select(Typical(most=3), Pool(embeddings=rows), 3, seed=0).positions.tolist()
    assert all(position < 40 for position in found[:n])
