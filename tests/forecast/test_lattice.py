"""Normal numbers that fill space evenly."""

import numpy as np
from scipy.stats import norm

from labelcast.forecast.lattice import lattice_normals


def test_numbers_are_normal_and_unrelated() -> None:
    """Every column has the normal's quantiles, and no two columns go together."""
    for seed in (0, 1, 17):
        normals = lattice_normals(2000, 7, seed)
        for column in normals.T:
            found = np.quantile(column, [0.05, 0.25, 0.5, 0.75, 0.95])
            np.testing.assert_allclose(found, norm.ppf([0.05, 0.25, 0.5, 0.75, 0.95]), atol=0.06)
        correlation = np.corrcoef(normals.T)
        assert np.abs(correlation - np.eye(7)).max() < 0.03


def test_every_run_of_rows_is_spread_evenly() -> None:
    """A hundred rows in a row, such as one component's, have a mean near 0 and an sd near 1."""
    normals = lattice_normals(2000, 7, 0)
    for start in range(0, 1900, 100):
        run = normals[start : start + 100]
        assert np.abs(run.mean(axis=0)).max() < 0.25
        assert np.abs(run.std(axis=0) - 1).max() < 0.25


def test_the_seed_decides() -> None:
    """One seed gives the same numbers, and more rows begin with fewer."""
    assert np.array_equal(lattice_normals(100, 7, 3), lattice_normals(200, 7, 3)[:100])
    assert not np.array_equal(lattice_normals(100, 7, 3), lattice_normals(100, 7, 4))
