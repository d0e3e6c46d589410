"""The latent axis."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelcast.forecast.warp import latent_slope, to_gain, to_latent


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10))
def test_warping_there_and_back_is_the_identity(gains: list[float]) -> None:
    """A gain within 0 to 1 survives the way to the latent axis and back."""
    np.testing.assert_allclose(to_gain(to_latent(gains)), gains, atol=1e-12)


@given(st.floats(-5, 5), st.floats(-5, 5))
def test_warping_keeps_the_order(a: float, b: float) -> None:
    """More gain is never a smaller latent value; what lies far outside stays finite."""
    low, high = to_latent([min(a, b), max(a, b)])
    assert np.isfinite([low, high]).all() and low <= high


@given(st.floats(-0.5, 1.5))
def test_slope_is_positive_and_that_of_the_warp(gain: float) -> None:
    """The slope is above 0 everywhere and inside 0 to 1 that of the warp."""
    slope = float(latent_slope(gain))
    assert slope > 0.9
    if 0.01 < gain < 0.99:
        near = to_latent([gain - 1e-5, gain + 1e-5])
        assert slope == pytest.approx(float(np.diff(near)[0]) / 2e-5, rel=1e-3)
