from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from selection.small_selection import vectors

from labelcast.errors import InputError
from labelcast.selection.methods import gp_variance
from labelcast.selection.methods.gp_variance import GpVariance
from labelcast.selection.pool import Pool
from labelcast.selection.selector import select


@pytest.mark.parametrize("kernel", ["rbf", "cosine"])
def test_each_has_the_largest_posterior_variance(kernel: Literal["rbf", "cosine"]) -> None:
    """Variances from the inverse of the kernel matrix; the same choice as greedy log det."""
    rows = vectors(40).astype(np.float64)
    found = select(GpVariance(kernel=kernel, length=0.7), Pool(embeddings=rows), 10, seed=1)
    cosine = rows @ rows.T
    full = cosine if kernel == "cosine" else np.exp(-(2 - 2 * cosine) / (2 * 0.7**2))
    chosen = [int(found.positions[0])]
    values = [full[chosen[0], chosen[0]]]
    while len(chosen) < 10:
        inside = np.linalg.inv(full[np.ix_(chosen, chosen)] + 0.1 * np.eye(len(chosen)))
        variance = np.diag(full) - np.einsum(
            "ia,ab,ib->i", full[:, chosen], inside, full[:, chosen]
        )
        variance[chosen] = -np.inf
        dets = [
            -np.inf
            if j in chosen
            else np.linalg.slogdet(
                full[np.ix_([*chosen, j], [*chosen, j])] + 0.1 * np.eye(len(chosen) + 1)
            )[1]
            for j in range(40)
        ]
        assert int(np.argmax(dets)) == int(variance.argmax())
        chosen.append(int(variance.argmax()))
        values.append(variance.max())
    assert found.positions.tolist() == chosen
    np.testing.assert_allclose(found.values, values, atol=1e-4)


def test_a_factor_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gp_variance, "MOST", 100)
    with pytest.raises(InputError, match="Choose 2 or fewer"):
        select(GpVariance(), Pool(embeddings=vectors(40)), 3)


def test_the_first_is_drawn_by_the_seed() -> None:
    pool = Pool(embeddings=vectors(40))
    assert len({int(select(GpVariance(), pool, 1, seed=s).positions[0]) for s in range(8)}) > 3
