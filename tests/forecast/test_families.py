"""The families of curves and their prior draws."""

import json
import math
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.fit_prior import mixture_fields, prior_fields
from labelcast.forecast import prior_draws
from labelcast.forecast.distributions import Mixture, lattice_normals
from labelcast.forecast.efficiency import Array
from labelcast.forecast.families import (
    BEND,
    ETA,
    FITTED,
    GAMMA,
    JUMP,
    JUMP_WIDTH,
    JUMPING,
    ZERO_SHOT,
    GainFamily,
    Prior,
    ScoreFamily,
    after_jump,
    curve_scores,
    logit,
    second_jumps,
    sigmoid,
)
from labelcast.forecast.particles import LOG_NODES, NODES, Family, at_labels
from labelcast.forecast.prior_draws import gain_draws, score_draws

PRIOR = Prior.load()
ENDS = [(None, None), (0.3, None), (None, 0.9), (0.3, 0.9)]


def _drawn(name: str) -> tuple[Array, Array]:
    if name == "gains":
        return gain_draws(PRIOR)
    return score_draws(PRIOR, losses=name == "losses")


def test_the_shipped_prior_is_finite_and_survives_json() -> None:
    """Read, written and read again it is the same, with only numbers that JSON has."""
    text = files("labelcast.forecast").joinpath("prior.json").read_text("utf-8")
    fields = prior_fields(PRIOR)
    for written in (text, json.dumps(fields, allow_nan=False)):
        assert prior_fields(Prior.from_dict(json.loads(written))) == fields


@pytest.mark.parametrize("name", ["scores", "losses", "gains"])
def test_mixtures_are_proper(name: str) -> None:
    """Weights are positive and sum to 1, covariances are symmetric and positive definite."""
    mixture: Mixture = getattr(PRIOR, name)
    assert mixture.weights.sum() == pytest.approx(1) and (mixture.weights > 0).all()
    for covariance in mixture.covariances:
        assert np.array_equal(covariance, covariance.T)
        assert np.linalg.eigvalsh(covariance).min() > 0


def test_vectors_are_ordered_shares() -> None:
    """Quantiles rise within 0 and 1; shares of the headroom are within 0 and 1 too."""
    for quantiles in (PRIOR.zero_shots, PRIOR.ceilings):
        assert (np.diff(quantiles) >= 0).all() and 0 <= quantiles[0] <= quantiles[-1] <= 1
    assert (np.diff(PRIOR.headroom_n) > 0).all()
    assert ((PRIOR.headroom_share >= 0) & (PRIOR.headroom_share < 1)).all()


@pytest.mark.parametrize("name", ["scores", "losses", "gains"])
def test_draws_are_deterministic_and_weighted(name: str) -> None:
    """Two calls give the same numbers; weights sum to 1."""
    one, two = _drawn(name), _drawn(name)
    assert np.array_equal(one[0], two[0]) and np.array_equal(one[1], two[1])
    assert np.isfinite(one[0]).all() and len(one[0]) == prior_draws.DRAWS
    assert one[1].sum() == pytest.approx(1) and (one[1] > 0).all()


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("name", ["scores", "losses", "gains"])
def test_draws_are_curves_between_their_ends(
    name: str, ends: tuple[float | None, float | None]
) -> None:
    """Curves never fall and stay between 0 and a known ceiling; ends are as given and in order."""
    family: Family = GainFamily(PRIOR, *ends) if name == "gains" else ScoreFamily(*ends)
    parameters, _ = _drawn(name)
    curves = family.curves(parameters)
    assert curves.shape == (len(parameters), len(NODES)) and np.isfinite(curves).all()
    assert (np.diff(curves) >= -1e-12).all()
    assert curves.min() >= 0 and curves.max() <= (ends[1] or 1.0) + 1e-12
    zero_shot = family.zero_shot(parameters, curves)
    ceiling = family.ceiling(parameters, curves, zero_shot)
    assert ends[0] is None or (zero_shot == ends[0]).all()
    assert ends[1] is None or (ceiling == ends[1]).all()
    if None in ends:
        likely = family.log_weight(parameters, curves) > -10
        assert (ceiling >= zero_shot)[likely].all()
    assert (family.tau(parameters) > 0).all()
    assert np.isfinite(family.log_weight(parameters, curves)).all()


@pytest.mark.parametrize("losses", [False, True])
def test_assumed_columns_are_standard_normal(losses: bool) -> None:
    """So a move that keeps mean and spread keeps their meaning, whatever the metric."""
    parameters, _ = score_draws(PRIOR, losses=losses)
    assert parameters.shape[1] == BEND + 1
    assumed = parameters[:, JUMP + losses :]  # most losses have no second jump
    np.testing.assert_allclose(assumed.mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(assumed.T), np.eye(4 - losses), atol=0.05)


