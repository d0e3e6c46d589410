"""Distributions compared with scipy's, and the lattice of normal numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri, stdtrit
from scipy.stats import norm

from labelcast.forecast.distributions import (
    lattice_normals,
    normal_cdf,
    normal_quantile,
    t_quantile,
)

PROBABILITIES = st.floats(0.0005, 0.9995)


@given(PROBABILITIES, st.floats(2, 500))
def test_t_quantile_is_scipys(probability: float, df: float) -> None:
    """Student's t quantile agrees with scipy's, also for degrees of freedom that are not whole."""
    expected = float(stdtrit(df, probability))
    assert t_quantile(probability, df) == pytest.approx(expected, rel=1e-5, abs=1e-8)


@given(PROBABILITIES, st.floats(1, 2))
def test_t_quantile_of_few_degrees_of_freedom(probability: float, df: float) -> None:
    """Below two degrees of freedom three digits are right."""
    expected = float(stdtrit(df, probability))
    assert t_quantile(probability, df) == pytest.approx(expected, rel=1e-3, abs=1e-8)


@given(st.floats(1e-12, 1 - 1e-12))
def test_normal_quantile_is_scipys(probability: float) -> None:
    """The normal quantile agrees with scipy's."""
    assert normal_quantile(probability) == pytest.approx(float(ndtri(probability)), abs=1e-10)


@given(st.lists(st.floats(-30, 30), max_size=20))
def test_normal_cdf_is_scipys(values: list[float]) -> None:
    """The normal distribution function agrees with scipy's, in any shape."""
    z = np.array(values)
    np.testing.assert_allclose(normal_cdf(z), ndtr(z), atol=1e-14)
    assert normal_cdf(z.reshape(-1, 1)).shape == (len(values), 1)


def test_numbers_are_normal_and_uncorrelated() -> None:
    """Every column has normal quantiles, and no two columns are correlated."""
    for seed in (0, 1, 17):
        normals = lattice_normals(2000, 7, seed)
        for column in normals.T:
            found = np.quantile(column, [0.05, 0.25, 0.5, 0.75, 0.95])
            np.testing.assert_allclose(found, norm.ppf([0.05, 0.25, 0.5, 0.75, 0.95]), atol=0.06)
        correlation = np.corrcoef(normals.T)
        assert np.abs(correlation - np.eye(7)).max() < 0.03


def test_every_run_of_rows_is_spread_evenly() -> None:
    """A hundred successive rows, such as one component's, have a mean near 0 and an sd near 1."""
    normals = lattice_normals(2000, 7, 0)
    for start in range(0, 1900, 100):
        run = normals[start : start + 100]
        assert np.abs(run.mean(axis=0)).max() < 0.25
        assert np.abs(run.std(axis=0) - 1).max() < 0.25


def test_the_seed_decides() -> None:
    """One seed gives the same numbers, and more rows begin with fewer."""
    assert np.array_equal(lattice_normals(100, 7, 3), lattice_normals(200, 7, 3)[:100])
    assert not np.array_equal(lattice_normals(100, 7, 3), lattice_normals(100, 7, 4))
