"""Weighted draws: reading them, joining them, and weighting them by scores."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.reproduce.intervals import interval
from labelcast.forecast.distributions import lattice_normals
from labelcast.forecast.efficiency import GRID, Array, area, log_position
from labelcast.forecast.families import Prior, ScoreFamily
from labelcast.forecast.observed import Noise, NoisyScore, Scores, scores_log_likelihood
from labelcast.forecast.particles import (
    FEW,
    LOG_NODES,
    NODES,
    Draws,
    PriorDraws,
    condition,
    effective,
    normalised,
    pooled,
)
from labelcast.forecast.prior_draws import score_draws

SHAPES = {
    "flat": np.full(len(NODES), 0.6),
    "linear": 0.2 + 0.6 * LOG_NODES / LOG_NODES[-1],
    "step": np.where(NODES < 1000, 0.2, 0.8),
}


def _draws(curves: Array, zero_shot: float = 0.1, ceiling: float = 0.9) -> Draws:
    size = len(curves)
    ends = np.full(size, zero_shot), np.full(size, ceiling)
    return Draws(curves, *ends, np.full(size, 0.02), np.full(size, 1 / size))


@dataclass(frozen=True)
class Levels:
    """A toy: flat curves whose level is the only parameter."""

    def curves(self, parameters: Array) -> Array:
        return np.repeat(1 / (1 + np.exp(-parameters)), len(NODES), axis=1)

    def zero_shot(self, parameters: Array, curves: Array) -> Array:
        return curves[:, 0]

    def ceiling(self, parameters: Array, curves: Array, zero_shot: Array) -> Array:
        return np.ones(len(parameters))

    def tau(self, parameters: Array) -> Array:
        return np.full(len(parameters), 0.01)

    def log_weight(self, parameters: Array, curves: Array) -> Array:
        return np.zeros(len(parameters))


def _seen(*pairs: tuple[float, float], sd: float) -> Scores:
    return Scores(tuple(NoisyScore(n, s, Noise(math.inf, sd, total=True)) for n, s in pairs))


@pytest.mark.parametrize("level", [0.5, 0.9, 0.98])
@pytest.mark.parametrize("sd", [0.02, 0.005])
def test_refinement_is_close_to_importance_sampling(level: float, sd: float) -> None:
    """With few draws near the score, the posterior agrees with that of very many draws."""
    scores = _seen((50, level), (100, level), sd=sd)
    few = 1.5 * lattice_normals(2000, 1, 0)
    _, found = condition(Levels(), PriorDraws.of(Levels(), few, np.full(2000, 1 / 2000)), scores)
    many = 1.5 * lattice_normals(200_000, 1, 5)
    curve = 1 / (1 + np.exp(-many[:, 0]))
    fit = sum(
        scores_log_likelihood(members, n, curve, np.full(len(curve), 0.01))
        for n, members in scores.groups()
    )
    exact = interval(curve, normalised(np.ravel(fit)), 0.9)
    close = interval(found.at(50), found.weights, 0.9)
    assert close == pytest.approx(exact, abs=0.35 * (exact[1] - exact[0]))
    mean = float(found.weights @ found.at(50))
    assert mean == pytest.approx(float(normalised(np.ravel(fit)) @ curve), abs=0.5 * sd)


@pytest.mark.parametrize("ends", [(None, None), (0.4, None), (0.4, 0.9)])
@pytest.mark.parametrize("sd", [0.1, 0.003])
def test_posterior_draws_are_curves(ends: tuple[float | None, float | None], sd: float) -> None:
    """Weights sum to 1, curves are finite and never fall, and enough draws count."""
    scores = _seen((50, 0.55), (100, 0.57), (100, 0.6), (700, 0.7), sd=sd)
    family = ScoreFamily(*ends)
    drawn = PriorDraws.of(family, *score_draws(Prior.load()))
    _, found = condition(family, drawn, scores, FEW)
    assert found.weights.sum() == pytest.approx(1) and (found.weights >= 0).all()
    assert np.isfinite(found.curves).all() and (np.diff(found.curves) >= -1e-12).all()
    assert found.curves.min() >= 0 and found.curves.max() <= 1
    assert effective(found.weights) > 50
    shapes = {getattr(found, name).shape for name in ("zero_shot", "ceiling", "tau", "weights")}
    assert shapes == {(len(found.curves),)}


BLURRED = pytest.mark.xfail(
    strict=True, reason="moves as wide as the heavy tails blur a very precise score"
)


@pytest.mark.parametrize(
    ("score", "sd"),
    [
        *((score, 0.003) for score in (0.1, 0.5, 0.95)),
        (0.1, 1e-5),
        (0.95, 1e-5),
        pytest.param(0.5, 1e-5, marks=BLURRED),
    ],
)
def test_curves_pass_through_a_precise_score(score: float, sd: float) -> None:
    """The curve is within a few sds, and within 0.01, of a precise score."""
    drawn = PriorDraws.of(ScoreFamily(), *score_draws(Prior.load()))
    _, found = condition(ScoreFamily(), drawn, _seen((100, score), sd=sd))
    low, high = interval(found.at(100), found.weights, 0.9)
    reach = min(5 * max(sd, 1e-3), 0.011)
    assert score - reach < low <= high < score + reach


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=4))
def test_pooled_parts_keep_their_shares(shares: list[float]) -> None:
    """Each part's draws have its share of the weight."""
    total = sum(shares)
    parts = [
        (_draws(np.full((3 + i, len(NODES)), 0.1 * i)), share / total)
        for i, share in enumerate(shares)
    ]
    found = pooled(parts)
    assert found.weights.sum() == pytest.approx(1)
    for i, (_, share) in enumerate(parts):
        assert found.weights[found.at(50) == 0.1 * i].sum() == pytest.approx(share)


