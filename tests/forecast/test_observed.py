"""Observed scores: their noise, their groups, and their likelihood under a curve."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student_t

from labelcast.forecast import observed
from labelcast.forecast.observed import (
    ASSUMED_SIZE,
    DEGREES,
    MISFIT,
    SMALLEST_SD,
    Noise,
    NoisyScore,
    Scores,
    log_likelihood,
    scores_log_likelihood,
    seed_variance,
)

HALF, TAU = np.float64(0.5), np.float64(0.03)
SEEN = st.lists(st.tuples(st.integers(1, 10**6), st.floats(0, 1)), min_size=1, max_size=30)


def _scores(pairs: list[tuple[float, float]], noise: Noise | None = None) -> Scores:
    return Scores(tuple(NoisyScore(float(n), s, noise or Noise()) for n, s in sorted(pairs)))


def test_noise_adds_test_set_and_seed() -> None:
    """A test set's noise, a given sd instead of it, or a total sd without the seed's noise.

    The misfit of the curves is added to each.
    """
    seed = float(seed_variance(HALF, 50, TAU))
    least = (SMALLEST_SD + MISFIT) ** 2
    by_size = float(Noise(1000).variance(HALF, 50, TAU))
    assert by_size == pytest.approx(0.25 / 1000 + seed, rel=1e-2)
    assert float(Noise(sd=0.02).variance(HALF, 50, TAU)) == pytest.approx(0.02**2 + seed + least)
    total = float(Noise(sd=0.02, total=True).variance(HALF, 50, TAU))
    assert total == pytest.approx(0.02**2 + least)
    assert float(Noise(math.inf, 0.0, total=True).variance(HALF, 50, TAU)) > 0
    assert Noise().size == ASSUMED_SIZE


@given(st.floats(0, 1))
def test_the_misfit_is_largest_at_one_half(score: float) -> None:
    """It falls symmetrically to both ends of the scale, where the smallest sd is left."""
    exact = Noise(math.inf, 0.0, total=True)
    variance, mirrored, most = (
        float(exact.variance(np.float64(s), 50, TAU)) for s in (score, 1 - score, 0.5)
    )
    assert variance == pytest.approx(mirrored)
    assert variance >= SMALLEST_SD**2 * (1 - 1e-9) and variance <= most
    assert math.sqrt(variance) == pytest.approx(SMALLEST_SD + MISFIT * 4 * score * (1 - score))


@given(SEEN)
def test_groups_keep_every_score_in_order(pairs: list[tuple[int, float]]) -> None:
    """Each score is in one group, groups rise, and a few budgets are never joined."""
    scores = _scores(pairs)  # type: ignore[arg-type]
    groups = scores.groups()
    assert [score for _, members in groups for score in members] == list(scores.all)
    assert [n for n, _ in groups] == pytest.approx(sorted({float(n) for n, _ in pairs}))
    assert scores.distinct == len(groups)


def test_many_close_budgets_are_joined() -> None:
    """A thousand budgets make few groups, each no wider than 3%."""
    scores = _scores([(n, 0.5) for n in range(1000, 2000)])
    groups = scores.groups()
    assert sum(len(members) for _, members in groups) == 1000
    assert len(groups) < 30
    for n, members in groups:
        assert members[0].n <= n * (1 + 1e-9) and n <= members[-1].n * (1 + 1e-9)
        assert members[-1].n <= 1.031 * members[0].n


def test_the_last_score_is_the_mean_at_the_largest_budget() -> None:
    """Several seeds at one budget count as their mean."""
    n, score, variance = _scores([(50, 0.3), (100, 0.5), (100, 0.7)]).means[-1]
    assert n == 100 and score == pytest.approx(0.6)
    assert 0 < variance < NoisyScore(100, 0.6, Noise()).typical_variance()


def test_likelihood_of_several_scores_is_the_sum() -> None:
    """Scores of different noise at one budget are independent given the curve."""
    curve, tau = np.linspace(0.1, 0.9, 9), np.full(9, 0.03)
    members = [
        NoisyScore(50, 0.4, Noise(100)),
        NoisyScore(50, 0.5, Noise(100)),
        NoisyScore(50, 0.6, Noise(sd=0.1)),
    ]
    single = sum(scores_log_likelihood([member], 50, curve, tau) for member in members)
    np.testing.assert_allclose(scores_log_likelihood(members, 50, curve, tau), single)
    assert int(np.argmax(single)) == 4


@given(st.floats(0, 1), st.floats(1, 1e6))
def test_test_set_noise_is_binomial(score: float, size: float) -> None:
    """One success and one failure are added; an infinite test set has no noise."""
    share = (score * size + 1) / (size + 2)
    found = float(observed.test_variance(np.float64(score), size))
    assert found == pytest.approx(share * (1 - share) / size)
    assert found > 0
    assert observed.test_variance(np.array([score]), math.inf).tolist() == [0.0]


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
