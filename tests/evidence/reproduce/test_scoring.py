"""Criteria of a prediction, and their task-clustered intervals."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.reproduce.scoring import (
    MEASURES,
    LabelsPrediction,
    Prediction,
    TaskBootstrap,
    Truth,
    interval_score,
    measure,
)
from labelcast.errors import InputError

INF = math.inf


def _measured(
    truth: tuple[float | None, ...], point: list[float], interval: list[list[float]] | None
) -> dict[str, float]:
    ends = None if interval is None else np.array([interval])
    labels = LabelsPrediction(np.array([point]), ends)
    prediction = Prediction(np.array([0.5]), np.array([[0.4, 0.6]]), labels)
    found = measure(Truth(0.45, truth, 0.8), prediction)
    return dict(zip(MEASURES, found.tolist(), strict=True))


def test_labels_below_50_are_alike() -> None:
    """Truth and prediction up to 50 labels count as the same; without the floor they differ."""
    found = _measured((10.0, 50.0, 200.0), [50.0, 3.0, 100.0], None)
    assert [found[f"labels_error_{t}"] for t in (0.5, 0.7, 0.9)] == [0.0, 0.0, 1.0]
    assert found["unfloored_error_0.5"] == pytest.approx(math.log2(5))


def test_unreached_targets() -> None:
    """A prediction that never reaches counts as 5,000; a truth that never does has no error."""
    found = _measured((2500.0, None, None), [INF, 100.0, INF], None)
    assert found["labels_error_0.5"] == pytest.approx(1.0)
    assert math.isnan(found["labels_error_0.7"])
    assert math.isnan(found["labels_error_0.9"])
    covered = _measured((None, None, None), [INF] * 3, [[50.0, INF], [50.0, 4999.0], [INF, INF]])
    assert covered["covers_labels"] == pytest.approx(2 / 3)


def test_methods_without_an_interval_have_no_coverage() -> None:
    """What a method does not give is NaN, not zero."""
    found = _measured((100.0, 100.0, 100.0), [100.0] * 3, None)
    assert math.isnan(found["covers_labels"])
    assert math.isnan(found["covers_score_5000"])
    assert found["covers_auc"] == 1.0
    assert found["auc_error"] == pytest.approx(0.05)


@given(low=st.floats(0, 1), width=st.floats(0, 1), miss=st.floats(0, 1), further=st.floats(0.01, 1))
def test_interval_score_grows_with_width_and_miss(
    low: float, width: float, miss: float, further: float
) -> None:
    """A covered truth costs the width alone; a miss costs 20 times its size at 90%."""
    ends = np.array([low]), np.array([low + width])
    assert interval_score(*ends, low + width / 2)[0] == pytest.approx(width, abs=1e-9)
    near, far = (interval_score(*ends, low - m)[0] for m in (miss, miss + further))
    assert far - near == pytest.approx(20 * further, rel=1e-6)


def test_curves_of_one_task_are_drawn_together() -> None:
    """Curves of one task have the same count in every resample; the counts sum to the tasks."""
    bootstrap = TaskBootstrap.of(["a", "b", "a", "c"], seed=1, resamples=50)
    np.testing.assert_array_equal(bootstrap.counts[:, 0], bootstrap.counts[:, 2])
    np.testing.assert_array_equal(bootstrap.counts[:, [0, 1, 3]].sum(axis=1), 3)


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=9), st.floats(-3, 3))
def test_the_bootstrap_of_a_mean(values: list[float], shift: float) -> None:
    """The interval holds the mean's resamples: it moves with the values and lies within them."""
    bootstrap = TaskBootstrap.of([str(i) for i in range(len(values))], resamples=200)
    once, moved = bootstrap.mean(np.array(values)), bootstrap.mean(np.array(values) + shift)
    assert once.value == pytest.approx(np.mean(values))
    for end in ("low", "high"):
        a, b = getattr(once, end), getattr(moved, end)
        assert min(values) - 1e-9 <= a <= max(values) + 1e-9
        assert b == pytest.approx(a + shift, abs=1e-9)


def test_missing_values_are_left_out() -> None:
    """NaN does not count; where nothing is left the figure is None; no curve at all is refused."""
    bootstrap = TaskBootstrap.of(["a", "b", "c"], resamples=20)
    assert bootstrap.mean(np.array([1.0, math.nan, 3.0])).value == 2.0
    assert bootstrap.mean(np.full(3, math.nan)).value is None
    with pytest.raises(InputError, match="no curves"):
        TaskBootstrap.of([])
