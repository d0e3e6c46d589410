"""The policy that chooses the next budget."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from labelcast.forecast.next_budget import choose

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
