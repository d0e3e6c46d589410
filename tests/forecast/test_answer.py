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
