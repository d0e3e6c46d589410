"""Damaged files of a run are reported or created again; nothing crashes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command_line import Outcome
from fault_harness import COMMANDS, Command, Harness, each, state, words

LOOKS = ("label run --json", "label run --export x.csv", "forecast run", "report run --out r.html")
CHECKPOINT = ("model.safetensors", "optimizer.pt", "labelcast.json", "best")
OBSERVED = {"metric": "accuracy", "seed": 1, "recipe": "short", "seconds": 1.0, "test_size": 8}


def flip_bits(content: bytes) -> bytes:
    rng, changed = random.Random(1), bytearray(content)
    for _ in range(max(1, len(changed) // 200)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda content: b"",
    "cut in half": lambda content: content[: len(content) // 2],
    "cut by a few bytes": lambda content: content[:-9],
    "zeros": lambda content: bytes(len(content)),
    "a list": lambda content: b"[]\n",
    "an empty object": lambda content: b"{}\n",
    "bits flipped": flip_bits,
}


@pytest.fixture(scope="module")
def full(harness: Harness) -> Path:
    """A run with every file that a run can have."""
    folder = harness.copy("tunable")
    for text in ("label run --terminal", "label run --gold y", "forecast run --target 0.8"):
        done = harness.run(Command("make", words(text), "", stdin="typed.txt"), folder)
        assert done.status == 0, done.err
    rows = [OBSERVED | {"budget": n, "score": 0.5 + n / 100} for n in (0, 12)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "run/observations.jsonl").write_text(lines)
    harness.stages["full"] = folder
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def damage(harness: Harness, file: str, kind: str, text: str) -> Outcome:
    """Damage one file in a copy of the run, and run a command there."""
    folder = harness.copy("full")
    path = folder / file
    before = {name: content for name, content in contents(folder).items() if name != file}
    path.write_bytes(DAMAGES[kind](path.read_bytes()))
    done = harness.run(Command("damaged", words(text), "full", stdin="typed.txt"), folder)
    messages = [line for line in done.err.splitlines() if "labelcast: " in line]
    assert "Traceback" not in done.err, done.err
    assert done.status in (0, 1, 2)
    assert len(messages) == (done.status > 0), done.err
    if done.status:
        assert before.items() <= contents(folder).items(), "a command that fails keeps the rest"
    return done


@pytest.mark.slow
@pytest.mark.parametrize("text", LOOKS)
def test_every_file_damaged_in_every_way(harness: Harness, full: Path, text: str) -> None:
    """It gives one clear message, or no message is needed."""
    for file in contents(full):
        for kind in DAMAGES:
            damage(harness, file, kind, text)


REPAIRED = {
    "run/confidence.parquet": "score",
    "run/manifests/score.json": "score",
    "run/gram.npy": "coslow",
    "run/coslow.json": "coslow",
    "run/manifests/coslow.json": "coslow",
}


@pytest.mark.parametrize("file", REPAIRED)
def test_a_damaged_result_is_created_again(harness: Harness, file: str) -> None:
    """The command that wrote a file writes the same one again; until then a report names it."""
    folder = harness.copy("answered")
    whole = state(folder)
    path = folder / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    look = harness.run(Command("look", words("report run"), "answered"), folder)
    assert look.status == 2, look.err
    assert path.name in look.err and "again" in look.err
    done = harness.run(COMMANDS[REPAIRED[file]], folder)
    assert done.status == 0, done.err
    assert {key: value for key, value in state(folder).items() if key in whole} == whole


def test_a_lost_draw_is_repeated_and_its_labels_are_kept(harness: Harness) -> None:
    """Without `draws.jsonl` the same `score` draws the same; labelled examples are restored."""
    folder = harness.copy("tunable")
    labels = (folder / "run/labels.jsonl").read_bytes()
    (folder / "run/draws.jsonl").unlink()
    assert harness.run(COMMANDS["score"], folder).status == 0
    drawn = state(folder)["run/draws.jsonl"]
    assert drawn == state(harness.stages["tunable"])["run/draws.jsonl"]
    done = harness.run(COMMANDS["label --import"], folder)
    assert done.status == 0, done.err
    assert {row["id"] for row in state(folder)["run/labels.jsonl"]} == {
        json.loads(line)["id"] for line in labels.splitlines()
    }


@pytest.mark.parametrize("kind", ["cut in half", "zeros", "bits flipped"])
def test_a_damaged_draw_is_repeated(harness: Harness, kind: str) -> None:
    """The message says how, the same `score` does it, and the damaged file is kept beside it."""
    folder = harness.copy("tunable")
    path, before = folder / "run/draws.jsonl", state(folder)
    broken = DAMAGES[kind](path.read_bytes())
    path.write_bytes(broken)
    refused = harness.run(COMMANDS["label --export"], folder)
    assert refused.status == 2 and "the same `labelcast score` again" in refused.err
    done = harness.run(COMMANDS["score"], folder)
    assert done.status == 0 and "was damaged" in done.err
    assert (folder / "run/draws.damaged.jsonl").read_bytes() == broken
    (folder / "run/draws.damaged.jsonl").unlink()
    assert state(folder) == before


def test_a_matrix_of_another_measurement_is_refused(harness: Harness) -> None:
    """A valid `gram.npy` that does not give the recorded CoS-Low is not shown."""
    folder = harness.copy("answered")
    path = folder / "run/gram.npy"
    np.save(path, np.load(path) * 0.5)
    done = harness.run(Command("look", words("report run"), "answered"), folder)
    assert done.status == 2
    assert "gram.npy: damaged" in done.err


@each(quick=("model.safetensors",), names=CHECKPOINT)
def test_a_damaged_checkpoint_is_deleted(harness: Harness, name: str) -> None:
    """The error says so; the same command then trains from the start to the same score."""
    command = COMMANDS["tune"]
    folder = harness.copy(command.start)
    older = [n for n, call in enumerate(harness.calls(command), 1) if call.startswith("rmdir")]
    done = harness.run(command, folder, fault=harness.fault("kill", older[0], folder))
    assert done.status == -9
    (manifest,) = folder.glob("run/tuning/*/checkpoint-*/labelcast.json")
    harmed = next(path for path in manifest.parent.iterdir() if path.name.startswith(name))
    harmed.write_bytes(DAMAGES["cut in half"](harmed.read_bytes()))
    refused = harness.run(command, folder)
    assert refused.status == 1, refused.err
    assert "damaged, so it is deleted" in refused.err
    assert harness.run(command, folder).status == 0
    assert state(folder) == harness.reference(command)
