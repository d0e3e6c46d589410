"""Horizons, and labels beyond the published 5,000."""

import pytest
from forecast_helpers import needed

from labelcast.errors import InputError
from labelcast.forecast.answer import LabelsNeeded
from labelcast.forecast.efficiency import GRID
from labelcast.forecast.forecasting import forecast
from labelcast.forecast.question import Question

SEEN = [(50, 0.5), (50, 0.55), (100, 0.6)]
HORIZONS = (120, 1000, 5000, 100_000, 10**6)


def _all(target: float) -> list[LabelsNeeded]:
    return [needed(target_score=target, observations=SEEN, horizon=horizon) for horizon in HORIZONS]


@pytest.mark.parametrize("target", [0.7, 0.8, 0.95])
def test_labels_beyond_the_horizon_are_none(target: float) -> None:
    """No number exceeds the horizon; one within a small horizon is the same in a larger one."""
    found = _all(target)
    for name in ("low", "median", "high"):
        values = [getattr(answer, name) for answer in found]
        reached = [value for value in values if value is not None]
        assert len(set(reached)) <= 1
        for horizon, value in zip(HORIZONS, values, strict=True):
            assert value is None or value <= horizon
            assert value is not None or not reached or reached[0] > horizon
    for horizon, answer in zip(HORIZONS, found, strict=True):
        for value in answer[4:]:
            assert value is None or value <= horizon


@pytest.mark.parametrize("target", [0.7, 0.8, 0.95])
def test_more_labels_never_reach_less(target: float) -> None:
    """The chance rises with the horizon, and stays below 1 at a million labels."""
    chances = [answer.reachable for answer in _all(target)]
    assert chances == sorted(chances)
    assert chances[0] < chances[-1] < 1
    assert chances[-1] - chances[-2] < 0.3


def test_the_median_is_where_the_chance_is_a_half() -> None:
    """It is None exactly if the chance of reaching the target is below a half."""
    for target in (0.7, 0.8, 0.95):
        for answer in _all(target):
            assert (answer.median is None) == (answer.reachable < 0.5)


@pytest.mark.parametrize("horizon", [1000, 5000, 30_000, 10**6])
def test_the_curve_reaches_to_the_horizon(horizon: int) -> None:
    """It has the published budgets, bends below 50 labels, goes to the horizon and never falls."""
    answer = forecast(observations=SEEN, target_score=0.8, horizon=horizon)
    budgets = [band.n for band in answer.curve]
    assert budgets[: len(GRID) + 2] == sorted({*GRID, 10, 20}) and budgets == sorted(set(budgets))
    assert budgets[-1] == max(horizon, 5000)
    means = [band.mean for band in answer.curve]
    assert means == sorted(means) and answer.horizon == horizon
    assert f"{horizon:,}" in answer.sentence()
    assert answer.next_budget is None or 100 < answer.next_budget <= horizon


def test_scores_and_budgets_may_be_beyond_5000() -> None:
    """A score at 100,000 labels counts, and the reverse question works there."""
    seen = [(1000, 0.6), (100_000, 0.72)]
    answer = forecast(
        observations=seen, target_score=0.75, horizon=10**6, budget=100_000, observe_size=5000
    )
    assert answer.at_budget is not None
    assert answer.at_budget.mean == pytest.approx(0.72, abs=0.03)
    low = answer.labels_needed.low
    assert low is not None and low > 1000
    same = forecast(observations=seen, target_score=0.75, horizon=100_000, observe_size=5000)
    assert same.next_budget is None and same.auc == answer.auc


@pytest.mark.parametrize(
    ("tried", "pool_size", "horizon"),
    [
        (100, 0, 5000),
        (100, 8000, 8000),
        (1250, 0, 5000),
        (1251, 0, 5004),
        (4999, 0, 19_996),
        (10_000, 8000, 40_000),
        (400_000, 0, 10**6),
        (100, 2 * 10**6, 10**6),
    ],
)
def test_the_default_horizon_is_beyond_what_is_known(
    tried: int, pool_size: int, horizon: int
) -> None:
    """It is the largest of 5,000 labels, the pool's size and four times the largest budget."""
    question = Question.of(target_score=0.9, observations=[(tried, 0.7)], pool_size=pool_size)
    assert question.horizon == horizon


def test_a_horizon_below_a_budget_that_was_tried_is_refused() -> None:
    """There is nothing to forecast before the last score; the message has both numbers."""
    with pytest.raises(InputError, match=r"--horizon 40 lies below 100 labels"):
        forecast(target_score=0.9, observations=SEEN, horizon=40)
    assert forecast(target_score=0.9, observations=SEEN, horizon=100).next_budget is None