def test_a_quarter_of_the_losses_jump_as_scores_do() -> None:
    """The others fall smoothly."""
    jumps, _ = second_jumps(score_draws(PRIOR, losses=True)[0])
    assert (jumps > 0).mean() == pytest.approx(JUMPING / 4, abs=0.01)


def test_second_jumps_have_the_assumed_sizes_and_places() -> None:
    """A share of the curves jumps, by up to the full headroom, at 8 to 300,000 labels."""
    jumps, places = second_jumps(score_draws(PRIOR)[0])
    assert ((jumps >= 0) & (jumps <= 1)).all()
    assert (jumps > 0).mean() == pytest.approx(JUMPING, abs=0.01)
    assert np.exp(places.min()) >= 8 * (1 - 1e-9)
    assert np.exp(places.max()) <= 3e5 * (1 + 1e-9)


def test_an_unknown_ceiling_is_often_the_last_score_and_sometimes_1() -> None:
    """As on the published tasks, the gap to the ceiling has mass at both ends of the headroom."""
    parameters, _ = score_draws(PRIOR)
    family = ScoreFamily()
    curves = family.curves(parameters)
    zero_shot = family.zero_shot(parameters, curves)
    ceiling = family.ceiling(parameters, curves, zero_shot)
    end = np.maximum(at_labels(curves, 5000), zero_shot)
    room = (1 - end > 0.05) & (end - zero_shot > 0.05)
    gap = (ceiling - end)[room] / (1 - end)[room]
    assert (gap < 1e-9).mean() == pytest.approx(0.45, abs=0.02)
    assert (gap > 1 - 1e-9).mean() == pytest.approx(0.2, abs=0.02)


def test_a_bend_changes_a_curve_only_below_10_labels() -> None:
    """A higher power keeps a curve near zero-shot for longer; from 10 labels on nothing changes."""
    parameters, _ = score_draws(PRIOR)
    early, late = parameters.copy(), parameters.copy()
    early[:, BEND], late[:, BEND] = -1.0, 1.0
    one, two = (ScoreFamily(known_zero_shot=0.1).curves(p) for p in (early, late))
    below = NODES < 10
    assert np.array_equal(one[:, ~below], two[:, ~below])
    assert (one[:, below] >= two[:, below] - 1e-12).all()
    assert (one[:, below] > two[:, below] + 0.01).any()
    assert (two[:, 0] <= 0.1 + 1e-12).all()


def _drawn_parameters() -> Array:
    return PRIOR.scores.draw(lattice_normals(500, FITTED, 3))


def _others(*columns: int) -> list[int]:
    return [i for i in range(FITTED) if i not in columns]


def test_scaling_a_curve_down_multiplies_its_scores() -> None:
    """The scores at every budget and zero-shot are multiplied; the rest is kept."""
    parameters = _drawn_parameters()
    factors = np.geomspace(0.02, 1, 500)
    small = prior_draws._made_small(parameters, factors)
    before, after = curve_scores(parameters, LOG_NODES), curve_scores(small, LOG_NODES)
    # A rise is at least 4e-4 logits.
    np.testing.assert_allclose(after, factors[:, None] * before, atol=1e-4)
    zero_shots = [sigmoid(p[:, ZERO_SHOT]) for p in (parameters, small)]
    np.testing.assert_allclose(zero_shots[1], factors * zero_shots[0], atol=1e-5)
    kept = _others(ETA, GAMMA, ZERO_SHOT)
    assert np.array_equal(small[:, kept], parameters[:, kept])


def test_moving_a_curve_keeps_its_share_of_the_headroom() -> None:
    """At another level a curve gains the same share of what is left, and keeps its shape.

    The zero-shot logit moves with the bottom.
    """
    parameters = _drawn_parameters()
    bottoms = np.linspace(-3, 3, 500)
    moved = prior_draws._other_level(parameters, bottoms)
    share = []
    for p in (parameters, moved):
        bottom, top = prior_draws._ends(p)
        share.append((top - bottom) / (1 - bottom))
    np.testing.assert_allclose(sigmoid(bottoms), prior_draws._ends(moved)[0])
    # Rises of 1e-4 logits are the smallest.
    np.testing.assert_allclose(share[1], share[0], atol=1e-3)
    change = moved - parameters
    np.testing.assert_allclose(change[:, ZERO_SHOT], change[:, ETA])
    kept = _others(ETA, GAMMA, ZERO_SHOT)
    assert np.array_equal(moved[:, kept], parameters[:, kept])


