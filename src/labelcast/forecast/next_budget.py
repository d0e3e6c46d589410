"""How many labels to own before the next training run, or to stop."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from labelcast.forecast.answer import NextStepCost
from labelcast.forecast.chances import Chances
from labelcast.forecast.efficiency import LARGEST_BUDGET, Array
from labelcast.forecast.question import Question

RUN_COST = 50
"""What one training run costs, in labels."""

VALUE = 20_000
"""What meeting the target is worth, in labels."""

STEPS_PER_DOUBLING = 4
SMALLEST_STEP = 1.1
_SMALLEST_BUDGET = 50
_FURTHER = 1.5


def next_budget(found: Chances, question: Question) -> int | None:
    """Return the budget to label up to and train at next; None where the target is met, or to stop.

    Args:
        found: the chance that the target is reached within n labels.
        question: with the scores observed so far, and the costs.
    """
    owned = question.scores.most_labels
    if question.met or owned >= question.horizon:
        return None
    # Without a target score it is unknown whether the budgets tried have failed.
    failed = [owned] if question.target_score is not None and question.scores.all else []
    costs, prices = question.costs, {}
    if costs.label and costs.run is not None:
        prices["run_cost"] = costs.run / costs.label
    if costs.label and costs.value is not None:
        prices["value"] = costs.value / costs.label
    return choose(*found.sample(), owned, failed, horizon=question.horizon, **prices)


def cost_of(budget: int | None, question: Question) -> NextStepCost | None:
    """Return what the next step costs, None where there is none or a label has no price."""
    costs = question.costs
    if budget is None or costs.label is None:
        return None
    labels = budget - question.scores.most_labels
    label_cost, run_cost = labels * costs.label, costs.run or 0.0
    return NextStepCost(labels, label_cost, run_cost, label_cost + run_cost)


def choose(
    labels: npt.ArrayLike,
    weights: npt.ArrayLike,
    owned: int,
    tried: Sequence[int] = (),
    run_cost: float = RUN_COST,
    value: float | None = None,
    horizon: int = LARGEST_BUDGET,
) -> int | None:
    """Choose how many labels to have at the next training run.

    The policy is a dynamic programme over the labels to have: the budgets 50 * 2^(k/4) up to the
    horizon H that are at least 1.1 times what is owned, and H. With N the labels needed, the
    expected cost V of owning a labels is the lesser of stopping, value * P(a < N <= H), and of
    buying up to b and running there, P(N > a) * (b - a + run_cost) + V(b). The plan assumes that a
    run shows only whether the target is met; after a real run the curve is conditioned on its score
    and the plan is computed again.

    Args:
        labels: a sample of the labels needed, [n], infinite where the horizon does not suffice.
        weights: weights of the sample, [n], 0 or more; they need not sum to 1.
        owned: labels owned now.
        tried: budgets trained at without meeting the target: the labels needed lie above them.
            If no sample allows that, 1.5 times the largest is assumed.
        run_cost: cost of one training run, in labels.
        value: value of meeting the target, in labels; 20,000, or four times the horizon where
            that is more.
        horizon: the most labels that may be owned.

    Returns:
        The labels to own next, above `owned`, or None where more labels are not worth it: the
        target is certainly met, or its chance is too small.

    >>> choose([200.0, 400.0], [1.0, 1.0], owned=0)
    200
    >>> choose([float("inf")], [1.0], owned=100, tried=[100]) is None
    True
    """
    needed, mass = _given_failures(labels, weights, tried)
    worth_of_target = max(VALUE, 4 * horizon) if value is None else value
    points = _points(owned, horizon)
    met = np.array([mass[needed <= point].sum() for point in points])
    reachable = float(mass[needed <= horizon].sum())
    cost = worth_of_target * np.maximum(reachable - met, 0.0)
    chosen: float | None = None
    for i in reversed(range(len(points) - 1)):
        buying = (1 - met[i]) * (points[i + 1 :] - points[i] + run_cost) + cost[i + 1 :]
        j = int(np.argmin(buying))
        worth = bool(buying[j] < cost[i] - 1e-9)
        chosen = float(points[i + 1 + j]) if worth else None
        cost[i] = min(cost[i], buying[j])
    return None if chosen is None else round(chosen)


def _given_failures(
    labels: npt.ArrayLike, weights: npt.ArrayLike, tried: Sequence[int]
) -> tuple[Array, Array]:
    """Return the sample and its weights, which sum to 1, given that the budgets tried failed."""
    needed = np.asarray(labels, dtype=np.float64)
    failed = max(tried, default=-math.inf)
    mass = np.asarray(weights, dtype=np.float64) * (needed > failed)
    if mass.sum() < 1e-6 * max(float(np.sum(weights)), 1e-300):
        return np.array([_FURTHER * failed]), np.ones(1)
    return needed, mass / mass.sum()


def _points(owned: int, horizon: int) -> Array:
    """Return the possible budgets: first what is owned now, then rising budgets above it."""
    doublings = max(math.log2(horizon / _SMALLEST_BUDGET), 0.0)
    powers = np.arange(math.ceil(doublings * STEPS_PER_DOUBLING)) / STEPS_PER_DOUBLING
    ladder = np.round(_SMALLEST_BUDGET * 2.0**powers)
    ladder = ladder[ladder > owned * SMALLEST_STEP]
    last = [float(horizon)] if owned < horizon else []
    return np.array([float(owned), *ladder, *last])
