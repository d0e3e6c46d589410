"""Forecasts with options at every edge: finite numbers, or a refusal in words."""

from __future__ import annotations

import json
import math
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcast.errors import InputError
from labelcast.forecast import forecast

SCORES = st.sampled_from(
    [0.0, 5e-324, 1e-300, 1e-9, 0.25, 0.5, 0.5 + 2**-53, 0.9, 1 - 1e-10, 1.0, -0.0, math.nan, 1.1]
)
SDS = st.sampled_from([0.0, 1e-300, 1e-9, 0.02, 0.5, 1e300, -1.0])
BUDGETS = st.sampled_from([0, 1, 2, 49, 50, 4999, 5000, 10**6])
OBSERVED = st.tuples(BUDGETS, SCORES) | st.tuples(BUDGETS, SCORES, SDS)
QUESTIONS = st.fixed_dictionaries(
    {
        "coslow": st.none() | st.sampled_from([-1.0, 0.0, 1e-300, 0.4, 1.0]),
        "calibration": st.sampled_from(["pooled", "llama-3.1-8b-instruct"]),
        "zero_shot": st.none() | SCORES,
        "ceiling": st.none() | SCORES,
        "observations": st.lists(OBSERVED, max_size=4),
        "level": st.sampled_from([0.001, 0.9, 0.999, 1e-300, 1 - 2**-53]),
        "budget": st.none() | BUDGETS,
    },
    optional={
        "target": st.sampled_from([1e-300, 0.9, 1.0]),
        "target_score": SCORES,
        "observe_size": st.sampled_from([1, 500, 10**12, 10**400]),
        "observe_sd": SDS,
        "horizon": st.sampled_from([1, 49, 5000, 10**6]),
        "metric": st.sampled_from(["score", "error", "loss"]),
        "scale": st.sampled_from([1.0, 100.0, 1e-300, 1e300]),
        "label_cost": st.sampled_from([1e-6, 1.0, 1e6]),
        "run_cost": st.sampled_from([0.0, 1e12]),
        "value": st.sampled_from([0.0, 1e12]),
    },
)


def answered_or_refused(question: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            answer = forecast(**question)
        except InputError:
            return
    json.dumps(answer.to_dict(), allow_nan=False)
    assert 0 <= answer.auc.low <= answer.auc.mean <= answer.auc.high <= 1
    needed = answer.labels_needed
    low, median, high = (
        math.inf if labels is None else labels
        for labels in (needed.low, needed.median, needed.high)
    )
    assert 0 <= low <= median <= high


@given(QUESTIONS)
@settings(max_examples=50, derandomize=True)
def test_every_question_gets_a_forecast_or_a_refusal(question: dict[str, Any]) -> None:
    """No numpy warning, no number that JSON does not have, no other error."""
    answered_or_refused(question)


@pytest.mark.slow
@given(QUESTIONS)
@settings(max_examples=20_000, derandomize=True, database=None)
def test_very_many_questions_get_a_forecast_or_a_refusal(question: dict[str, Any]) -> None:
    """The same for twenty thousand."""
    answered_or_refused(question)