def test_areas_are_the_trapezoid_of_the_gains() -> None:
    """Computed by hand: 0 at zero-shot, the grid's largest at the ceiling, else the area."""
    curves = np.stack([np.full(len(NODES), 0.1), np.full(len(NODES), 0.9), *SHAPES.values()])
    draws = _draws(curves)
    x = log_position(GRID)
    scores = [[0.1, *np.interp(np.log(GRID[1:]), LOG_NODES, curve)] for curve in curves]
    expected = [area(x, np.clip((np.array(row) - 0.1) / 0.8, 0, 1)) for row in scores]
    np.testing.assert_allclose(draws.areas(), expected, atol=1e-12)
    assert draws.areas()[0] == 0 and round(float(draws.areas()[1]), 3) == 0.770


@given(st.sampled_from(sorted(SHAPES)), st.floats(0, 1), st.floats(0, 1))
def test_labels_for_score_is_the_inverse_of_the_curve(shape: str, a: float, b: float) -> None:
    """The curve first has the score at the labels needed; a higher score needs no fewer."""
    draws = _draws(SHAPES[shape][None])
    low, high = (float(draws.labels_for_score(s)[0]) for s in sorted((a, b)))
    assert low <= high
    for labels, score in ((low, min(a, b)), (high, max(a, b))):
        if math.isinf(labels):
            assert draws.at(NODES[-1])[0] < score
            continue
        assert draws.at(labels)[0] >= score - 1e-9
        if labels > 1.001:
            assert draws.at(labels * 0.999)[0] < score


def test_a_draw_is_read_at_both_ends() -> None:
    """0 labels give zero-shot, a million the last node; gains are within 0 and 1."""
    draws = _draws(np.stack(list(SHAPES.values())))
    assert draws.at(0).tolist() == [0.1] * 3
    assert draws.at(10**6).tolist() == draws.curves[:, -1].tolist()
    for n in (0, 1, 77, 10**6):
        assert ((draws.gains_at(n) >= 0) & (draws.gains_at(n) <= 1)).all()
    np.testing.assert_allclose(draws.labels_for_gain(0.5), draws.labels_for_score(0.5))


@given(st.lists(st.floats(-800, 800), min_size=3, max_size=3))
def test_reweighting_multiplies_and_normalises(logs: list[float]) -> None:
    """Weights sum to 1 and have the ratios of the factors, however large these are."""
    found = _draws(np.stack(list(SHAPES.values()))).reweighted(np.array(logs)).weights
    assert found.sum() == pytest.approx(1)
    np.testing.assert_allclose(found, normalised(np.array(logs)), atol=1e-12)
