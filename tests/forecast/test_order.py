"""How the labels needed depend on scores, targets and CoS-Low."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from forecast_helpers import needed, number
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcast.forecast.answer import LabelsNeeded
from labelcast.forecast.forecasting import forecast

ENDS: list[dict[str, Any]] = [{}, {"zero_shot": 0.4}, {"zero_shot": 0.4, "ceiling": 0.9}]
LLAMA = "llama-3.1-8b-instruct"


def _falls(answers: list[LabelsNeeded], names: tuple[str, ...]) -> None:
    """Labels never rise and the chance never falls."""
    for worse, better in pairwise(answers):
        for name in names:
            assert number(getattr(better, name)) <= number(getattr(worse, name)), (worse, better)
        assert better.reachable >= worse.reachable - 1e-4, (worse, better)


@pytest.mark.parametrize("size", [100, 500, 5000])
@pytest.mark.parametrize(
    "ends", [*ENDS, {"recipe": "linear"}], ids=["no ends", "zero-shot", "both ends", "frozen"]
)
def test_a_better_score_never_needs_more_labels(size: int, ends: dict[str, Any]) -> None:
    """One score in steps of .005: median and both ends never rise."""
    start = {100: 0.44, 500: 0.55, 5000: 0.41}[size]
    answers = [
        needed(observations=[(50, float(s))], target_score=0.8, observe_size=size, **ends)
        for s in np.arange(start, start + 0.045, 0.005)
    ]
    _falls(answers, ("low", "median", "high"))


@pytest.mark.parametrize("size", [100, 500, 5000])
@pytest.mark.parametrize(
    "before", [[(50, 0.5)], [(50, 0.45), (100, 0.5)]], ids=["second score", "third score"]
)
@pytest.mark.parametrize(
    "ends",
    [{"zero_shot": 0.4}, {"zero_shot": 0.4, "ceiling": 0.95}, {"recipe": "linear"}],
    ids=["zero-shot", "both ends", "frozen"],
)
def test_a_better_last_score_never_needs_more_labels(
    ends: dict[str, Any], before: list[tuple[int, float]], size: int
) -> None:
    """The last of several rising scores, in steps of .005: the median never rises."""
    last = 2 * before[-1][0]
    answers = [
        needed(
            observations=[*before, (last, float(s))], target_score=0.85, observe_size=size, **ends
        )
        for s in np.arange(0.545, 0.595, 0.005)
    ]
    medians = [number(answer.median) for answer in answers]
    assert medians == sorted(medians, reverse=True)


def test_a_lower_ceiling_of_a_frozen_model_lowers_the_chance() -> None:
    """It only says that higher scores are unlikely, also where observed scores come close to it."""
    seen = [(50, 0.5), (100, 0.52)]
    chances = [
        needed(observations=seen, target_score=0.55, frozen=True, **ceiling).reachable
        for ceiling in ({}, {"ceiling": 0.9}, {"ceiling": 0.7}, {"ceiling": 0.6}, {"ceiling": 0.56})
    ]
    assert chances == sorted(chances, reverse=True)
    assert chances[-1] < chances[0] - 0.2


@given(st.lists(st.floats(0.3, 0.99), min_size=3, max_size=3), st.sampled_from(ENDS))
@settings(max_examples=5)
def test_a_higher_target_never_needs_fewer_labels(
    targets: list[float], ends: dict[str, Any]
) -> None:
    """Median and both ends never fall with the target, and the chance never rises."""
    seen = [(50, 0.5), (50, 0.47), (200, 0.6)]
    asked = sorted({min(t, ends.get("ceiling", 1.0)) for t in targets}, reverse=True)
    answers = [needed(observations=seen, target_score=t, **ends) for t in asked]
    _falls(answers, ("low", "median", "high"))


@pytest.mark.parametrize(
    "known",
    [
        {},
        {"zero_shot": 0.4, "ceiling": 0.9},
        {"zero_shot": 0.4, "target_score": 0.8},
        {"observations": [(50, 0.55)], "target_score": 0.8},
        {"observations": [(50, 0.55)], "zero_shot": 0.4, "target_score": 0.8},
        {"observations": [(50, 0.55)], "zero_shot": 0.4, "ceiling": 0.9, "target_score": 0.8},
    ],
    ids=["alone", "ends", "zero-shot", "score", "score, zero-shot", "score, ends"],
)
def test_a_higher_coslow_never_needs_more_labels(known: dict[str, Any]) -> None:
    """From 0 to 1 the median never rises, with and without a score and a ceiling."""
    medians = [
        number(forecast(c, LLAMA, **known).labels_needed.median) for c in np.linspace(0, 1, 8)
    ]
    assert medians == sorted(medians, reverse=True)


@pytest.mark.parametrize("size", [200, 2000])
@pytest.mark.parametrize(
    "ends", [*ENDS[:2], {"recipe": "linear"}], ids=["no ends", "zero-shot", "frozen"]
)
def test_a_repeated_score_does_not_widen_the_interval(size: int, ends: dict[str, Any]) -> None:
    """A second seed with the same score narrows the curve at later budgets, or changes nothing."""
    seen = [(50, 0.5), (100, 0.56)]
    once, twice = (
        forecast(observations=scores, observe_size=size, target_score=0.8, **ends).curve
        for scores in (seen, [*seen, seen[-1]])
    )
    for before, after in zip(once, twice, strict=True):
        if before.n in (100, 200, 500, 1000):
            assert after.high - after.low <= 1.01 * (before.high - before.low)
