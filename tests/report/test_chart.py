"""The chart of a forecast, in altair and as SVG."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import altair
import pytest

from labelcast.forecast import Forecast, forecast, log_position
from labelcast.forecast.wording import shown
from labelcast.report.chart import curve_chart, plot
from labelcast.report.frame import PALETTE, Frame, LabelsAxis, needed_in_words, observed
from labelcast.report.page_charts import to_svg

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
    "of 100": {"observations": [(50, 71), (50, 70), (200, 80)], "scale": 100, "target_score": 85},
    "far": {"observations": [(50, 0.7)], "target_score": 0.9, "horizon": 1_000_000},
    "near": {"observations": [(50, 0.7)], "target_score": 0.9, "horizon": 300},
    "a loss": {
        "observations": [(50, 2.1, 0.1), (200, 1.7)],
        "target_score": 1.2,
        "lower_is_better": True,
    },
}


def every_row(chart: dict[str, Any]) -> list[dict[str, Any]]:
    """All rows in a spec."""
    return [row for layer in chart["layer"] for row in layer["data"]["values"]]


@pytest.fixture(scope="module", params=CASES)
def answer(request: pytest.FixtureRequest) -> Forecast:
    return forecast(**({"calibration": "pooled"} | CASES[request.param]))


def rows(chart: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The first rows in a spec that have a key."""
    values = [layer["data"]["values"] for layer in chart["layer"]]
    return next(found for found in values if found and key in found[0])


def test_the_chart_has_the_numbers_of_the_forecast(answer: Forecast) -> None:
    """Its spec is valid and has curve, band and observed scores, on the axis of labels."""
    chart = plot(answer)
    assert isinstance(chart, altair.LayerChart)
    spec = chart.to_dict(validate=True)
    drawn = [(r["labels"], r["mean"], r["y"], r["high"]) for r in rows(spec, "labels")]
    assert drawn == [tuple(band) for band in answer.curve]
    places = [r["x"] for r in rows(spec, "labels")]
    ends = log_position([band.n for band in answer.curve]) / log_position(answer.curve[-1].n)
    assert places == pytest.approx(ends.tolist())
    names = json.dumps(spec)
    assert needed_in_words(answer) in names
    for band in observed(answer):
        assert f"{shown(band.score)} at {band.n:,}" in names
        assert band.low <= band.score <= band.high
    assert (
        len(observed(answer)) == len(answer.observations) == len(answer.to_dict()["observations"])
    )


def test_the_curve_is_drawn_to_scale(answer: Forecast) -> None:
    """As SVG it is one image with a label, whose line goes through the forecast's points."""
    image = ElementTree.fromstring(to_svg(plot(answer), answer.sentence(), {}))
    assert image.get("role") == "img" and image.get("aria-label") == answer.sentence()
    (line,) = [e for e in image.iter("path") if e.get("stroke-width") == "2.5"]
    drawn = [
        tuple(map(float, p.split(","))) for p in re.findall(r"[\d.]+,[\d.]+", line.get("d", ""))
    ]
    assert [x for x, _ in drawn] == pytest.approx(
        [640 * LabelsAxis.of(answer).place(band.n) for band in answer.curve], abs=0.01
    )
    # One scale takes every mean to its height.
    means = [band.mean for band in answer.curve]
    (m0, y0), (m1, y1) = ((end, drawn[means.index(end)][1]) for end in (min(means), max(means)))
    for (_, y), band in zip(drawn, answer.curve, strict=True):
        assert y == pytest.approx(y0 + (band.mean - m0) / (m1 - m0) * (y1 - y0), abs=0.05)


def test_the_axes_contain_everything_drawn(answer: Forecast) -> None:
    """Every value is between the ends of its axis, and the few ticks are round and differ."""
    frame = Frame.of(answer, 640)
    values = [value for band in answer.curve for value in band[1:]]
    values += [value for o in observed(answer) for value in (o.low, o.high)]
    assert frame.bottom <= min(values) + 1e-9 and max(values) <= frame.top + 1e-9
    names = [f"{tick:.{frame.decimals}f}" for tick in frame.ticks]
    assert 2 <= len(set(names)) == len(names) <= 8
    assert [float(name) for name in names] == pytest.approx(frame.ticks)
    for few in (False, True):
        ticks = frame.labels.ticks(few=few)
        places = [frame.labels.place(n) for n in ticks]
        assert places == sorted(places) and places[0] == 0 and 0.6 < places[-1] <= 1
        assert min(b - a for a, b in pairwise(places)) > (0.15 if few else 0.05)


