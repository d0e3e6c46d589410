"""What zero-shot and ceiling may be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelcast.forecast.ceiling import Ends, equal_quantiles, hypotheses
from labelcast.forecast.observed import ScoreObservation, checked

ENDS = Ends(np.linspace(0.0, 0.9, 33), np.linspace(0.3, 1.0, 33))
SCORES = st.lists(
    st.builds(ScoreObservation, st.integers(50, 5000), st.floats(0, 1), st.floats(0, 0.1)),
    max_size=4,
)


@given(SCORES, st.none() | st.floats(0, 0.9), st.none() | st.floats(0.95, 1.0))
def test_every_pair_could_be(
    scores: list[ScoreObservation], zero_shot: float | None, ceiling: float | None
) -> None:
    """The ceiling lies above zero-shot, weights sum to 1, and what is known is kept."""
    seen = checked(scores)
    found = hypotheses(ENDS, seen, zero_shot, ceiling)
    assert (found.span > 0).all()
    assert np.exp(found.log_weight).sum() == pytest.approx(1)
    if zero_shot is not None:
        assert (found.zero_shot == zero_shot).all()
    if ceiling is None:
        assert (found.ceiling >= seen.least_best - 1e-9).all()
    else:
        assert (found.ceiling == ceiling).all()


def test_scores_rule_out_ceilings_below_and_zero_shots_above() -> None:
    """A precise score of 0.8 leaves no ceiling under it, one of 0.4 no zero-shot over it."""
    seen = checked([ScoreObservation(50, 0.4, 0.001), ScoreObservation(100, 0.8, 0.001)])
    found = hypotheses(ENDS, seen, None, None)
    assert found.ceiling.min() > 0.79 and found.zero_shot.max() < 0.41


def test_a_best_score_above_every_ceiling_leaves_the_perfect_score() -> None:
    """Where no other task's ceiling is high enough, a perfect score is."""
    low = Ends(ENDS.zero_shot, np.full(33, 0.5))
    found = hypotheses(low, checked([ScoreObservation(50, 0.9, 0.0)]), 0.2, None)
    assert found.ceiling.tolist() == [1.0]


def test_quantiles_keep_order_range_and_weights() -> None:
    """Quantiles rise within the values; a value of twice the weight counts twice."""
    values, weights = np.array([0.9, 0.1, 0.5]), np.array([1.0, 2.0, 1.0])
    quantiles = equal_quantiles(values, weights)
    assert quantiles.shape == (33,) and (np.diff(quantiles) >= 0).all()
    assert quantiles.min() >= 0.1 and quantiles.max() <= 0.9
    twice = equal_quantiles(np.array([0.9, 0.1, 0.1, 0.5]), np.ones(4))
    assert np.median(quantiles) == pytest.approx(np.median(twice), abs=0.1)