def test_known_ends_favour_curves_near_them() -> None:
    """Curves with a zero-shot near the known one, or an end just below the ceiling, weigh more.

    A ceiling bounds the curves, and speaks against those that would pass it or end below.
    """
    parameters, _ = score_draws(PRIOR)
    own = parameters[:, ZERO_SHOT]
    family = ScoreFamily(known_zero_shot=0.5)
    weights = family.log_weight(parameters, family.curves(parameters))
    assert weights[np.abs(own) < 0.1].min() > weights[np.abs(own) > 2].max()
    low, high = (ScoreFamily(known_ceiling=c) for c in (0.5, 0.95))
    free = ScoreFamily().curves(parameters)
    ends = free[:, int(np.searchsorted(NODES, 5000))]
    for family, ceiling in ((low, 0.5), (high, 0.95)):
        curves = family.curves(parameters)
        weights = family.log_weight(parameters, curves)
        inside = np.abs(ends - ceiling) < 0.005
        assert weights[inside].min() > weights[~inside & (ends < ceiling - 0.05)].max()
        assert weights[inside].min() > weights[ends > ceiling + 0.1].max(initial=-np.inf)
        below = np.argsort(ends)[: int((ends < ceiling - 0.05).sum())]
        assert (np.diff(weights[below]) >= -1e-9).all()
        assert (curves[:, -1] == np.minimum(free[:, -1], ceiling)).all()


def test_draws_have_the_moments_of_the_mixture() -> None:
    """Each component has its share, mean and covariance."""
    mixture = Mixture(
        np.array([0.25, 0.75]),
        np.array([[-10.0, 0.0], [10.0, 1.0]]),
        np.array([[[1.0, 0.5], [0.5, 2.0]], [[0.5, 0.0], [0.0, 0.1]]]),
    )
    draws = mixture.draw(lattice_normals(8000, 2, 0))
    for k, chosen in enumerate((draws[:, 0] < 0, draws[:, 0] >= 0)):
        assert chosen.mean() == pytest.approx(mixture.weights[k], abs=1e-3)
        np.testing.assert_allclose(draws[chosen].mean(axis=0), mixture.means[k], atol=0.05)
        np.testing.assert_allclose(np.cov(draws[chosen].T), mixture.covariances[k], atol=0.1)
    again = Mixture.from_dict(mixture_fields(mixture))
    assert np.array_equal(again.covariances, mixture.covariances)


ROWS = st.tuples(
    st.floats(-4, 3),  # logit of the bottom
    st.floats(-3, 2),  # log of the rise
    st.floats(0, 12),  # log of the labels in the middle
    st.floats(-1, 1.5),
    st.floats(-0.7, 1.5),
    st.floats(-6, -1),
    st.floats(-4, 3),
)


def _limits(row: tuple[float, ...]) -> tuple[float, float]:
    eta, gamma = row[:2]
    bottom, top = sigmoid(np.array([eta, eta + math.exp(gamma)]))
    return float(bottom), float(top)


@given(ROWS)
def test_a_curve_rises_from_its_bottom_to_its_top(row: tuple[float, ...]) -> None:
    """It never falls, and its limits are the sigmoids of the two ends."""
    curve = curve_scores(np.array([row]), np.linspace(-200, 200, 201))[0]
    bottom, top = _limits(row)
    assert (np.diff(curve) >= -1e-12).all()
    assert curve[0] == pytest.approx(bottom, abs=1e-6)
    assert curve[-1] == pytest.approx(top, abs=1e-6)


def test_the_middle_parameter_is_where_half_is_gained() -> None:
    """With both exponents 1, half of the rise is done at the labels of the middle."""
    row = np.array([[-1.0, 0.5, math.log(200), 0.0, 0.0, -3.0, 0.0]])
    bottom, top = _limits(tuple(row[0]))
    found = curve_scores(row, np.log([200.0]))[0, 0]
    assert found == pytest.approx((bottom + top) / 2)


@given(ROWS, st.floats(0, 0.999), st.floats(2, 12))
def test_a_jump_takes_a_share_of_the_headroom(
    row: tuple[float, ...], jump: float, log_n: float
) -> None:
    """Far before it nothing changes, in its middle half of it is done, far after it all of it."""
    at = np.array([log_n - 40 * JUMP_WIDTH, log_n, log_n + 40 * JUMP_WIDTH])
    plain = curve_scores(np.array([row]), at)[0]
    jumping = after_jump(plain[None], np.array([jump]), np.array([log_n]), at)[0]
    gained = (jumping - plain) / (1 - plain)
    assert gained == pytest.approx([0, jump / 2, jump], abs=1e-9)


@given(st.floats(1e-6, 1 - 1e-6))
def test_logit_is_the_inverse(score: float) -> None:
    """The logistic function of the log odds is the score."""
    assert float(sigmoid(logit(np.float64(score)))) == pytest.approx(score, rel=1e-9)
