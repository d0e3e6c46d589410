"""`labelcast tune`: from a pool to a forecast that uses measured scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import check_message, labelcast
from small_sweeps import Place, make_place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A folder with model, data and task."""
    return make_place(tmp_path)


def test_tune_after_label(place: Place) -> None:
    """After score and label, zero-shot and a budget are measured, and the forecast uses both.

    Options of the last forecast that do not fit the new ones are named as such.
    """
    run = place.path / "run"
    small = ("--n-label", 4, "--max-new-tokens", 3, "--device", "cpu")
    scored = ("score", place.data, "--task", place.task(), "--model", place.model, "--out", run)
    assert labelcast(*scored, *small).status == 0
    recipe = ("--recipe", place.recipe(), "--device", "cpu")

    done = labelcast("tune", run, "--budget", 0, *recipe)
    assert done.status == 2
    assert "labelcast label" in done.err
    drawn = place.path / "drawn.jsonl"
    assert labelcast("label", run, "--test", 10, "--more", 12, "--export", drawn).status == 0
    rows = [json.loads(line) for line in drawn.read_text().splitlines()]
    for row in rows:
        row["y"] = "yes" if row["text"][0] in "aceg" else "no"
    filled = place.path / "filled.jsonl"
    filled.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert labelcast("label", run, "--import", filled).status == 0

    dry = labelcast("tune", run, "--budget", 12, *recipe, "--dry-run", "--json")
    assert dry.status == 0 and 0 < dry.json["seconds_low"] <= dry.json["seconds_high"]
    assert not (run / "observations.jsonl").exists()
    zero = labelcast("tune", run, "--budget", 0, *recipe, "--json")
    assert zero.status == 0, zero.err
    assert zero.json["observation"]["budget"] == 0
    own = ("--target-score", 0.85, "--observe", "50=0.7")
    assert labelcast("forecast", run, *own).status == 0
    done = labelcast("tune", run, "--budget", 12, *recipe, "--ceiling", 0.8)
    check_message(done, 2, ("--target-score 0.85", "the run's last one", f"forecast {run}"))
    wrong = labelcast("tune", run, "--budget", 12, *recipe, "--ceiling", 7)
    assert wrong.status == 2 and "--ceiling: a score" in wrong.err and "last one" not in wrong.err
    asked = ("--level", 0.8, "--observe", "50=0.7")
    assert labelcast("forecast", run, *asked).status == 0
    tuned = labelcast("tune", run, "--budget", 12, *recipe, "--json", "--ceiling", 1.0)
    assert tuned.status == 0, tuned.err
    assert tuned.json["observation"]["test_size"] == 10
    assert "roughly" in tuned.err and "10 test examples" in tuned.err
    assert tuned.json["forecast"] is not None, tuned.json["no_forecast"]
    kept = [json.loads(line) for line in (run / "observations.jsonl").read_text().splitlines()]
    assert [row["budget"] for row in kept] == [0, 12]
    assert tuned.json["forecast"]["level"] == 0.8
    again = labelcast("forecast", run, "--ceiling", 1.0, *asked, "--json")
    assert again.status == 0, again.err
    assert again.json["labels_needed"] == tuned.json["forecast"]["labels_needed"]
