"""Measured curves: cleaning, normalising, area, labels for a gain; the power law."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelcast.errors import InputError
from labelcast.forecast.efficiency import (
    GRID,
    EfficiencyCurve,
    area,
    budget_at,
    log_position,
    power_law_exponent,
    power_law_labels,
)

AUCS = st.floats(0.05, 0.95)
FRACTIONS = st.floats(0.01, 1.0)
SCORES = st.lists(st.floats(0, 1), min_size=len(GRID), max_size=len(GRID)).filter(
    lambda scores: max(scores) > scores[0] + 1e-3
)


def _curve(scores: list[float], ceiling: float | None = None) -> EfficiencyCurve:
    return EfficiencyCurve.from_scores(dict(zip(GRID, scores, strict=True)), ceiling)


def test_axis_runs_from_zero_shot_to_the_largest_budget() -> None:
    """Zero-shot and one label are at 0, 5,000 labels at 1, and the inverse leads back."""
    assert log_position([0, 1, 5000]).tolist() == [0.0, 0.0, 1.0]
    np.testing.assert_allclose(budget_at(log_position(GRID[1:])), GRID[1:])


@given(SCORES)
def test_gains_rise_from_zero_to_at_most_one(scores: list[float]) -> None:
    """A cleaned curve never falls, starts at 0, and ends at 1 if its best score is the ceiling."""
    curve = _curve(scores)
    assert curve.gains[0] == 0 and curve.gains[-1] == 1
    assert all(a <= b for a, b in zip(curve.gains, curve.gains[1:], strict=False))
    assert 0 <= curve.auc <= 0.7705


@given(SCORES, st.floats(0.1, 3), st.floats(-1, 1))
def test_area_does_not_depend_on_the_unit_of_the_score(
    scores: list[float], scale: float, shift: float
) -> None:
    """A rescaled and shifted metric has the same area."""
    moved = _curve([scale * s + shift for s in scores])
    assert math.isclose(moved.auc, _curve(scores).auc, abs_tol=1e-6)


@given(SCORES, st.randoms())
def test_order_of_budgets_does_not_matter(scores: list[float], random: object) -> None:
    """Scores given in any order make the same curve."""
    items = list(zip(GRID, scores, strict=True))
    random.shuffle(items)  # type: ignore[attr-defined]
    assert EfficiencyCurve.from_scores(dict(items)) == _curve(scores)


def test_largest_area_on_the_grid() -> None:
    """A curve at the ceiling from 50 labels on has the area 0.770, the grid's largest."""
    assert round(_curve([0.0] + [1.0] * 7).auc, 3) == 0.770


def test_ceiling_is_the_larger_of_given_and_best() -> None:
    """A ceiling below the best score is replaced by it; one above leaves room to gain."""
    assert _curve([0.2] + [0.8] * 7, ceiling=0.5).ceiling == 0.8
    assert _curve([0.2] + [0.8] * 7, ceiling=1.0).gains[-1] == pytest.approx(0.75)


def test_a_short_curve_is_censored_and_carried_forward() -> None:
    """A curve that ends at 500 keeps its last score up to 5,000 and is marked as censored."""
    short = EfficiencyCurve.from_scores({0: 0.0, 50: 0.5, 500: 0.8}, ceiling=1.0)
    carried = EfficiencyCurve.from_scores({0: 0.0, 50: 0.5, 500: 0.8, 5000: 0.8}, ceiling=1.0)
    assert short.censored and not carried.censored
    assert short.auc == pytest.approx(carried.auc, abs=1e-12)


def test_a_missing_zero_shot_is_not_invented() -> None:
    """Without budget 0 the curve starts at its smallest budget, at gain 0."""
    curve = EfficiencyCurve.from_scores({50: 0.4, 5000: 0.8})
    assert curve.zero_shot == 0.4 and curve.gains == (0.0, 1.0)
    assert curve.auc == pytest.approx((1 - float(log_position(50))) / 2)
    assert curve.labels_for_gain(0.0) == pytest.approx(50)


def test_a_budget_above_the_axis_is_only_interpolated_to() -> None:
    """A score at 10,000 sets the score at 5,000 by interpolation, and the axis ends there."""
    curve = EfficiencyCurve.from_scores({0: 0.0, 2500: 0.4, 10000: 0.6}, ceiling=1.0)
    assert curve.budgets == (0, 2500, 5000)
    assert curve.scores[-1] == pytest.approx(0.5)


