"""The normal distribution and Student's t, against scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri, stdtrit

from labelcast.forecast.student import normal_cdf, normal_quantile, t_quantile

PROBABILITIES = st.floats(0.0005, 0.9995)


@given(PROBABILITIES, st.floats(2, 500))
def test_t_quantile_is_scipys(probability: float, df: float) -> None:
    """Student's t quantile agrees with scipy's, for whole and broken degrees of freedom."""
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
