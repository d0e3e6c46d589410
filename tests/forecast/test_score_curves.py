"""Curves on the score's own scale, and the noise of a score."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student_t

from labelcast.forecast import score_curves
from labelcast.forecast.score_curves import (
    DEGREES,
    JUMP_WIDTH,
    curve_scores,
    log_likelihood,
    logit,
    seed_variance,
    sigmoid,
)

FITTED = st.tuples(
    st.floats(-4, 3),  # logit of the bottom
    st.floats(-3, 2),  # log of the rise
    st.floats(0, 12),  # log of the labels in the middle
    st.floats(-1, 1.5),
    st.floats(-0.7, 1.5),
    st.floats(-6, -1),
    st.floats(-4, 3),
)


def _ends(row: tuple[float, ...]) -> tuple[float, float]:
    eta, gamma = row[:2]
    bottom, top = sigmoid(np.array([eta, eta + math.exp(gamma)]))
    return float(bottom), float(top)


@given(FITTED)
def test_a_curve_rises_from_its_bottom_to_its_top(row: tuple[float, ...]) -> None:
    """It never falls, and its limits are the sigmoids of the two ends."""
    curve = curve_scores(np.array([row]), np.linspace(-200, 200, 201))[0]
    bottom, top = _ends(row)
    assert (np.diff(curve) >= -1e-12).all()
    assert curve[0] == pytest.approx(bottom, abs=1e-6)
    assert curve[-1] == pytest.approx(top, abs=1e-6)


def test_the_middle_parameter_is_where_half_is_gained() -> None:
    """With both exponents 1, half of the rise is done at the labels of the middle."""
    row = np.array([[-1.0, 0.5, math.log(200), 0.0, 0.0, -3.0, 0.0]])
    bottom, top = _ends(tuple(row[0]))
    found = curve_scores(row, np.log([200.0]))[0, 0]
    assert found == pytest.approx((bottom + top) / 2)


@given(FITTED, st.floats(0, 0.999), st.floats(2, 12))
def test_a_jump_takes_a_share_of_the_headroom(
    row: tuple[float, ...], jump: float, log_n: float
) -> None:
    """Far before it nothing changes, in its middle half of it is done, far after it all of it."""
    at = np.array([log_n - 40 * JUMP_WIDTH, log_n, log_n + 40 * JUMP_WIDTH])
    plain = curve_scores(np.array([row]), at)[0]
    jumping = curve_scores(np.array([[*row, jump, log_n]]), at)[0]
    gained = (jumping - plain) / (1 - plain)
    assert gained == pytest.approx([0, jump / 2, jump], abs=1e-9)


@given(st.floats(0, 1), st.floats(1, 1e6))
def test_test_set_noise_is_binomial(score: float, size: float) -> None:
    """One success and one failure are added; an infinite test set has no noise."""
    share = (score * size + 1) / (size + 2)
    found = float(score_curves.test_variance(np.float64(score), size))
    assert found == pytest.approx(share * (1 - share) / size)
    assert found > 0
    assert score_curves.test_variance(np.array([score]), math.inf).tolist() == [0.0]


@given(st.floats(0, 1), st.floats(0.001, 0.3), st.floats(1, 1e5))
def test_seed_noise_falls_with_labels_and_vanishes_at_the_ends(
    score: float, tau: float, n: float
) -> None:
    """It is tau at 100 labels and a half, flat below 10 labels, and falls like n^-1/4."""
    half, taus = np.float64(0.5), np.float64(tau)
    assert float(seed_variance(half, 100, taus)) == pytest.approx(tau**2)
    assert float(seed_variance(half, 1, taus)) == float(seed_variance(half, 10, taus))
    here, later = (float(seed_variance(np.float64(score), m, taus)) for m in (n, 16 * n))
    assert later <= here
    if n >= 10:
        assert math.sqrt(later) == pytest.approx(math.sqrt(here) / 2)
    assert float(seed_variance(np.float64(1.0), n, taus)) == 0


@given(st.floats(-1, 1), st.floats(1e-6, 0.1))
def test_noise_is_students_t(residual: float, variance: float) -> None:
    """The density is scipy's with 3 degrees of freedom, up to a constant."""
    scale = math.sqrt(variance)
    constant = student_t.logpdf(0, DEGREES)
    found = float(log_likelihood(np.array([residual]), np.array([variance]))[0])
    expected = student_t.logpdf(residual, DEGREES, scale=scale) - constant
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(st.floats(1e-6, 1 - 1e-6))
def test_logit_is_the_inverse(score: float) -> None:
    """The logistic function of the log odds is the score."""
    assert float(sigmoid(logit(np.float64(score)))) == pytest.approx(score, rel=1e-9)
