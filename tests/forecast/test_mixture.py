"""Kernels merged to a mixture."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcast.forecast.mixture import reduced


@given(st.integers(2, 30), st.integers(1, 12), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_merging_keeps_mean_and_covariance(kernels: int, components: int, seed: int) -> None:
    """However few components are left, mean and covariance are those of the kernel density."""
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.1, 1, kernels)
    weights /= weights.sum()
    means, kernel = rng.normal(size=(kernels, 3)), np.diag([0.5, 1.0, 2.0])
    mixture = reduced(weights, means, kernel, components)
    centre = weights @ means
    spread = (means - centre).T @ ((means - centre) * weights[:, None]) + kernel
    gaps = mixture.means - mixture.weights @ mixture.means
    assert len(mixture.weights) <= components
    assert mixture.weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(mixture.weights @ mixture.means, centre, atol=1e-10)
    between = gaps.T @ (gaps * mixture.weights[:, None])
    np.testing.assert_allclose(mixture.within + between, spread, atol=1e-10)


def test_order_of_kernels_is_of_no_matter_and_none_is_left_alone() -> None:
    """Kernels in another order give the same mixture; a lone outlier is merged too."""
    rng = np.random.default_rng(0)
    means = np.concatenate([rng.normal(size=(10, 2)), [[50.0, 50.0]]])
    weights, kernel = np.ones(11) / 11, np.eye(2)
    one = reduced(weights, means, kernel, 4)
    two = reduced(weights, means[::-1], kernel, 4)
    np.testing.assert_allclose(one.means, two.means, atol=1e-12)
    np.testing.assert_allclose(one.covariances, two.covariances, atol=1e-12)
    assert np.abs(one.means - 50.0).min() > 1
