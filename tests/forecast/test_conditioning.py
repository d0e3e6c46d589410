"""The latent curve given scores, against plain Gaussian algebra and against counting."""

import numpy as np
import pytest

from labelcast.forecast.ceiling import Hypotheses
from labelcast.forecast.conditioning import Conditioned, condition, read
from labelcast.forecast.mixture import Mixture
from labelcast.forecast.observed import ScoreObservation, checked, design
from labelcast.forecast.warp import to_latent

ONE = Mixture(np.ones(1), np.linspace(-1, 1, 7)[None], np.eye(7)[None] + 0.5)
GAINS = Hypotheses(np.zeros(1), np.ones(1), np.zeros(1))


def _given(
    prior: Mixture, seen: list[ScoreObservation], ends: Hypotheses, zero_shot_sd: float = 0.0
) -> Conditioned:
    scores = checked(seen)
    readings = read(scores, ends, zero_shot_sd, 0.0)
    return condition(prior, readings, design(scores.budgets), ends.log_weight)


def test_one_component_is_plain_gaussian_algebra() -> None:
    """A precise score fixes its latent value and moves the others by the regression on it."""
    found = _given(ONE, [ScoreObservation(50, 0.6, 1e-9)], GAINS)
    latent = float(to_latent(0.6))
    slope = ONE.covariances[0][:, 0] / ONE.covariances[0][0, 0]
    expected = ONE.means[0] + slope * (latent - ONE.means[0][0])
    np.testing.assert_allclose(found.means[0, 0], expected, atol=1e-6)
    rest = ONE.covariances[0] - np.outer(slope, ONE.covariances[0][0])
    np.testing.assert_allclose(found.covariances[0, 0], rest, atol=1e-6)


def test_nothing_observed_leaves_the_prior() -> None:
    """Without scores weights, means and covariances are the prior's, hypothesis by hypothesis."""
    two = Mixture(np.array([0.3, 0.7]), np.zeros((2, 7)), np.stack([np.eye(7)] * 2))
    ends = Hypotheses(np.zeros(2), np.array([0.8, 1.0]), np.log([0.4, 0.6]))
    found = _given(two, [], ends)
    np.testing.assert_allclose(found.weights, np.outer([0.4, 0.6], [0.3, 0.7]))
    assert (found.means == 0).all() and (found.covariances == np.eye(7)).all()


def test_the_component_that_foresaw_the_score_gains() -> None:
    """A high score moves weight to the component of high curves, by the ratio of densities."""
    two = Mixture(
        np.ones(2) / 2, np.stack([np.full(7, -1.0), np.ones(7)]), np.stack([np.eye(7)] * 2)
    )
    found = _given(two, [ScoreObservation(200, 0.8, 1e-9)], GAINS)
    z = float(to_latent(0.8))
    expected = np.exp(-0.5 * ((z - np.array([-1.0, 1.0])) ** 2))
    np.testing.assert_allclose(found.weights[0], expected / expected.sum(), atol=1e-6)


def test_a_ceiling_is_weighed_by_the_density_of_the_score() -> None:
    """One precise score weighs two ceilings by the density that each gives that raw score."""
    ends = Hypotheses(np.zeros(2), np.array([0.7, 1.0]), np.log([0.5, 0.5]))
    found = _given(ONE, [ScoreObservation(50, 0.6, 1e-9)], ends)

    def density(ceiling: float) -> float:
        """Differentiate the distribution function of the score numerically."""
        low, high = to_latent([(0.6 - 5e-4) / ceiling, (0.6 + 5e-4) / ceiling])
        middle, sd = (low + high) / 2 + 1.0, np.sqrt(1.5)
        return float(np.exp(-0.5 * (middle / sd) ** 2) * (high - low))

    expected = np.array([density(0.7), density(1.0)])
    np.testing.assert_allclose(found.weights.sum(axis=1), expected / expected.sum(), rtol=2e-2)


def test_zero_shots_error_moves_gains_together() -> None:
    """Two scores with an uncertain zero-shot err together: their difference is known better."""
    scores = checked([ScoreObservation(50, 0.5, 0.01), ScoreObservation(100, 0.5, 0.01)])
    noise = read(scores, Hypotheses(np.array([0.3]), np.ones(1), np.zeros(1)), 0.1, 0.0).noise[0]
    together = noise[0, 1] / np.sqrt(noise[0, 0] * noise[1, 1])
    assert together > 0.9


def test_trust_falls_with_noise() -> None:
    """A score without noise is trusted wholly, one of huge noise not at all."""
    seen = [ScoreObservation(50, 0.4, 1e-9), ScoreObservation(130, 0.6, 1e6)]
    found = _given(ONE, seen, GAINS)
    assert found.trust[0] == pytest.approx([1.0, 0.0], abs=1e-6)
    assert found.kept[0] == pytest.approx([0.0], abs=1e-6)
