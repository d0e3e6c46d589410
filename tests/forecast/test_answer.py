"""How a forecast is shown in a notebook."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest

from labelcast.forecast import Forecast, forecast

CASES: list[dict[str, Any]] = [
    {"coslow": 0.42},
    {"coslow": 0.05, "target": 1.0},
    {"zero_shot": 0.3, "target_score": 0.8, "observations": [(50, 0.5)], "level": 0.5},
    {"zero_shot": 0.9, "target_score": 0.8},
]


def shown(answer: Forecast) -> ElementTree.Element:
    """What a notebook shows, which must be well-formed."""
    return ElementTree.fromstring(answer._repr_html_())


@pytest.mark.parametrize("case", CASES)
def test_a_notebook_shows_the_numbers_of_the_forecast(case: dict[str, Any]) -> None:
    """It has sentence, advice, warnings and the whole curve, and no script or address."""
    answer = forecast(**({"calibration": "pooled"} | case))
    root = shown(answer)
    paragraphs = ["".join(p.itertext()) for p in root.findall("p")]
    advice = [answer.advice()] if answer.advice() else []
    warnings = [f"Warning: {warning}" for warning in answer.warnings]
    assert paragraphs == [answer.sentence(), *advice, *warnings]
    head, *rows = [[cell.text for cell in row] for row in root.findall("table/tr")]
    assert head == ["labels", answer.curve_unit, f"{answer.level:.0%} interval"]
    assert rows == [
        [f"{band.n:,}", f"{band.mean:.3f}", f"{band.low:.3f} to {band.high:.3f}"]
        for band in answer.curve
    ]
    html = answer._repr_html_()
    assert "<script" not in html and "http" not in html and "<svg" not in html


def test_text_in_a_notebook_is_escaped() -> None:
    """A warning may quote a user or a file."""
    hostile = "<script>alert('1')</script> & \"more\""
    answer = replace(forecast(coslow=0.4, calibration="pooled"), warnings=(hostile,))
    assert "<script" not in answer._repr_html_()
    assert "".join(shown(answer).findall("p")[-1].itertext()) == f"Warning: {hostile}"


def test_the_advice_speaks_of_other_scores_only_where_there_are_some() -> None:
    """A single score that meets a doubtful target may not be met again."""
    asked: dict[str, Any] = {"target_score": 1.0, "observe_size": 100}
    one, two = (
        forecast(observations=seen, **asked).advice()
        for seen in ([(50, 1.0)], [(50, 1.0), (100, 0.9)])
    )
    assert "it may not be met again: repeat the run with other seeds" in one
    assert "the other scores make it doubtful" in two


def test_frozen_losses_are_forecast_like_others() -> None:
    """Asking for it gives a warning; the name of a recipe, as of a sweep, gives none."""
    asked: dict[str, Any] = {
        "observations": [(50, 1.4), (200, 1.2)],
        "lower_is_better": True,
        "target_score": 1.0,
    }
    plain, frozen, linear = (
        forecast(**asked, **more) for more in ({}, {"frozen": True}, {"recipe": "linear"})
    )
    assert [w for w in frozen.warnings if w not in plain.warnings] == [
        "--frozen is not used for losses"
    ]
    assert replace(frozen, warnings=()) == replace(plain, warnings=())
    assert linear.warnings == plain.warnings
