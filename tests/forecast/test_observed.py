"""Observations: their noise, and where they lie."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelcast.errors import InputError
from labelcast.forecast.efficiency import GRID, log_position
from labelcast.forecast.observed import (
    Observation,
    ScoreObservation,
    binomial_sd,
    checked,
    design,
)
from labelcast.forecast.warp import to_latent


@given(st.lists(st.floats(-2, 2), min_size=7, max_size=7), st.floats(1, 5000))
def test_design_interpolates_the_latent_curve(latent: list[float], budget: float) -> None:
    """Without its deviation an observation is linear between knots on the logarithmic axis."""
    plan = design(np.array([budget]))
    curve = [float(to_latent(0.0)), *latent]
    expected = np.interp(log_position(budget), log_position(GRID), curve)
    assert plan.rows[0] @ latent + plan.offset[0] == pytest.approx(expected)


def test_deviation_is_a_bridge() -> None:
    """It has no variance at the ends of a segment, and a quarter of the rise's in its middle."""
    middle = float(np.sqrt(50 * 100))
    plan = design(np.array([50.0, middle, 99.9999, 100.0]))
    covariance = np.diag(np.arange(1.0, 8.0))
    assert plan.off_grid.tolist() == [middle, 99.9999]
    deviations = plan.deviations(covariance)
    assert deviations[0] == pytest.approx((1 + 2) / 4) and deviations[1] < 1e-4
    assert plan.member.tolist() == [[0, 0], [1, 0], [0, 1], [0, 0]]


def test_a_dip_is_trusted_less_by_its_depth() -> None:
    """A score 0.1 below a precise earlier one gets a variance of 0.01 more; rising ones none."""
    seen = checked([Observation(50, 0.6, 1e-3), Observation(100, 0.498, 1e-3)])
    assert seen.variances == pytest.approx([1e-6, 1e-6 + 0.01])
    rising = checked([Observation(50, 0.4, 0.1), Observation(100, 0.5, 0.1)])
    assert rising.variances == pytest.approx([0.01, 0.01])


def test_bounds_of_the_ends_allow_for_noise() -> None:
    """The best and the worst score count with two sds of their noise; none: no bound."""
    seen = checked([ScoreObservation(50, 0.6, 0.05), ScoreObservation(100, 0.8, 0.01)])
    assert seen.least_best == pytest.approx(0.78) and seen.most_worst == pytest.approx(0.7)
    assert checked([]).least_best == -math.inf and checked([]).most_worst == math.inf


def test_noise_of_a_test_set() -> None:
    """It is about the binomial's, falls with the size, and a perfect score has some."""
    assert binomial_sd(0.5, 1000) == pytest.approx(0.5 / math.sqrt(1000), rel=1e-3)
    assert binomial_sd(0.7, 100) > binomial_sd(0.7, 1000) > 0 < binomial_sd(1.0, 50)


@pytest.mark.parametrize(
    "observation",
    [
        Observation(50, math.nan, 0.1),
        Observation(50, 0.5, math.inf),
        Observation(50, 0.5, -0.1),
        Observation(6000, 0.5, 0.1),
        Observation(0, 0.5, 0.1),
        ScoreObservation(-1, 0.5, 0.1),
        ScoreObservation(math.nan, 0.5, 0.1),
    ],
)
def test_bad_observations_are_refused(observation: Observation | ScoreObservation) -> None:
    """NaN, a negative sd and a budget off the axis are refused."""
    with pytest.raises(InputError):
        checked([observation])
