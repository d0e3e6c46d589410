"""A new user's first run: their own file, step by step, each step naming the next."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import Models, Outcome, labelcast
from shared_data import shared

from labelcast.tasks import sources
from labelcast.tasks.task import Task

COSLOW = {
    *("coslow", "low", "high", "mean", "pairs", "examples", "method", "rank", "seed"),
    *("seed_sd", "seconds", "peak_bytes"),
}
FORECAST = {
    *("level", "auc", "labels_needed", "at_budget", "next_budget", "curve", "calibration"),
    "warnings",
}


def tickets(path: Path, count: int = 90) -> None:
    """A CSV of support tickets: some labelled, most not, with odd texts."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["ticket", "text", "intent"])
        for n in range(count):
            what = ("refund", "login")[n % 2]
            text = f'[red]{what}[/red], please: "{n}"\n=SUM({n})'
            rows.writerow([f"T-{n}", text, what if n < 40 else ""])


def fill(path: Path, answer: str) -> None:
    """Fill in the last column, as in a spreadsheet."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        header, *rows = csv.reader(stream)
    assert header[-1] == answer
    for number, row in enumerate(rows):
        row[-1] = ("refund", "login")[number % 2]
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([header, *reversed(rows)])


def next_commands(done: Outcome) -> list[list[str]]:
    """The commands that a step prints as the next ones."""
    assert done.status == 0, done.err
    assert "Next" in done.err
    after = done.err[done.err.index("Next") :]
    found = re.findall(r"^  labelcast (.*)$", after, re.MULTILINE)
    assert found
    return [shlex.split(command) for command in found]


def test_each_step_names_the_next(
    tmp_path: Path, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The printed commands lead from a CSV to a forecast."""
    monkeypatch.chdir(tmp_path)
    tickets(tmp_path / "my tickets.csv")
    step = labelcast("init", "my tickets.csv")
    (score,) = next_commands(step)
    assert score[:2] == ["score", "my tickets.csv"]
    task = Task.load("task.yaml")
    assert [item.field for item in task.inputs] == ["text"]
    assert (task.answer, task.answers) == ("intent", ("login", "refund"))
    step = labelcast(*score, "--model", models.tiny, "--n-label", 6, "--max-new-tokens", 3)
    page, export, import_ = next_commands(step)
    assert page == ["label", "run"]
    step = labelcast(*export)
    assert next_commands(step) == [import_]
    fill(Path("to_label.csv"), "intent")
    step = labelcast(*import_)
    (coslow,) = next_commands(step)
    step = labelcast(*coslow)
    (forecast,) = next_commands(step)
    assert re.fullmatch(r"CoS-Low -?0\.\d{4}\n", step.out)
    step = labelcast(*forecast)
    assert step.status == 0
    first = step.out.splitlines()[0]
    assert "labels" in first
    assert "warning: no calibration exists" in step.err
    assert {path.name for path in Path("run").iterdir() if path.is_file()} >= {
        *("run.json", "confidence.parquet", "to_label.jsonl", "labels.jsonl", "coslow.json"),
        *("gram.npy", "forecast.json"),
    }


def test_every_step_as_json(place: Path, models: Models) -> None:
    """Standard output is one JSON object with the documented fields, and nothing else."""
    run, pool, task = place / "run", place / "pool.jsonl", place / "task.yaml"
    made = labelcast(*("init", pool, "--out", place / "new.yaml", "--input", "text", "--json")).json
    assert made["file"] == str(place / "new.yaml")
    assert made["task"]["inputs"][0]["field"] == "text"
    scored = labelcast(
        *("score", pool, "--task", task, "--model", models.tiny, "--out", run),
        *("--n-label", 8, "--max-new-tokens", 4, "--json"),
    ).json
    assert len(scored["picked"]) == 8
    exported = labelcast("label", run, "--export", place / "l.jsonl", "--json").json
    assert exported["exported"] == {"file": str(place / "l.jsonl"), "format": "jsonl", "rows": 8}
    rows = [json.loads(line) for line in (place / "l.jsonl").read_text().splitlines()]
    (place / "l.jsonl").write_text(
        "".join(json.dumps(row | {"label": "yes"}) + "\n" for row in rows)
    )
    imported = labelcast("label", run, "--import", place / "l.jsonl", "--json").json
    assert imported["imported"] == {
        **{"taken": 8, "changed": 0, "same": 0, "blank": 0},
        "unmatched": [],
    }
    assert imported["left"] == 0
    drawn = labelcast("label", run, "--more", 3, "--test", 4, "--json").json
    assert (drawn["drawn_random"], drawn["drawn_test"]) == (3, 4)
    assert drawn["drawn"] == {"low": 8, "random": 3, "test": 4}
    coslow = labelcast("coslow", run, "--json").json
    check_coslow(coslow, 8)
    of_file = labelcast(
        *("coslow", run / "labels.jsonl", "--task", task, "--model", models.tiny, "--json")
    ).json
    assert of_file["coslow"] == pytest.approx(coslow["coslow"], abs=1e-5)
    check_forecast(labelcast("forecast", run, "--target", 0.9, "--budget", 500, "--json").json)


