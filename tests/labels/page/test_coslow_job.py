"""CoS-Low and the forecast, started from the page on the embedded model."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from browser import open_page, serious_faults
from example_runs import run_of
from label_pages import plain_run, press, started
from label_server import serving

from labelcast.files.json_files import write_json
from labelcast.models.loading import LanguageModel
from labelcast.runs.run import Run
from labelcast.tasks.sources import open_source
from labelcast.tasks.task import Task


def measured_run(folder: Path, lm: LanguageModel) -> Run:
    """A run of the embedded model with six drawn examples of a generated task."""
    task = Task.load("boolean_expressions")
    rows = [record.values for record in open_source("generated:boolean_expressions:20").records()]
    run = run_of(folder, rows, 6, task)
    content = json.loads(run.file("run.json").read_text())
    content["facts"]["model"] = asdict(lm.identity)
    write_json(run.file("run.json"), content)
    return run


@pytest.mark.slow
def test_the_forecast_from_the_page(chromium: Any, tmp_path: Path, smollm2: LanguageModel) -> None:
    """CoS-Low can be stopped and started, its result and the forecast are shown and saved."""
    run = measured_run(tmp_path, smollm2)
    with serving(run.path) as server, open_page(chromium) as (page, heard):
        started(page, server.link)
        for place in range(6):
            press(page, str(place % 2 + 1))
        page.click("#measure")
        page.click("#stop")
        page.wait_for_selector("text=The measurement was stopped")
        assert not run.is_done("coslow")
        page.click("#measure")
        page.wait_for_function(
            "() => /: [1-6] of 6/.test(document.getElementById('job-stage')?.textContent)",
            timeout=240_000,
        )
        page.wait_for_selector(".figure", timeout=240_000)
        kept = json.loads(run.file("coslow.json").read_text())
        assert page.text_content(".figure").startswith(f"{kept['coslow']:.3f}")
        page.fill("#target", "2")
        page.evaluate("document.querySelector('form').noValidate = true")
        page.click("#forecast")
        page.wait_for_selector("#forecast-message:not([hidden])")
        page.fill("#target", "0.8")
        page.click("#forecast")
        page.wait_for_selector("#forecast-sentence", timeout=60_000)
        assert "labels" in page.text_content("#forecast-sentence")
        assert serious_faults(page) == []
        assert json.loads(run.file("forecast.json").read_text())["target"]["gain"] == 0.8
        # After a label changes, CoS-Low is stale.
        page.click("#strip button >> nth=0")
        page.wait_for_selector("#example:not([hidden])")
        press(page, "2")
        page.click("#to-result") if page.is_visible("#to-result") else None
        page.wait_for_selector("text=Labels have changed since")
        assert [line for line in heard.console if "422" not in line] == []
        assert heard.outside == []


@pytest.mark.slow
def test_a_failed_measurement_shows_its_message(chromium: Any, tmp_path: Path) -> None:
    """The model is missing; the page stays usable."""
    run = plain_run(tmp_path, 2)
    with serving(run.path) as server, open_page(chromium) as (page, _):
        started(page, server.link)
        press(page, "1")
        press(page, "2")
        page.click("#measure")
        page.wait_for_selector("text=The measurement failed", timeout=120_000)
        assert page.is_visible("#measure")
