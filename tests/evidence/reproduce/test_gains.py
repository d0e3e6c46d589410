"""The fit of the published gain curves."""

import json
from importlib.resources import files

import numpy as np
import pytest
from shared_data import shared

from evidence.reproduce.gains import QUANTILES, fit_gains, merged, to_latent
from evidence.reproduce.published import PublishedCurve, read_published
from labelcast.errors import InputError
from labelcast.forecast.distributions import Mixture
from labelcast.forecast.efficiency import EfficiencyCurve


def _curve(scores: dict[int, float], task: str = "task", ceiling: float = 1.0) -> PublishedCurve:
    return PublishedCurve(
        "model", task, scores, None, EfficiencyCurve.from_scores(scores, ceiling), None
    )


def test_shipped_gains_are_those_of_the_published_curves() -> None:
    """A fit to the published results gives the shipped gains."""
    gains, zero_shots, ceilings = fit_gains(read_published(shared() / "paper" / "results"))
    ships = json.loads(files("labelcast.forecast").joinpath("prior.json").read_text("utf-8"))
    shipped = Mixture.from_dict(ships["gains"])
    for name in ("weights", "means", "covariances"):
        np.testing.assert_allclose(getattr(shipped, name), getattr(gains, name), rtol=1e-7)
    np.testing.assert_allclose(ships["zero_shots"], zero_shots, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ships["ceilings"], ceilings, rtol=1e-9)


def test_the_prior_contains_no_published_curve() -> None:
    """No component is centred on a published curve: each covers two or more."""
    curves = read_published(shared() / "paper" / "results")
    gains, _, _ = fit_gains(curves)
    latent = to_latent(np.array([c.grid_gains[1:] for c in curves]))
    distance = np.abs(gains.means[:, None] - latent[None]).max(axis=2)
    assert distance.min() > 0.02


@pytest.mark.parametrize("components", [1, 3, 20])
def test_merging_keeps_mean_and_covariance(components: int) -> None:
    """The merged mixture has the mean and covariance of all kernels together."""
    generator = np.random.default_rng(0)
    weights = generator.uniform(0.5, 1.0, 20)
    weights /= weights.sum()
    means = generator.standard_normal((20, 3))
    kernel = np.diag([0.1, 0.2, 0.3])
    found = merged(weights, means, kernel, components)
    assert len(found.weights) <= min(components, 10)
    mean, away = found.weights @ found.means, means - weights @ means
    np.testing.assert_allclose(mean, weights @ means, atol=1e-12)
    between = np.einsum("k,kd,ke->de", found.weights, found.means - mean, found.means - mean)
    whole = between + np.einsum("k,kde->de", found.weights, found.covariances)
    np.testing.assert_allclose(whole, kernel + (weights[:, None] * away).T @ away, atol=1e-12)


def test_a_missing_zero_shot_is_not_used() -> None:
    """A curve that starts at 50 contributes its shape and ceiling, but no zero-shot."""
    measured = [_curve({0: 0.1, 50: 0.5 + 0.1 * i, 5000: 0.9}, str(i)) for i in range(3)]
    without = _curve({50: 0.5, 5000: 0.9}, "without", ceiling=0.95)
    _, zero_shots, ceilings = fit_gains([*measured, without])
    np.testing.assert_allclose(zero_shots, np.full(QUANTILES, 0.1))
    assert ceilings.min() == pytest.approx(0.95)
    with pytest.raises(InputError, match="zero-shot"):
        fit_gains([_curve({50: 0.5, 5000: 0.9}, task) for task in "abc"])


def test_too_few_tasks_are_refused() -> None:
    """A prior needs three tasks."""
    scores = {0: 0.1, 50: 0.5, 5000: 0.9}
    with pytest.raises(InputError, match="three tasks"):
        fit_gains([_curve(scores, "a"), _curve(scores, "b")])