def check_coslow(result: dict[str, Any], examples: int) -> None:
    assert result.keys() >= COSLOW
    assert result["examples"] == examples
    assert result["pairs"] == examples * (examples - 1) // 2
    assert -1 <= result["low"] <= result["high"] <= 1


def check_forecast(result: dict[str, Any]) -> None:
    assert result.keys() >= FORECAST
    assert result["auc"].keys() >= {"mean", "low", "high"}
    assert result["labels_needed"].keys() >= {"median", "low", "high", "reachable"}
    assert all(point.keys() >= {"n", "mean", "low", "high"} for point in result["curve"])
    assert isinstance(result["warnings"], list)


def test_a_run_without_coslow_uses_observed_scores(place: Path) -> None:
    """Observed scores are enough for a forecast of a run."""
    result = labelcast(
        *("forecast", place / "run", "--zero-shot", 0.5, "--ceiling", 0.9),
        *("--observe", "50=0.7", "--observe", "100=0.75", "--observe-size", 500, "--json"),
    ).json
    check_forecast(result)


@pytest.mark.slow
def test_banking_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 banking questions on the embedded model, with the known intents filled in."""
    monkeypatch.chdir(tmp_path)
    lines = (shared() / "tasks/banking77.jsonl").read_text("utf-8").splitlines()[:64]
    rows = [json.loads(line) for line in lines]
    Path("pool.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    (score,) = next_commands(labelcast("init", "pool.jsonl"))
    task = Task.load("task.yaml")
    step = labelcast(*score, "--max-new-tokens", 6)
    _, export, import_ = next_commands(step)
    assert labelcast(*export).status == 0
    with Path("to_label.csv").open(encoding="utf-8-sig", newline="") as stream:
        drawn = list(csv.DictReader(stream))
    assert len(drawn) == 32
    name = task.inputs[0].field
    answers = {str(row[name]): str(row[task.answer]) for row in rows}
    with Path("to_label.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, list(drawn[0]))
        table.writeheader()
        table.writerows(row | {task.answer: answers[row[name]]} for row in drawn)
    (coslow,) = next_commands(labelcast(*import_))
    check_coslow(labelcast(*coslow, "--json").json, 32)
    check_forecast(labelcast("forecast", "run", "--json").json)


@pytest.mark.parametrize(
    "words",
    [
        "demo --out mine.txt",
        "demo --target 7",
        "score pool.csv --task task.yaml --out mine.txt",
        "score pool.csv --task task.yaml --out full",
        "score pool.csv --task task.yaml --out new --batch-size 0",
        "score pool.csv --task task.yaml --out new --max-new-tokens 0",
        "score pool.csv --task task.yaml --out new --dtype int3",
    ],
)
def test_wrong_options_are_refused_before_the_model_is_loaded(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading takes seconds, or minutes for a large model."""

    def load(*args: object, **options: object) -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr("labelcast.models.loading.load_model", load)
    monkeypatch.chdir(tmp_path)
    tickets(tmp_path / "pool.csv")
    (tmp_path / "mine.txt").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    assert labelcast(*["init", "pool.csv", "--input", "text", "--answer", "intent"]).status == 0
    done = labelcast(*words.split())
    assert done.status == 2, done.err
    assert not (tmp_path / "new").exists() and not (tmp_path / "demo-run").exists()


def test_init_says_if_the_answer_field_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be misspelled, or still to be labelled."""
    monkeypatch.chdir(tmp_path)
    tickets(tmp_path / "pool.csv")
    done = labelcast(*["init", "pool.csv", "--input", "text", "--answer", "nosuch"])
    assert done.status == 0 and "no field 'nosuch' yet" in done.err


def test_data_from_a_pipe(models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` reads standard input; the run keeps the pool, so that more can be drawn later."""
    monkeypatch.chdir(tmp_path)
    tickets(Path("tickets.csv"))
    content = Path("tickets.csv").read_bytes()
    Path("tickets.csv").unlink()
    sources._standard_input.cache_clear()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    done = labelcast("init", "-", "--input", "text")
    assert done.status == 0, done.err
    options = ("--task", "task.yaml", "--model", models.tiny, "--out", "run", "--n-label", 8)
    done = labelcast("score", "-", *options, "--max-new-tokens", 2)
    assert done.status == 0, done.err
    assert Path("run/pool.csv").read_bytes() == content
    done = labelcast("label", "run", "--more", 4, "--gold", "intent", "--json")
    assert done.json["drawn"] == {"low": 8, "random": 4}
