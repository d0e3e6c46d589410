"""Calibrations: the published fit, prediction, and what is refused."""

import csv
import math

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from shared_data import shared

from labelcast.errors import InputError
from labelcast.forecast.calibration import Calibration
from labelcast.forecast.line import fit_points

X = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.65, 0.7]
Y = [0.33, 0.36, 0.40, 0.52, 0.49, 0.60, 0.58, 0.71, 0.66]


def _mine(**options: object) -> Calibration:
    return Calibration.fit(X, Y, name="mine", **options)  # type: ignore[arg-type]


def _published_figure() -> Calibration:
    path = shared() / "paper" / "coslow_llama_figure.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return Calibration.fit(
        [float(row["coslow"]) for row in rows],
        [float(row["auc"]) for row in rows],
        name="figure",
        tasks=[row["task"] for row in rows],
    )


def test_published_figure_to_the_printed_digits() -> None:
    """The points of the published figure give the published line, errors and outlier."""
    card = _published_figure()
    line = fit_points(card.points)
    assert card.tasks == 28
    assert (round(card.slope, 3), round(line.slope_se, 3)) == (0.625, 0.121)
    assert (round(card.intercept, 3), round(line.intercept_se, 3)) == (0.291, 0.034)
    assert (round(line.r, 3), round(card.residual_sd, 3)) == (0.713, 0.112)
    assert card.loto_mae is not None and round(card.loto_mae, 4) == 0.0760
    assert round(line.loo_mae_of_mean, 3) == 0.128


def test_without_the_outlier() -> None:
    """Without temporal_sequences the correlation is 0.853, as stated."""
    points = [p for p in _published_figure().points if p.task != "temporal_sequences"]
    card = Calibration.fit([p.coslow for p in points], [p.auc for p in points], name="without")
    line = fit_points(card.points)
    assert round(line.r, 3) == 0.853


def test_prediction_is_the_parametric_interval() -> None:
    """A fitted card predicts with the line's own t interval, leverage included."""
    card = _mine()
    line = fit_points(card.points)
    estimate = card.predict(0.45, level=0.8)
    middle, n = line.slope * 0.45 + line.intercept, len(X)
    sd = line.residual_sd * math.sqrt(1 + 1 / n + (0.45 - line.mean_x) ** 2 / line.sxx)
    half = scipy.stats.t.ppf(0.9, n - 2) * sd
    assert (estimate.low, estimate.high) == pytest.approx((middle - half, middle + half))
    assert estimate.df == len(X) - 2 and not estimate.clipped


@given(st.floats(-1, 1), st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_intervals_nest_as_the_level_grows(coslow: float, a: float, b: float) -> None:
    """The interval of a higher level contains that of a lower one; all lie within 0.05 to 0.95."""
    inner, outer = (_mine().predict(coslow, level) for level in sorted((a, b)))
    assert 0.05 <= outer.low <= inner.low + 1e-9 and inner.high <= outer.high + 1e-9 <= 0.95 + 1e-9
    assert inner.low <= inner.mean == outer.mean <= inner.high


def test_caveats_are_warnings() -> None:
    """A CoS-Low beyond the tasks' and an AUC outside its range give a warning."""
    card = Calibration.fit(X, [1.2 * x + 0.05 for x in X], name="steep")
    estimate = card.predict(0.95)
    assert estimate.clipped and estimate.mean == 0.95
    assert any("beyond" in w for w in estimate.warnings)
    assert any("clipped" in w for w in estimate.warnings)
    assert card.predict(0.5).warnings == ()


@pytest.mark.parametrize(
    ("coslow", "auc", "tasks", "words"),
    [
        (X[:7], Y[:7], None, "too few"),
        ([0.3] * 9, Y, None, "does not vary"),
        ([0.3] * 8 + [0.4], Y, None, "does not vary"),
        (X, Y[:8], None, "9, 8"),
        ([*X[:8], 1.5], Y, None, "1.5"),
        ([*X[:8], math.nan], Y, None, "nan"),
        (X, [*Y[:8], -0.1], None, "-0.1"),
        (X, [*Y[:8], math.nan], None, "nan"),
        (X, Y, ["a"] * 9, "twice"),
    ],
)
def test_unusable_tasks_are_refused(
    coslow: list[float], auc: list[float], tasks: list[str] | None, words: str
) -> None:
    """Too few tasks, a CoS-Low that does not vary, and bad values: the message gives the reason."""
    with pytest.raises(InputError, match=words):
        Calibration.fit(coslow, auc, name="bad", tasks=tasks)


@pytest.mark.parametrize("coslow", [-1.1, 1.1, math.nan])
def test_coslow_out_of_range(coslow: float) -> None:
    """A CoS-Low outside -1 to 1 is refused."""
    with pytest.raises(InputError, match="--coslow"):
        _mine().predict(coslow)


@pytest.mark.parametrize("level", [0.0, 1.0, math.nan])
def test_level_out_of_range(level: float) -> None:
    """A level outside (0, 1) is refused."""
    with pytest.raises(InputError, match="--level"):
        _mine().predict(0.3, level)
