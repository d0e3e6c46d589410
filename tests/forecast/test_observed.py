"""Observed scores: their noise, their groups, and their likelihood under a curve."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelcast.forecast.observed import (
    ASSUMED_SIZE,
    MISFIT,
    SMALLEST_SD,
    Noise,
    NoisyScore,
    Scores,
    scores_log_likelihood,
)
from labelcast.forecast.score_curves import seed_variance

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
    n, score = _scores([(50, 0.3), (100, 0.5), (100, 0.7)]).last
    assert n == 100 and score == pytest.approx(0.6)


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