@given(SCORES, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_more_gain_never_needs_fewer_labels(scores: list[float], f: float, g: float) -> None:
    """The labels for a gain rise with it, and the curve has that gain there."""
    curve = _curve(scores, ceiling=1.0)
    low, high = (curve.labels_for_gain(v) for v in sorted((f, g)))
    assert high is None or (low is not None and low <= high)
    if low is not None and low >= 1:
        assert float(curve.gain_at(low)) == pytest.approx(min(f, g), abs=1e-6)


def test_labels_between_zero_shot_and_fifty() -> None:
    """Below 50 labels the curve is a straight line from position 0; a gain of 0 needs no label."""
    curve = EfficiencyCurve.from_scores({0: 0.0, 50: 1.0})
    assert curve.labels_for_gain(0.0) == 0
    assert curve.labels_for_gain(0.5) == pytest.approx(math.sqrt(50))


@given(st.floats(0.05, 0.95))
def test_area_of_a_power_law(auc: float) -> None:
    """The continuous area of x^p with p = (1 - AUC) / AUC is the AUC."""
    x = np.linspace(0, 1, 4001) ** 12
    assert area(x, x ** power_law_exponent(auc)) == pytest.approx(auc, abs=2e-3)


@pytest.mark.parametrize(
    ("scores", "ceiling", "words"),
    [
        ({}, None, "two budgets"),
        ({0: 0.5}, None, "two budgets"),
        ({0: 0.1, 50: math.nan}, None, "budget 50"),
        ({0: 0.1, 50: "0.2"}, None, "budget 50"),
        ({0: 0.1, 50: True}, None, "budget 50"),
        ({0: 0.1, -50: 0.2}, None, "-50"),
        ({0: 0.1, "50": 0.2}, None, "'50'"),
        ({0: 0.1, 50.5: 0.2}, None, "50.5"),
        ({0: 0.9, 50: 0.5}, None, "ceiling"),
        ({0: 0.9, 50: 0.9}, 0.9, "ceiling"),
        ({0: 0.1, 50: 0.2}, math.nan, "ceiling"),
    ],
)
def test_bad_scores_are_named(scores: dict[Any, Any], ceiling: float | None, words: str) -> None:
    """Bad input is refused with a message that names it."""
    with pytest.raises(InputError, match=words):
        EfficiencyCurve.from_scores(scores, ceiling)


@pytest.mark.parametrize("fraction", [-0.1, 1.1, math.nan])
def test_fraction_out_of_range(fraction: float) -> None:
    """A gain outside 0 to 1 is refused."""
    with pytest.raises(InputError):
        _curve([0.0] + [1.0] * 7).labels_for_gain(fraction)


@given(AUCS, FRACTIONS)
def test_the_power_law_has_the_gain_at_its_labels(auc: float, fraction: float) -> None:
    """The gain at the labels needed is the gain asked for."""
    labels = power_law_labels(fraction, auc)
    # Nearer to one label than this, the logarithm of the labels has too few digits left.
    if labels > 1.001:
        found = float(log_position(labels)) ** power_law_exponent(auc)
        assert found == pytest.approx(fraction, rel=1e-6)


@given(AUCS, FRACTIONS, FRACTIONS)
def test_more_gain_never_needs_less_by_the_power_law(auc: float, f: float, g: float) -> None:
    """Labels rise with the gain and stay within 1 to 5,000."""
    low, high = (power_law_labels(v, auc) for v in sorted((f, g)))
    assert 1 <= low <= high <= 5000 * (1 + 1e-12)


@given(AUCS, AUCS, FRACTIONS)
def test_more_efficient_tasks_need_fewer_labels(a: float, b: float, fraction: float) -> None:
    """A larger AUC never needs more labels."""
    low, high = sorted((a, b))
    assert power_law_labels(fraction, high) <= power_law_labels(fraction, low) * (1 + 1e-12)


def test_published_example() -> None:
    """CoS-Low 0.65 on the line (0.54, 0.31) gives AUC' 0.661; the inverse follows the formula."""
    auc = 0.54 * 0.65 + 0.31
    assert round(auc, 3) == 0.661
    expected = 2 ** (math.log2(5000) * 0.9 ** (auc / (1 - auc)))
    assert power_law_labels(0.9, auc) == pytest.approx(expected, rel=1e-12)
