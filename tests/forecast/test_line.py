"""A least-squares line and the tests of it."""

import math

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
    """The closed-form leave-one-out errors equal those of real refits."""
    fit = _random_line(seed)
    refits = [np.polyfit(np.delete(fit.x, i), np.delete(fit.y, i), 1) for i in range(len(fit.x))]
    left_out = fit.y - [np.polyval(refit, x) for refit, x in zip(refits, fit.x, strict=True)]
    np.testing.assert_allclose(fit.loo_residuals, left_out, atol=1e-9)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([1, 2, 3], [1, 2, 3]),
        ([1, 1, 1, 1], [1, 2, 3, 4]),
        ([1, 1, 1, 2], [1, 2, 3, 4]),
        ([1, 2, 3, math.nan], [1, 2, 3, 4]),
    ],
)
def test_undetermined_lines_are_refused(x: list[float], y: list[float]) -> None:
    """Too few points, values that are not finite and x that does not vary are refused."""
    with pytest.raises(InputError):
        fit_line(x, y)


@given(st.integers(0, 200))
def test_the_difference_is_that_of_the_leave_one_task_out_errors(seed: int) -> None:
    """Its mean is the difference of the two errors from `fit_line`; the interval contains it."""
    x, y = made_up(0.5, 10, seed)
    line = fit_line(x, y)
    found = loto_difference(x, y, resamples=50)
    assert found.mean == pytest.approx(line.loo_mae_of_mean - line.loo_mae)
    assert found.low <= found.high


def test_a_resample_is_refitted_without_any_copy_of_the_task() -> None:
    """Computed by hand: lines through the drawn tasks other than the predicted one, with copies."""
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
    """A correlation of 0.95 is detected, one of 0 is not; a constant CoS-Low is refused."""
    assert loto_difference(*made_up(0.95)).line_is_better
    assert not loto_difference(*made_up(0.0)).line_is_better
    with pytest.raises(InputError, match="does not vary"):
        loto_difference([0.4] * 10, [0.1 * n for n in range(10)])
