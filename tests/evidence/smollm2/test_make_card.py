"""The script that makes the card of smollm2, on a small random model and made-up tasks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from small_sweeps import TASK_TEXT
from small_training import records, save_model

from labelcast.files.json_files import read_jsonl
from labelcast.forecast.calibration import Calibration
from labelcast.tasks.task import Task

FOLDER = Path(__file__).resolve().parents[3] / "evidence" / "smollm2"
SOURCE = FOLDER.parents[1] / "src"
NAMES = [f"made-{number}" for number in range(8)]


def make_home(path: Path) -> Path:
    """A folder like the card's, with eight tasks, one for the learning rate, and tiny budgets."""
    save_model(path / "model")
    (path / "tasks").mkdir()
    rows = records(400)
    for number, name in enumerate([*NAMES, "rate"]):
        (path / "tasks" / f"{name}.yaml").write_text(TASK_TEXT.replace("NAME", name))
        # The last task has too little data for the largest budget.
        part = rows[20 * number : 20 * number + (100 if name != NAMES[-1] else 75)]
        (path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    config = {
        "model": str(path / "model"),
        "test_size": 50,
        "budgets": [0, 10, 40],
        "seeds": [1],
        "recipe": {"name": "made up", "method": "full", "max_steps": 60},
        "probes": {"pool": 40, "n_label": 5, "draws": 2, "sketch_seeds": 2},
        "tasks": [{"task": f"{name}.yaml", "data": f"{name}.jsonl"} for name in NAMES],
        "rate": {
            **{"task": "rate.yaml", "data": "rate.jsonl"},
            **{"budgets": [10], "seeds": [1], "learning_rates": [3e-3, 1e-5]},
        },
    }
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    return path


def make_card(home: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the script on that folder, on the CPU."""
    command = [sys.executable, "-m", "evidence.smollm2.make_card", "--data", str(home)]
    command += ["--home", str(home), "--card", str(home / "card.json"), "--device", "cpu", *more]
    path = os.pathsep.join([str(FOLDER.parents[1]), str(SOURCE)])
    environment = os.environ | {"PYTHONPATH": path}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_one_command_makes_the_card_and_resumes_elsewhere(tmp_path: Path) -> None:
    """Probes, learning rate, curves and card; elsewhere the kept rows are not measured again.

    A task without data for the largest budget has the smaller ones. The kept rows have no path of
    this machine.
    """
    home = make_home(tmp_path / "home")
    done = make_card(home)
    assert done.returncode == 0, done.stderr[-2000:]
    card = Calibration.load(home / "card.json")
    assert card.tasks == 8 and card.loto_difference is not None
    rows = read_jsonl(home / "measured/curves/scores.jsonl")
    assert len(rows) == 7 * 3 + 2
    assert {row["budget"] for row in rows if row["task"] == NAMES[-1]} == {0, 10}
    assert yaml.safe_load((home / "recipe.yaml").read_text())["learning_rate"] == 3e-3
    layers = read_jsonl(home / "measured/cpu/layers.jsonl")
    probes = read_jsonl(home / "measured/cpu/probes.jsonl")
    whole = {(r["task"], r["draw"]): r["coslow"] for r in probes if r["probe"] == "coslow"}
    for row in layers:
        if row["probe"] == "coslow":
            assert row["all"][0] == pytest.approx(whole[row["task"], row["draw"]], abs=1e-4)
    kept = {file: file.read_bytes() for file in (home / "measured").rglob("*") if file.is_file()}
    assert not [
        file for file, content in kept.items() if str(tmp_path).encode() + b"/home/made" in content
    ]
    again = make_card(home, "--step", "card", "--work", str(tmp_path / "elsewhere"))
    assert again.returncode == 0, again.stderr[-2000:]
    assert Calibration.load(home / "card.json") == card
    assert {file: file.read_bytes() for file in kept if file.suffix == ".jsonl"} == {
        file: content for file, content in kept.items() if file.suffix == ".jsonl"
    }


def test_the_tasks_of_the_card_can_be_read() -> None:
    """Each of the 19 tasks has a task file or a catalogue name; the rate's task is separate."""
    config = yaml.safe_load((FOLDER / "config.yaml").read_text())
    names = []
    for row in config["tasks"]:
        own = row["task"].endswith(".yaml")
        task = Task.load(FOLDER / "tasks" / row["task"] if own else row["task"])
        names.append(task.name)
        assert ("data" in row) == (task.kind != "generated")
    assert len(set(names)) == 19
    assert config["rate"]["task"] not in names
    assert set(config["few_steps"]["tasks"]) <= set(names)
