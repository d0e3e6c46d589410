"""The tilt towards the headroom rule."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelcast.forecast.distributions import lattice_normals
from labelcast.forecast.families import Prior
from labelcast.forecast.observed import Noise, NoisyScore, Scores
from labelcast.forecast.particles import LOG_NODES, Draws
from labelcast.forecast.posterior import HEADROOM_WEIGHT, Tilt, headroom_tilt

PRIOR = Prior.load()


def _draws(slopes: np.ndarray) -> Draws:
    curves = np.clip(0.4 + slopes[:, None] * LOG_NODES, 0, 1)
    size = len(slopes)
    level = np.full(size, 0.4)
    return Draws(curves, level, level + 0.5, level / 20, np.full(size, 1 / size))


@given(st.floats(0.1, 0.9), st.floats(0, 1))
def test_a_normal_gain_moves_by_the_weight(rule: float, weight: float) -> None:
    """The mean moves that share of the distance to the rule, by at most one sd.

    The normal score of a rank is a logistic approximation with heavier tails: the shift comes out
    too large, by under a tenth up to half an sd and by 17.04% at one sd.
    """
    gained = 0.5 + 0.1 * lattice_normals(4000, 1, 0)[:, 0]
    even = np.full((4000, 1), 1 / 4000)
    factors = Tilt(gained, rule, weight).factors(even)
    moved = float(gained @ factors[:, 0] / factors.sum())
    expected = np.clip(weight * (rule - 0.5), -gained.std(), gained.std())
    too_large = 0.1 if abs(expected) <= 0.05 else 0.1705
    assert moved - 0.5 == pytest.approx(expected, rel=too_large, abs=1e-4)
    assert abs(moved - 0.5) >= abs(expected) - 1e-4


@given(st.lists(st.floats(0.01, 1), min_size=5, max_size=5), st.floats(0.1, 100))
def test_factors_do_not_depend_on_the_sum_of_the_weights(weights: list[float], unit: float) -> None:
    """Each column is tilted by itself, in any unit of its weights."""
    found = Tilt(np.linspace(0, 1, 5), 0.3, 0.5)
    column = np.array(weights)[:, None]
    one, two = found.factors(column), found.factors(np.hstack([unit * column, column[::-1]]))
    np.testing.assert_allclose(two[:, 0], one[:, 0], rtol=1e-9)
    assert (one > 0).all()


def test_equal_gains_keep_equal_weights() -> None:
    """Draws without any spread get the same weight."""
    factors = Tilt(np.full(4, 0.2), 0.9, 0.5).factors(np.full((4, 1), 0.25))
    np.testing.assert_allclose(factors, factors[0, 0])


def test_factors_are_finite() -> None:
    """One draw with nearly all of the weight gives no infinite factor."""
    lone = np.array([[1.0], [1e-300], [1e-300]])
    assert np.isfinite(Tilt(np.array([0.0, 0.5, 1.0]), 0.9, 0.5).factors(lone)).all()


def _scores(n: float, score: float, distinct: int = 1) -> Scores:
    """The last of scores at so many budgets."""
    before = [NoisyScore(n * (k + 1) / distinct, 0.1, Noise()) for k in range(distinct - 1)]
    return Scores((*before, NoisyScore(n, score, Noise())))


def test_the_rule_is_read_at_the_last_budget() -> None:
    """Its share is that of the published curves; near 5,000 labels the rule is not used."""
    draws = _draws(np.linspace(0.0, 0.05, 50))
    found = headroom_tilt(draws, PRIOR, _scores(50, 0.5))
    assert found is not None
    expected = np.interp(np.log(50), np.log(PRIOR.headroom_n), PRIOR.headroom_share)
    assert found.rule == pytest.approx(expected)
    assert (np.diff(found.gained) >= 0).all() and found.gained[0] == 0
    assert headroom_tilt(draws, PRIOR, _scores(4000, 0.5)) is None


@given(st.floats(0, 1), st.integers(1, 30))
def test_the_rule_weakens_with_more_budgets_and_with_a_low_score(
    score: float, distinct: int
) -> None:
    """It is weighted HEADROOM_WEIGHT / budgets, and proportionally less below a score of .2."""
    found = headroom_tilt(_draws(np.linspace(0.0, 0.05, 5)), PRIOR, _scores(50, score, distinct))
    assert found is not None
    assert found.weight == pytest.approx(HEADROOM_WEIGHT / distinct * min(1, score / 0.2))
    assert 0 <= found.weight < 1
