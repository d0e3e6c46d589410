"""The policy that chooses the next budget, and what it costs in money."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelcast.forecast.forecasting import forecast
from labelcast.forecast.next_budget import choose

SEEN: dict[str, Any] = {"observations": [(50, 0.5), (100, 0.58)], "observe_size": 1000}
INF = math.inf
LABELS = st.lists(st.one_of(st.floats(1, 5000), st.just(INF)), min_size=1, max_size=40)
OWNED = st.integers(0, 6000)


@given(labels=LABELS, owned=OWNED, fail=st.booleans(), value=st.floats(0, 1e5))
def test_the_choice_is_above_what_is_owned(
    labels: list[float], owned: int, fail: bool, value: float
) -> None:
    """More is bought, or nothing; never less than is owned, never more than 5,000."""
    tried = [owned] if fail and owned else []
    chosen = choose(labels, np.ones(len(labels)), owned, tried, value=value)
    assert chosen is None or owned < chosen <= 5000


@given(labels=LABELS, owned=OWNED)
def test_nothing_is_bought_if_it_cannot_help(labels: list[float], owned: int) -> None:
    """None if the target is certainly met, or if 5,000 labels never meet it."""
    ones = np.ones(len(labels))
    assert choose(np.minimum(labels, owned), ones, owned) is None
    assert choose(np.full(len(labels), INF), ones, owned, [owned] if owned else []) is None


@given(labels=LABELS, owned=OWNED, run_cost=st.floats(0, 500), value=st.floats(0, 1e5))
def test_a_higher_value_never_stops_earlier(
    labels: list[float], owned: int, run_cost: float, value: float
) -> None:
    """If buying pays at a value, it pays at every higher one."""
    ones = np.ones(len(labels))
    if choose(labels, ones, owned, run_cost=run_cost, value=value) is not None:
        assert choose(labels, ones, owned, run_cost=run_cost, value=3 * value + 1) is not None


@given(labels=LABELS, owned=OWNED, seed=st.integers(0, 99))
def test_order_and_scale_of_the_weights_do_not_matter(
    labels: list[float], owned: int, seed: int
) -> None:
    """With the sample shuffled, or its weights in another unit, the choice is the same."""
    generator = np.random.default_rng(seed)
    values, weights = np.array(labels), generator.integers(1, 9, len(labels)).astype(float)
    order = generator.permutation(len(values))
    once = choose(values, weights, owned)
    assert choose(values[order], 4 * weights[order], owned) == once


def test_costlier_runs_take_larger_steps() -> None:
    """The more a run costs, the more is bought at once; a step's worth follows the formula."""
    labels = np.geomspace(60, 2000, 50)
    cheap, dear = (choose(labels, np.ones(50), 0, run_cost=cost) for cost in (0, 500))
    assert cheap is not None
    assert dear is not None
    assert cheap < dear
    assert choose([400.0], [1.0], 0) == 400
    # To buy 400 labels and run once costs 450: worth it above that, not below.
    assert choose([400.0], [1.0], 0, run_cost=50, value=449) is None
    assert choose([400.0], [1.0], 0, run_cost=50, value=451) == 400


def test_a_failed_run_rules_out_what_it_tried() -> None:
    """After a failed run more is needed, even if no sample agrees."""
    assert choose([100.0, 400.0], [0.9, 0.1], 100, tried=[100]) == 400
    assert choose([60.0], [1.0], 100, tried=[100]) == 168
    assert choose([60.0], [1.0], 4000, tried=[4000]) is None
    assert choose([60.0, 4990.0], [0.0, 1.0], 4800, tried=[4800]) == 5000


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