def test_a_loss_is_drawn_falling() -> None:
    """The line goes down, and the noise of a score is not cut off at 1."""
    answer = forecast(**CASES["a loss"])
    means = [band.mean for band in answer.curve]
    assert means == sorted(means, reverse=True)
    assert all(o.low < o.score < o.high for o in observed(answer)) and observed(answer)[0].high > 2


def test_the_labels_needed_end_at_the_horizon() -> None:
    """Their bar ends at the horizon, and the text says so."""
    answer = forecast(**CASES["near"])
    assert answer.labels_needed.high is None
    assert "more than 300" in needed_in_words(answer)
    ends = [r["end"] for r in every_row(plot(answer).to_dict()) if "end" in r and "name" not in r]
    assert ends == pytest.approx([LabelsAxis.of(answer).place(300)])


def test_many_scores_are_drawn_without_values() -> None:
    """Dozens of values would cover the curve; all points are drawn."""
    scores = [(50 + n, 0.6 + n / 1000) for n in range(40)]
    spec = plot(forecast(observations=scores, target_score=0.8)).to_dict()
    drawn = [r for r in every_row(spec) if str(r.get("name", "")).endswith(" at 60")]
    assert drawn and len(rows(spec, "name")) > 0
    texts = [x for x in spec["layer"] if x["mark"]["type"] == "text"]
    assert not any(len(x["data"]["values"]) > 1 for x in texts)


def test_every_label_stays_within_the_picture(answer: Forecast) -> None:
    """The labels needed are written inside the plot, also in a narrow one."""
    for width in (290, 640):
        text = needed_in_words(answer)
        half = min(0.5, 3 * len(text) / width)
        for x in (0.0, 0.5, 1.0):
            assert half <= Frame.of(answer, width).inside(x, text) <= 1 - half


def test_colours_can_be_those_of_the_page() -> None:
    """Every colour of the palette is replaced, and no other is left."""
    answer = forecast(calibration="pooled", **CASES["scores"])
    names = {value: f"var(--{name})" for name, value in PALETTE._asdict().items()}
    chart = curve_chart(answer, width=640, height=340)
    svg = to_svg(chart, 'a "label" <b>', names)
    paints = set(re.findall(r'(?:fill|stroke)="([^"]*)"', svg))
    assert paints <= {*names.values(), "none", "transparent"}
    assert svg == to_svg(chart, 'a "label" <b>', names)
    assert ElementTree.fromstring(svg).get("aria-label") == 'a "label" <b>'


def test_a_notebooks_chart_follows_its_theme() -> None:
    """No colour of the light palette is left; texts have the colour of the page around them."""
    spec = json.dumps(plot(forecast(calibration="pooled", **CASES["scores"])).to_dict())
    assert not any(colour in spec for colour in PALETTE)
    assert '"color": "currentColor"' in spec


@pytest.mark.parametrize("target", [0.8, 0.89, 0.9, 0.91, 0.95])
def test_the_name_of_the_ceiling_is_free_of_the_targets_line(target: float) -> None:
    """The name of the higher line is above it, that of the lower one below."""
    asked: dict[str, Any] = {"zero_shot": 0.5, "ceiling": 0.9, "observations": [(50, 0.7)]}
    answer = forecast(target_score=0.8, **asked)
    answer = replace(answer, target=answer.target._replace(score=target))
    spec = curve_chart(answer, width=640, height=340).to_dict()
    places = {}
    for layer in spec["layer"]:
        for row in layer["data"]["values"]:
            if "dy" in layer["mark"] and str(row.get("name", "")).startswith(("ceiling", "target")):
                places[row["name"].split()[0]] = layer["mark"]["dy"]
    above = "ceiling" if target <= 0.9 else "target"
    assert places[above] < 0 < places[({"ceiling", "target"} - {above}).pop()]


def test_a_given_zero_shot_score_is_a_point() -> None:
    """At 0 labels, however it is given."""
    given: list[dict[str, Any]] = [
        {"zero_shot": 0.5, "observations": [(50, 0.7)]},
        {"observations": [(0, 0.5), (50, 0.7)]},
        {"observations": [(50, 0.7)]},
    ]
    for asked, many in zip(given, (1, 1, 0), strict=True):
        answer = forecast(target_score=0.8, **asked)
        spec = curve_chart(answer, width=640, height=340).to_dict()
        rows = [layer["data"]["values"] for layer in spec["layer"]]
        assert rows.count([{"x": 0.0, "y": 0.5}]) == many


def test_a_forecast_imports_no_charts() -> None:
    """The command line forecasts without altair, vl-convert, jinja2 or torch."""
    code = (
        "import sys\nfrom labelcast.cli import app\nimport labelcast as lc\n"
        "lc.forecast(coslow=0.4, calibration='pooled').sentence()\n"
        "heavy = {'altair', 'vl_convert', 'jinja2', 'torch'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
