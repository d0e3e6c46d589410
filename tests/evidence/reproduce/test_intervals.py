"""Points and intervals from weighted samples."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evidence.reproduce.intervals import interval, label_interval
from labelcast.forecast.distributions import weighted_quantiles
from labelcast.forecast.efficiency import Array

VALUES = st.lists(
    st.tuples(st.floats(0, 5000) | st.just(math.inf), st.floats(0.01, 1)), min_size=1, max_size=40
)


def _split(pairs: list[tuple[float, float]]) -> tuple[Array, Array]:
    values, weights = np.array(pairs).T
    return values, weights / weights.sum()


@given(VALUES, st.floats(0.01, 0.99))
def test_quantile_is_the_smallest_value_with_that_share_below(
    pairs: list[tuple[float, float]], p: float
) -> None:
    """A quantile is a sample's own value, and that share of the weight lies at or below it."""
    values, weights = _split(pairs)
    found = weighted_quantiles(values, weights, [p])[0]
    assert found in values
    assert weights[values <= found].sum() >= p - 1e-9
    assert weights[values < found].sum() < p + 1e-9


@given(VALUES, st.floats(0.05, 0.98), st.floats(0.05, 0.98), st.booleans())
def test_intervals_nest_and_hold_the_median(
    pairs: list[tuple[float, float]], a: float, b: float, shifted: bool
) -> None:
    """A higher level's interval holds a lower one's, and each holds the median."""
    values, weights = _split(pairs)
    median = weighted_quantiles(values, weights, [0.5])[0]
    inner, outer = (label_interval(values, weights, v, shifted=shifted) for v in sorted((a, b)))
    assert outer[0] <= inner[0] <= median <= inner[1] <= outer[1]
    inner, outer = (interval(values, weights, v) for v in sorted((a, b)))
    assert outer[0] <= inner[0] <= median <= inner[1] <= outer[1]


@given(VALUES)
def test_a_sample_without_weight_is_not_there(pairs: list[tuple[float, float]]) -> None:
    """Samples of weight 0 change nothing."""
    values, weights = _split(pairs)
    more = np.append(values, [0.0, 9e9]), np.append(weights, [0.0, 0.0])
    probabilities = [0.0, 0.3, 1.0]
    np.testing.assert_array_equal(
        weighted_quantiles(*more, probabilities), weighted_quantiles(values, weights, probabilities)
    )


def test_lower_end_takes_the_tail_that_an_open_end_cannot_use() -> None:
    """Where a fifth never reach the target, the lower end is the tenth percentile, not the 5th."""
    labels = np.append(np.arange(1.0, 81.0), np.full(20, math.inf))
    weights = np.ones(100) / 100
    assert label_interval(labels, weights, 0.9) == (10, math.inf)
    assert label_interval(labels, weights, 0.9, shifted=False) == (5, math.inf)
    assert label_interval(labels[:80], weights[:80], 0.9) == (4, 76)
