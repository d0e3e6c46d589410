"""The prior over curves and its conditioning."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcast.curves.efficiency import GRID, area, log_position
from labelcast.curves.prior import MAX_GRID_AUC, CurvePrior, auc_weights, grid_weights
from labelcast.errors import InputError

PRIOR = CurvePrior.load()
OBSERVATIONS = st.lists(
    st.tuples(st.integers(50, 5000), st.floats(0, 1), st.floats(0.01, 0.2)), max_size=5
)
AUCS = st.none() | st.tuples(st.floats(0.1, 0.75), st.floats(0.02, 0.3))


@given(AUCS, OBSERVATIONS)
def test_samples_are_curves(auc: tuple[float, float] | None, observations: list) -> None:
    """Whatever was observed, samples never fall, lie within 0 and 1 and start at 0."""
    curves = PRIOR.condition(auc, observations).sample(50, seed=0)
    assert curves.shape == (50, len(GRID)) and np.isfinite(curves).all()
    assert (curves[:, 0] == 0).all() and (np.diff(curves) >= 0).all() and curves.max() <= 1


@given(AUCS, OBSERVATIONS, st.randoms())
def test_order_does_not_matter(auc: tuple | None, observations: list, random: object) -> None:
    """Observations in another order give the same samples to the last bit."""
    shuffled = list(observations)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one = PRIOR.condition(auc, observations).sample(20, seed=1)
    assert np.array_equal(one, PRIOR.condition(auc, shuffled).sample(20, seed=1))


@given(AUCS, OBSERVATIONS, st.integers(0, 5000), st.floats(0, 1))
def test_huge_noise_changes_nothing(
    auc: tuple | None, observations: list, budget: int, gain: float
) -> None:
    """An observation with noise beyond measure leaves mean and samples where they are."""
    before = PRIOR.condition(auc, observations)
    after = PRIOR.condition(auc, [*observations, (budget, gain, 1e6)])
    np.testing.assert_allclose(after.mean, before.mean, atol=1e-6)
    np.testing.assert_allclose(after.sample(20, 2), before.sample(20, 2), atol=1e-4)


@given(st.lists(st.floats(0, 1), min_size=7, max_size=7).map(sorted))
@settings(max_examples=50)
def test_tiny_noise_interpolates(gains: list[float]) -> None:
    """Rising observations without noise on the whole grid are what every sample goes through."""
    observed = [(n, g, 1e-5) for n, g in zip(GRID[1:], gains, strict=True)]
    curves = PRIOR.condition(None, observed).sample(20, seed=3)
    np.testing.assert_allclose(curves[:, 1:], np.tile(gains, (20, 1)), atol=2e-4)


def test_budgets_off_the_grid_are_interpolated() -> None:
    """An exact gain at 300 labels is what the mean has there on the logarithmic axis."""
    posterior = PRIOR.condition(None, [(300, 0.7, 1e-6)])
    at = np.interp(log_position(300), log_position(GRID), posterior.mean)
    assert at == pytest.approx(0.7, abs=1e-5)


@given(OBSERVATIONS, st.integers(50, 5000), st.floats(0, 1), st.floats(0.01, 0.5))
def test_more_scores_never_widen(observations: list, budget: int, gain: float, sd: float) -> None:
    """One more observation never makes the area less certain."""
    before = PRIOR.condition(None, observations)
    after = PRIOR.condition(None, [*observations, (budget, gain, sd)])
    assert after.auc_sd <= before.auc_sd + 1e-9


@given(st.floats(0.05, 0.77), st.floats(0.0, 0.5))
def test_replaced_area_is_what_it_was_given(mean: float, sd: float) -> None:
    """A prediction of the area stands as it is: it is not shrunk towards the published mean."""
    posterior = PRIOR.with_auc(mean, sd).condition()
    assert posterior.auc_mean == pytest.approx(mean, abs=1e-9)
    assert posterior.auc_sd == pytest.approx(sd, abs=1e-4)
    assert np.linalg.eigvalsh(posterior.covariance).min() > -1e-9


def test_replacing_equals_measuring_where_both_mean_the_same() -> None:
    """A measurement of sd s on the prior's area is the replacement by its own posterior."""
    measured = PRIOR.condition(auc=(0.6, 0.1))
    replaced = PRIOR.with_auc(measured.auc_mean, measured.auc_sd).condition()
    np.testing.assert_allclose(replaced.mean, measured.mean, atol=1e-9)
    np.testing.assert_allclose(replaced.covariance, measured.covariance, atol=1e-9)


@given(st.lists(st.floats(0, 1), min_size=8, max_size=8))
def test_weights_are_the_trapezoid(gains: list[float]) -> None:
    """The weights give the area of any curve on the grid."""
    values = np.array(gains)
    assert float(auc_weights() @ values) == pytest.approx(area(log_position(GRID), values))


def test_weights_at_the_grid_pick_one_value() -> None:
    """At a budget of the grid the interpolation is that value alone; the largest area is 0.770."""
    np.testing.assert_allclose([grid_weights(n) for n in GRID], np.eye(len(GRID)), atol=1e-12)
    assert round(MAX_GRID_AUC, 3) == 0.770


def test_samples_have_the_posterior_mean_and_the_seed_decides() -> None:
    """Away from the bounds samples average to the mean; a seed draws the same curves again."""
    posterior = PRIOR.with_auc(0.45, 0.02).condition(observations=[(50, 0.3, 0.02)])
    curves = posterior.sample(4000, seed=0)
    assert curves[:, 1].mean() == pytest.approx(posterior.mean[1], abs=0.005)
    assert np.array_equal(curves, posterior.sample(4000, seed=0))
    assert not np.array_equal(curves, posterior.sample(4000, seed=1))


def test_fitting_gives_mean_and_covariance() -> None:
    """A prior has the curves' mean, and their covariance with 1e-4 on the diagonal."""
    curves = np.random.default_rng(0).uniform(size=(30, 8)).cumsum(axis=1) / 8
    prior = CurvePrior.from_curves(curves)
    np.testing.assert_allclose(prior.mean, curves.mean(axis=0))
    np.testing.assert_allclose(prior.covariance, np.cov(curves.T) + 1e-4 * np.eye(8))


@pytest.mark.parametrize(
    ("auc", "observations"),
    [
        ((math.nan, 0.1), []),
        ((0.5, -0.1), []),
        (None, [(50, math.nan, 0.1)]),
        (None, [(50, 0.5, math.inf)]),
        (None, [(6000, 0.5, 0.1)]),
        (None, [(-1, 0.5, 0.1)]),
        (None, [(math.nan, 0.5, 0.1)]),
    ],
)
def test_bad_evidence_is_refused(auc: tuple | None, observations: list) -> None:
    """NaN, a negative sd and a budget off the axis are refused."""
    with pytest.raises(InputError):
        PRIOR.condition(auc, observations)


def test_bad_fits_are_refused() -> None:
    """One curve, another width, NaN and a bad predicted area are refused."""
    for curves in (np.zeros((1, 8)), np.zeros((5, 7)), np.full((5, 8), np.nan)):
        with pytest.raises(InputError):
            CurvePrior.from_curves(curves)
    for mean, sd in ((math.nan, 0.1), (0.5, -1.0)):
        with pytest.raises(InputError):
            PRIOR.with_auc(mean, sd)
