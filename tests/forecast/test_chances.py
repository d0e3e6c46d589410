"""The chance of reaching the target by a number of labels."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelcast.forecast.chances import LOG_LABELS, Chances, chances
from labelcast.forecast.particles import NODES, Draws
from labelcast.forecast.posterior import Part
from labelcast.forecast.question import Question


@st.composite
def some_chances(draw: st.DrawFn) -> Chances:
    """A chance that rises in a few steps, and may stay below 1."""
    places = draw(st.lists(st.integers(0, 400), min_size=1, max_size=6))
    sizes = draw(st.lists(st.floats(0.01, 1), min_size=6, max_size=6))
    steps = np.zeros(len(LOG_LABELS))
    for place, size in zip(places, sizes, strict=False):
        steps[place] += size
    return Chances(np.cumsum(steps) / steps.sum() * draw(st.floats(0.1, 1)))


@given(some_chances(), st.floats(0.01, 1.0))
def test_quantile_is_the_inverse_of_the_chance(found: Chances, share: float) -> None:
    """The chance first reaches the probability at its quantile."""
    probability = share * float(found.by_labels[-1])
    labels = found.quantile(probability)
    assert 1 <= labels <= 1e6 * (1 + 1e-9)
    assert found.at(labels * (1 + 1e-9)) >= probability - 1e-6
    if labels > 1.001:
        assert found.at(labels * 0.97) <= probability + 1e-9


@given(some_chances(), st.floats(0, 1), st.floats(0, 1), st.floats(1, 1e6), st.floats(1, 1e6))
def test_chance_and_quantile_never_fall(
    found: Chances, p: float, q: float, n: float, m: float
) -> None:
    """More labels never have a smaller chance; a larger probability never needs fewer labels."""
    low, high = sorted((p, q))
    assert found.quantile(low) <= found.quantile(high)
    few, many = sorted((n, m))
    assert found.at(few) <= found.at(many)


@given(some_chances())
def test_a_probability_above_the_last_chance_is_never_reached(found: Chances) -> None:
    """The last chance is that at a million labels; the sample agrees."""
    last = float(found.by_labels[-1])
    assert found.quantile(last + 1e-6) == math.inf
    labels, weights = found.sample()
    assert weights.sum() == pytest.approx(1) and (weights >= 0).all()
    assert weights[np.isinf(labels)].sum() == pytest.approx(1 - last, abs=1e-12)


def test_draws_count_from_where_they_reach_the_target() -> None:
    """A draw counts from its own labels on; one that never reaches it counts nowhere."""
    labels = np.array([10.0, 1000.0, 1e6, np.inf])
    curves = np.where(labels[:, None] <= NODES, 1.0, 0.0)
    draws = Draws(curves, np.zeros(4), np.ones(4), np.full(4, 0.01), np.array([0.1, 0.2, 0.3, 0.4]))
    found = chances([Part(draws, draws, 1.0)], Question.of(target_score=1.0))
    step = math.exp(LOG_LABELS[1])
    for n, chance in ((9 / step, 0), (10 * step, 0.1), (900, 0.1), (1000 * step, 0.3), (1e6, 0.6)):
        assert found.at(n) == pytest.approx(chance, abs=1e-9)
