"""The chart of a forecast, in altair and as SVG."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any
from xml.etree import ElementTree

import altair
import pytest

from labelcast.forecast import Forecast, forecast, log_position
from labelcast.report.chart import plot
from labelcast.report.frame import PALETTE, Frame, needed_in_words, observed
from labelcast.report.svg import to_svg

CASES: dict[str, dict[str, Any]] = {
    "gains": {"coslow": 0.42},
    "scores": {
        "coslow": 0.42,
        "zero_shot": 0.3,
        "observations": [(50, 0.5), (200, 0.62, 0.02)],
        "observe_size": 300,
        "target_score": 0.8,
    },
    "not reached": {"coslow": 0.05, "target": 1.0},
    "all known": {"coslow": 0.72, "zero_shot": 0.52, "ceiling": 0.95, "target": 0.95},
    "met by zero-shot": {"zero_shot": 0.9, "target_score": 0.8},
    "met by a score": {"zero_shot": 0.5, "target_score": 0.6, "observations": [(50, 0.7)]},
}


@pytest.fixture(scope="module", params=CASES)
def answer(request: pytest.FixtureRequest) -> Forecast:
    return forecast(**({"calibration": "pooled"} | CASES[request.param]))


def rows(chart: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The first rows in a spec that have a key."""
    values = [layer["data"]["values"] for layer in chart["layer"]]
    return next(found for found in values if found and key in found[0])


def test_the_chart_holds_the_numbers_of_the_answer(answer: Forecast) -> None:
    """Its spec is valid and holds curve, band and observed scores, on the axis of the AUC."""
    chart = plot(answer)
    assert isinstance(chart, altair.LayerChart)
    spec = chart.to_dict(validate=True)
    drawn = [(r["labels"], r["mean"], r["y"], r["high"]) for r in rows(spec, "labels")]
    assert drawn == [tuple(band) for band in answer.curve]
    places = [r["x"] for r in rows(spec, "labels")]
    assert places == log_position([band.n for band in answer.curve]).tolist()
    names = json.dumps(spec)
    assert needed_in_words(answer) in names
    for band in observed(answer):
        assert f"{band.score:.3g} at {band.n:,}" in names
        assert band.low <= band.score <= band.high
    assert (
        len(observed(answer)) == len(answer.observations) == len(answer.to_dict()["observations"])
    )


def test_the_curve_is_drawn_to_scale(answer: Forecast) -> None:
    """As SVG: one image with its label, whose line runs through the forecast's own points."""
    image = ElementTree.fromstring(to_svg(plot(answer), answer.sentence()))
    assert image.get("role") == "img" and image.get("aria-label") == answer.sentence()
    (line,) = [e for e in image.iter("path") if e.get("stroke-width") == "2.5"]
    drawn = [
        tuple(map(float, p.split(","))) for p in re.findall(r"[\d.]+,[\d.]+", line.get("d", ""))
    ]
    assert [x for x, _ in drawn] == pytest.approx(
        [640 * float(log_position(band.n)) for band in answer.curve], abs=0.01
    )
    # One scale takes every mean to its height.
    y0, y1 = drawn[0][1], drawn[-1][1]
    m0, m1 = answer.curve[0].mean, answer.curve[-1].mean
    for (_, y), band in zip(drawn, answer.curve, strict=True):
        assert y == pytest.approx(y0 + (band.mean - m0) / (m1 - m0) * (y1 - y0), abs=0.05)


def test_every_label_stays_within_the_picture(answer: Forecast) -> None:
    """The labels needed are written inside the plot, in a narrow one too."""
    for width in (290, 640):
        text = needed_in_words(answer)
        half = min(0.5, 3 * len(text) / width)
        for x in (0.0, 0.5, 1.0):
            assert half <= Frame.of(answer, width).inside(x, text) <= 1 - half


def test_colours_may_be_those_of_the_page() -> None:
    """Every colour of the palette is exchanged, and none of the chart's own is left."""
    answer = forecast(calibration="pooled", **CASES["scores"])
    names = {value: f"var(--{name})" for name, value in PALETTE._asdict().items()}
    svg = to_svg(plot(answer), 'a "label" <b>', names)
    paints = set(re.findall(r'(?:fill|stroke)="([^"]*)"', svg))
    assert paints <= {*names.values(), "none", "transparent"}
    assert svg == to_svg(plot(answer), 'a "label" <b>', names)
    assert ElementTree.fromstring(svg).get("aria-label") == 'a "label" <b>'


def test_a_forecast_does_without_the_chart() -> None:
    """The command line answers without altair, vl-convert, jinja2 or torch."""
    code = (
        "import sys\nfrom labelcast.cli import app\nimport labelcast as lc\n"
        "lc.forecast(coslow=0.4, calibration='pooled').sentence()\n"
        "heavy = {'altair', 'vl_convert', 'jinja2', 'torch'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
