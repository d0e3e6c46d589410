"""Files of a run that came to harm: what is damaged is named, or made again; never a crash."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from command_line import Outcome
from damage import DAMAGES
from fault_bench import COMMANDS, Bench, Command, each, state, words

LOOKS = ("label run --json", "label run --export x.csv", "forecast run", "report run --out r.html")
WORKS = (
    *("label run --more 2", "label run --import BASE/filled.jsonl", "label run --gold y"),
    *("label run --terminal", "coslow run --device cpu"),
    *(" ".join(COMMANDS[name].argv) for name in ("tune", "score")),
)
CHECKPOINT = ("model.safetensors", "optimizer.pt", "labelcast.json", "best")
OBSERVED = {"metric": "accuracy", "seed": 1, "recipe": "short", "seconds": 1.0, "test_size": 8}


@pytest.fixture(scope="module")
def full(bench: Bench) -> Path:
    """A run that holds every file that one can have."""
    folder = bench.copy("tunable")
    for text in ("label run --terminal", "label run --gold y", "forecast run --target 0.8"):
        assert bench.run(Command("make", words(text), "", stdin="typed.txt"), folder).status == 0
    rows = [OBSERVED | {"budget": n, "score": 0.5 + n / 100} for n in (0, 12)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "run/observations.jsonl").write_text(lines)
    bench.stages["full"] = folder
    return folder


def files(full: Path) -> list[str]:
    found = (path for path in sorted(full.rglob("*")) if path.is_file())
    return [str(path.relative_to(full)) for path in found if path.name != ".lock"]


def harm(bench: Bench, file: str, damage: str, text: str) -> Outcome:
    """Damage one file of a copy of the run and do a command there."""
    folder = bench.copy("full")
    path = folder / file
    before = {name: path.read_bytes() for name, path in _all(folder).items() if name != file}
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    done = bench.run(Command("harmed", words(text), "full", stdin="typed.txt"), folder)
    told = [line for line in done.err.splitlines() if "labelcast: " in line]
    assert "Traceback" not in done.err, done.err
    assert done.status in (0, 1, 2)
    assert len(told) == (done.status > 0), done.err
    if done.status:
        after = {name: path.read_bytes() for name, path in _all(folder).items() if name != file}
        assert before.items() <= after.items(), "a command that fails keeps the rest"
    return done


def _all(folder: Path) -> dict[str, Path]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path for path in found}


@pytest.mark.slow
def test_every_file_in_some_way(bench: Bench, full: Path) -> None:
    """A way of damage and a command drawn for each file: one clear message, or none is needed."""
    rng = random.Random(0)
    for file in files(full):
        for text in rng.sample(LOOKS, 2):
            harm(bench, file, rng.choice(list(DAMAGES)), text)


@pytest.mark.slow
@pytest.mark.parametrize("text", [*LOOKS, *WORKS])
def test_every_file_in_every_way(bench: Bench, full: Path, text: str) -> None:
    """All ways of damage to all files under all commands."""
    for file in files(full):
        for damage in DAMAGES:
            harm(bench, file, damage, text)


REPAIRED = {
    "run/confidence.parquet": "score",
    "run/manifests/score.json": "score",
    "run/gram.npy": "coslow",
    "run/coslow.json": "coslow",
    "run/manifests/coslow.json": "coslow",
    "run/forecast.json": "forecast",
    "run/manifests/forecast.json": "forecast",
}


@pytest.mark.parametrize("file", REPAIRED)
def test_what_can_be_made_again_is(bench: Bench, file: str) -> None:
    """The command that made a file makes it again, the same; a report names it until then."""
    folder = bench.copy("answered")
    whole = state(folder)
    path = folder / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    look = bench.run(Command("look", words("report run"), "answered"), folder)
    if file != "run/forecast.json":  # which no command reads
        assert look.status == 2, look.err
        assert path.name in look.err and "again" in look.err
    name = REPAIRED[file]
    text = "forecast run --target 0.8" if name == "forecast" else " ".join(COMMANDS[name].argv)
    done = bench.run(Command(name, words(text), "answered"), folder)
    assert done.status == 0, done.err
    assert {key: value for key, value in state(folder).items() if key in whole} == whole


def test_a_draw_that_is_lost_is_drawn_again_and_its_labels_stay(bench: Bench) -> None:
    """Without `draws.jsonl` the same `score` draws the same low ones; no label is dropped."""
    folder = bench.copy("tunable")
    labels = (folder / "run/labels.jsonl").read_bytes()
    (folder / "run/draws.jsonl").unlink()
    assert bench.run(COMMANDS["score"], folder).status == 0
    drawn = state(folder)["run/draws.jsonl"]
    assert drawn == state(bench.stages["scored"])["run/draws.jsonl"]
    done = bench.run(COMMANDS["label --import"], folder)
    assert done.status == 0, done.err
    assert {row["id"] for row in state(folder)["run/labels.jsonl"]} == {
        json.loads(line)["id"] for line in labels.splitlines()
    }


def test_a_matrix_of_another_measurement_is_not_shown(bench: Bench) -> None:
    """A `gram.npy` that is whole, but not the one that CoS-Low was taken of, is refused."""
    import numpy as np

    folder = bench.copy("answered")
    path = folder / "run/gram.npy"
    np.save(path, np.load(path) * 0.5)
    done = bench.run(Command("look", words("report run"), "answered"), folder)
    assert done.status == 2
    assert "gram.npy: damaged" in done.err


@each(quick=("model.safetensors",), names=CHECKPOINT)
def test_a_damaged_checkpoint_is_deleted(bench: Bench, name: str) -> None:
    """The error says so; the same command then trains from the start to the same score."""
    command = COMMANDS["tune"]
    folder = bench.copy(command.start)
    older = [n for n, call in enumerate(bench.calls(command), 1) if call.startswith("rmdir")]
    done = bench.run(command, folder, fault=bench.fault("kill", older[0], folder))
    assert done.status == -9
    (manifest,) = folder.glob("run/tuning/*/checkpoint-*/labelcast.json")
    harmed = next(path for path in manifest.parent.iterdir() if path.name.startswith(name))
    harmed.write_bytes(DAMAGES["cut in half"](harmed.read_bytes()))
    refused = bench.run(command, folder)
    assert refused.status == 1, refused.err
    assert "damaged, so it is deleted" in refused.err
    assert bench.run(command, folder).status == 0
    assert state(folder) == bench.reference(command)


@pytest.mark.parametrize("days", [-4000, 4000])
def test_the_clock_does_not_matter(bench: Bench, days: int) -> None:
    """Files and stamps of another year, as after a clock was set: the same results."""
    import os
    import time

    for name in ("score", "coslow", "forecast", "label --gold"):
        command = COMMANDS[name]
        folder = bench.copy(command.start)
        then = time.time() + days * 86400
        for path in folder.rglob("*"):
            if path.name in ("score.json", "coslow.json") and path.parent.name == "manifests":
                text = path.read_text()
                stamp = json.loads(text)["finished"]
                path.write_text(text.replace(stamp, stamp.replace("20", "21", 1)))
            os.utime(path, (then, then))
        bench.check_recovers(command, folder)
