"""A least-squares line and what judges it."""

import math
from itertools import pairwise

import numpy as np
import pytest
from forecast_helpers import made_up
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcast.errors import InputError
from labelcast.forecast.line import LineFit, fit_line, loto_difference


def _random_line(seed: int, n: int = 20) -> LineFit:
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 0.7, n)
    return fit_line(x, 0.3 + 0.6 * x + rng.normal(0, 0.1, n))


@given(st.integers(0, 10_000))
@settings(max_examples=30)
def test_leave_one_out_is_a_refit(seed: int) -> None:
    """The closed-form leave-one-out errors, influence and jackknife+ are those of real refits."""
    fit = _random_line(seed)
    n, at = len(fit.x), 0.4
    refits = [np.polyfit(np.delete(fit.x, i), np.delete(fit.y, i), 1) for i in range(n)]
    left_out = fit.y - [np.polyval(refits[i], fit.x[i]) for i in range(n)]
    np.testing.assert_allclose(fit.loo_residuals, left_out, atol=1e-9)
    line = fit.slope * fit.x + fit.intercept
    cooks = [np.sum((np.polyval(p, fit.x) - line) ** 2) / (2 * fit.residual_sd**2) for p in refits]
    np.testing.assert_allclose(fit.cooks_distance, cooks, atol=1e-9)
    middles = np.array([np.polyval(p, at) for p in refits])
    rank = math.ceil(0.9 * (n + 1))
    low = np.sort(middles - np.abs(left_out))[n - rank]
    high = np.sort(middles + np.abs(left_out))[rank - 1]
    np.testing.assert_allclose(fit.jackknife_plus(at, 0.9), (low, high), atol=1e-9)


@given(st.integers(0, 10_000))
@settings(max_examples=30)
def test_leverage_sums_to_two(seed: int) -> None:
    """The leverages of a line sum to its two parameters; residuals sum to 0."""
    fit = _random_line(seed)
    assert fit.leverage.sum() == pytest.approx(2)
    assert fit.residuals.sum() == pytest.approx(0, abs=1e-9)


def test_intervals_nest_and_widen() -> None:
    """Intervals nest as the level grows, and widen away from the middle of the points."""
    fit = _random_line(1)
    for interval in (fit.prediction_interval, fit.jackknife_plus):
        ends = [interval(0.3, level) for level in (0.3, 0.5, 0.7, 0.9)]
        assert all(b[0] <= a[0] < a[1] <= b[1] for a, b in pairwise(ends))
    assert fit.prediction_sd(fit.mean_x) < fit.prediction_sd(fit.mean_x + 0.5)


def test_jackknife_plus_needs_points_enough() -> None:
    """With 8 points no finite interval holds at level 0.95."""
    assert _random_line(2, n=8).jackknife_plus(0.3, 0.95) == (-math.inf, math.inf)


@pytest.mark.parametrize("interval", ["prediction_interval", "jackknife_plus"])
def test_coverage_on_normal_errors(interval: str) -> None:
    """Over 400 seeded lines the 90% intervals hold a new point about 90 times in 100."""
    rng = np.random.default_rng(5)
    hits = []
    for seed in range(400):
        x = rng.uniform(0, 0.7)
        low, high = getattr(_random_line(seed), interval)(x, 0.9)
        hits.append(low <= 0.3 + 0.6 * x + rng.normal(0, 0.1) <= high)
    assert 0.86 <= np.mean(hits) <= 0.95


def test_outlier_is_the_most_influential() -> None:
    """The point thrown off the line is the one that moves it most."""
    x = np.linspace(0, 1, 10)
    y = 0.5 * x
    y[9] += 3
    assert fit_line(x, y + 0.01 * np.cos(9 * x)).most_influential == 9


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([1, 2, 3], [1, 2, 3]),
        ([1, 2, 3, 4], [1, 2, 3]),
        ([1, 1, 1, 1], [1, 2, 3, 4]),
        ([1, 1, 1, 2], [1, 2, 3, 4]),
        ([1, 2, 3, math.nan], [1, 2, 3, 4]),
    ],
)
def test_undetermined_lines_are_refused(x: list[float], y: list[float]) -> None:
    """Too few points, values that are not finite, and x that does not vary are refused."""
    with pytest.raises(InputError):
        fit_line(x, y)


@given(st.integers(0, 200))
def test_the_difference_is_that_of_the_leave_one_task_out_errors(seed: int) -> None:
    """Its mean is the difference of the two errors that `fit_line` gives; the interval holds it."""
    x, y = made_up(0.5, 10, seed)
    line = fit_line(x, y)
    found = loto_difference(x, y, resamples=50)
    assert found.mean == pytest.approx(line.loo_mae_of_mean - line.loo_mae)
    assert found.low <= found.high


def test_a_resample_is_refitted_without_any_copy_of_the_task() -> None:
    """By hand: lines through the drawn tasks that are not the one predicted, copies and all."""
    x, y = (np.array(values) for values in made_up(0.6, 9, 4))
    rng = np.random.default_rng(0)
    by_hand = []
    for drawn in rng.integers(9, size=(40, 9)):
        gains = []
        for task in drawn:
            others = drawn[drawn != task]
            slope, intercept = np.polyfit(x[others], y[others], 1)
            error = abs(y[task] - slope * x[task] - intercept)
            gains.append(abs(y[task] - y[others].mean()) - error)
        by_hand.append(np.mean(gains))
    found = loto_difference(x.tolist(), y.tolist(), resamples=40)
    assert [found.low, found.high] == pytest.approx(np.quantile(by_hand, [0.05, 0.95]))


def test_a_strong_line_is_better_and_no_line_is_not() -> None:
    """A correlation of 0.95 shows; one of 0 does not; a constant CoS-Low is refused."""
    assert loto_difference(*made_up(0.95)).line_is_better
    assert not loto_difference(*made_up(0.0)).line_is_better
    with pytest.raises(InputError, match="does not vary"):
        loto_difference([0.4] * 10, [0.1 * n for n in range(10)])
    with pytest.raises(InputError, match="4 tasks or more"):
        loto_difference([0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
