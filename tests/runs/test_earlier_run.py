"""A run folder that the version before this one wrote (`earlier_run`) still works."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from labelcast.files.json_files import read_json, read_jsonl
from labelcast.report.content import gather
from labelcast.report.page import render
from labelcast.runs.forecast import answer_run, forecast_run, last_asked
from labelcast.runs.label_store import count_labels
from labelcast.runs.run import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    shutil.copytree(Path(__file__).parent / "earlier_run", tmp_path / "run")
    return Run.open(tmp_path / "run")


def test_it_opens_as_it_is(run: Run) -> None:
    """Its question, facts and labels are read, and the same question changes no byte."""
    before = run.file("run.json").read_bytes()
    assert run.task is not None and run.task.name == "boolean_expressions"
    assert (run.question.n_label, run.question.runtime) == (6, "transformers")
    assert (run.model.name, run.facts.size, run.facts.batch_size) == ("smollm2", 60, 64)
    assert count_labels(run).labelled == {"low": 6}
    again = Run.create(run.path, run.question, run.facts)
    assert again.file("run.json").read_bytes() == before
    assert again.question.to_dict() == read_json(run.file("run.json"))["question"]


def test_it_forecasts_the_same(run: Run) -> None:
    """Without later scores, its last forecast comes out again."""
    run.file("observations.jsonl").unlink()
    kept = read_json(run.file("forecast.json"))
    again = answer_run(run, **last_asked(run)).forecast.to_dict()
    assert again["auc"] == pytest.approx(kept["auc"])
    needed = {name: again["labels_needed"][name] for name in kept["labels_needed"]}
    assert needed == pytest.approx(kept["labels_needed"])
    assert forecast_run(run, target=0.8, zero_shot=0.5)[0].to_dict() == again


def test_its_scores_count(run: Run) -> None:
    """A score is read with its fields of training, and is in the forecast and the report."""
    (score,) = run.tuned_scores()
    assert [score.to_dict()] == read_jsonl(run.file("observations.jsonl"))
    (observed,) = answer_run(run).forecast.observations
    assert (observed.budget, observed.score) == (50, 0.71)
    page = render(gather(run))
    for text in ("0.710", "81.2", "full fine-tuning", "smollm2", "bac3760fa3ed7efa", "rank 64"):
        assert text in page
