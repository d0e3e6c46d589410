"""Costs in money, and the plan that follows from them."""

from typing import Any

import pytest

from labelcast.forecast.forecasting import forecast

SEEN: dict[str, Any] = {"observations": [(50, 0.5), (100, 0.58)], "observe_size": 1000}


@pytest.mark.parametrize("label", [0.05, 0.5, 4.0])
@pytest.mark.parametrize("run", [0.0, 12.5, 300.0])
def test_the_plan_adds_up(label: float, run: float) -> None:
    """It has the cost of the labels, of the run, and their sum; the advice states them."""
    answer = forecast(target_score=0.8, label_cost=label, run_cost=run, value=1e6, **SEEN)
    plan = answer.plan
    assert plan is not None and answer.next_budget is not None
    assert plan.labels == answer.next_budget - 100 > 0
    assert plan.label_cost == pytest.approx(plan.labels * label)
    assert plan.run_cost == run
    assert plan.total == pytest.approx(plan.label_cost + plan.run_cost)
    assert f"for {plan.label_cost:,.2f}" in answer.advice()
    assert (f"{plan.total:,.2f} in all" in answer.advice()) == (run > 0)


def test_a_higher_label_price_never_buys_more() -> None:
    """With the run and the value fixed, the next budget falls with the price of a label."""
    budgets = [
        forecast(target_score=0.8, label_cost=c, run_cost=50.0, value=5000.0, **SEEN).next_budget
        for c in (0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 50.0)
    ]
    numbers = [budget or 100 for budget in budgets]
    assert numbers == sorted(numbers, reverse=True) and numbers[0] > numbers[-1]


def test_costlier_runs_never_buy_less_and_the_value_decides_when_to_stop() -> None:
    """A costly run is not repeated often; for a target that is worth nothing, nothing is bought."""
    cheap, dear = (
        forecast(target_score=0.8, label_cost=1.0, run_cost=c, **SEEN).next_budget
        for c in (1.0, 1000.0)
    )
    assert cheap is not None and dear is not None and cheap <= dear
    worthless = forecast(target_score=0.8, label_cost=1.0, value=1.0, **SEEN)
    assert worthless.next_budget is None and worthless.plan is None
    assert "do not look worth" in worthless.advice()


def test_the_unit_of_money_does_not_matter() -> None:
    """All costs times 100 give the same budget."""
    one, two = (
        forecast(target_score=0.8, label_cost=0.3 * u, run_cost=9 * u, value=900 * u, **SEEN)
        for u in (1.0, 100.0)
    )
    assert one.next_budget == two.next_budget


def test_without_a_price_there_is_no_plan() -> None:
    """There is none without the price of a label, or if the target is met."""
    assert forecast(target_score=0.8, **SEEN).plan is None
    assert forecast(target_score=0.55, label_cost=1.0, **SEEN).plan is None


def test_after_coslow_alone_the_advice_says_what_a_first_run_adds() -> None:
    """After a score it does not."""
    alone = forecast(0.4, "llama-3.1-8b-instruct", target=0.9)
    assert "first run on as few as 50 labels" in alone.advice()
    after = forecast(0.4, "llama-3.1-8b-instruct", target_score=0.8, **SEEN)
    assert "first run" not in after.advice()
