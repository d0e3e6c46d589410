"""A forecast from a run folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from labelcast.errors import InputError
from labelcast.forecast import forecast
from labelcast.forecast.cards import by_name
from labelcast.runs.answering import forecast_run
from labelcast.runs.files import read_json, write_json, write_jsonl
from labelcast.runs.run import Run

TASK = {
    "name": "t",
    "instruction": "Say it.",
    "inputs": [{"field": "text"}],
    "answer": "y",
    "ceiling": {"score": 0.9, "source": "people"},
}


def made(path: Path, coslow: float | None = 0.4, **model: Any) -> Run:
    """A run of some model, with a CoS-Low or none."""
    identity = {"hub_id": None, "fingerprint": "x", "architecture": {}, "name": "m"} | model
    run = Run.create(path / "run", {"task": TASK}, {"model": identity})
    write_jsonl(run.file("labels.jsonl"), [{"set": "low", "id": "a", "y": "b"}])
    if coslow is not None:
        write_json(run.file("coslow.json"), {"coslow": coslow})
        run.finish("coslow", labels=run.labels_digest("low"))
    return run


def test_it_is_the_forecast_of_its_parts(tmp_path: Path) -> None:
    """CoS-Low, the model's card and the task's ceiling come from the run."""
    run = made(tmp_path, hub_id="meta-llama/Llama-3.1-8B-Instruct")
    answer, warnings = forecast_run(run, target_score=0.8, zero_shot=0.5)
    direct = forecast(
        0.4, by_name("llama-3.1-8b-instruct"), target_score=0.8, zero_shot=0.5, ceiling=0.9
    )
    assert answer == direct
    assert warnings == ()
    kept = read_json(run.file("forecast.json"))
    assert kept == json.loads(json.dumps(answer.to_dict()))
    assert run.is_done("forecast")


def test_a_ceiling_that_is_given_goes_first(tmp_path: Path) -> None:
    """The task's ceiling is only the default."""
    answer, _ = forecast_run(made(tmp_path), target_score=0.8, zero_shot=0.5, ceiling=0.85)
    assert answer.target.gain == pytest.approx(0.3 / 0.35)


def test_a_model_without_a_card_gets_the_pooled_one(tmp_path: Path) -> None:
    """And is told so; a card can be named."""
    answer, warnings = forecast_run(made(tmp_path))
    assert answer.calibration == "pooled"
    assert "no calibration exists" in warnings[0]
    answer, warnings = forecast_run(made(tmp_path), calibration="qwen2.5-14b-instruct")
    assert (answer.calibration, warnings) == ("qwen2.5-14b-instruct", ())


def test_labels_changed_since_are_told(tmp_path: Path) -> None:
    """CoS-Low of other labels than the run holds now gives a warning, kept with the answer."""
    run = made(tmp_path, hub_id="meta-llama/Llama-3.1-8B-Instruct")
    write_jsonl(run.file("labels.jsonl"), [{"set": "low", "id": "a", "y": "c"}])
    _, warnings = forecast_run(run)
    assert "labels have changed" in warnings[0]
    assert warnings[0] in read_json(run.file("forecast.json"))["warnings"]


def test_few_examples_are_told(tmp_path: Path) -> None:
    """CoS-Low of fewer examples than the calibrations had gives a warning; of as many, none."""
    run = made(tmp_path, hub_id="meta-llama/Llama-3.1-8B-Instruct")
    for examples, told in ((3, True), (32, False)):
        write_json(run.file("coslow.json"), {"coslow": 0.4, "examples": examples})
        _, warnings = forecast_run(run)
        assert any(f"rests on {examples} examples" in w for w in warnings) == told


def test_before_coslow_only_observed_scores_answer(tmp_path: Path) -> None:
    """Without either, the message says which commands come first."""
    run = made(tmp_path, coslow=None)
    with pytest.raises(InputError, match=r"CoS-Low is not measured yet.*labelcast coslow"):
        forecast_run(run)
    assert not run.file("forecast.json").exists()
    answer, _ = forecast_run(run, zero_shot=0.4, observations=[(50, 0.6), (100, 0.7)])
    assert "CoS-Low" not in answer.answered_by
