"""An encoder through every command, as a user has it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import labelcast
from small_encoders import save_encoder
from small_training import records

TASK = "{name: first, instruction: Say it., inputs: [text], answer: y, answers: [yes, no]}"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task, labelled examples, and a small sentence encoder."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "task.yaml").write_text(TASK)
    rows = [json.dumps(row) + "\n" for row in records(300)]
    (folder / "data.jsonl").write_text("".join(rows))
    save_encoder(folder / "bert", sentence=True)
    return folder


def test_from_a_pool_to_a_forecast(work: Path, tmp_path: Path) -> None:
    """score says what to do without CoS-Low; labels, tune and the forecast follow."""
    run, task = str(tmp_path / "run"), ["--task", str(work / "task.yaml")]
    data, model = str(work / "data.jsonl"), ["--model", str(work / "bert")]
    scored = labelcast("score", data, *task, *model, "--out", run)
    assert scored.status == 0, scored.err
    assert "CoS-Low is not defined for an encoder" in scored.err
    assert "--more 50 --test 200" in scored.err
    assert "coslow" not in scored.err
    again = labelcast("score", data, *task, *model, "--out", run)
    assert again.status == 0 and "damaged" not in again.err
    early = labelcast("forecast", run)
    assert early.status == 2 and "starts from a score" in early.err
    refused = labelcast("coslow", run)
    assert refused.status == 2 and "not defined for it" in refused.err
    labelcast("label", run, "--more", "60", "--test", "100")
    labelled = labelcast("label", run, "--gold", "y")
    assert "tune" in labelled.err and "low:" not in labelled.err
    tuned = labelcast("tune", run, "--budget", "60", "--recipe", "linear", "--json")
    assert tuned.status == 0, tuned.err
    assert tuned.json["observation"]["recipe"] == "linear"
    assert not any("calibration" in warning for warning in tuned.json["forecast"]["warnings"])
    assert labelcast("report", run).status == 0
    assert list((tmp_path / "run" / "vectors").iterdir())


def test_a_sweep_of_a_linear_head(work: Path, tmp_path: Path) -> None:
    """It is measured, resumed and estimated as any other."""
    line = ["sweep", "--task", str(work / "task.yaml"), "--data", str(work / "data.jsonl")]
    line += ["--model", str(work / "bert"), "--recipe", "linear", "--budgets", "0,10,100"]
    line += ["--seeds", "0,1", "--test-size", "100", "--out", str(tmp_path / "sweep")]
    estimated = labelcast(*line, "--dry-run", "--json")
    assert estimated.status == 0, estimated.err
    assert not (tmp_path / "sweep").exists()
    done = labelcast(*line, "--json")
    assert done.status == 0, done.err
    rows = [json.loads(row) for row in (tmp_path / "sweep/scores.jsonl").read_text().splitlines()]
    assert {(row["budget"], row["seed"]) for row in rows} == {
        (n, seed) for n in (0, 10, 100) for seed in (0, 1)
    }
    assert not any(row["error"] for row in rows)
    again = labelcast(*line, "--json")
    assert "0 to do" in again.err


def test_a_task_without_allowed_answers_is_refused(work: Path, tmp_path: Path) -> None:
    """Before anything is written."""
    task = tmp_path / "task.yaml"
    task.write_text("{name: free, instruction: Say it., inputs: [text], answer: y}")
    out = tmp_path / "run"
    line = ["score", str(work / "data.jsonl"), "--task", str(task), "--out", str(out)]
    refused = labelcast(*line, "--model", str(work / "bert"))
    assert refused.status == 2 and "chooses among allowed answers" in refused.err
    assert not out.exists()
