"""Hostile input gives one clear line; nothing runs, hangs, or changes a file."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from bad_input import Case, prepared
from command_line import Models, check_message, labelcast, snapshot
from fault_harness import COMMANDS, Harness
from hostile_input import CASES

from labelcast.files.untrusted import escaped, one_line


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_clear_line(
    case: Case, place: Path, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status 2, one line of harmless characters that says where, and no file changes."""
    monkeypatch.chdir(place)
    args = prepared(case, models)
    before = snapshot(place)
    done = labelcast(*args)
    check_message(done, 2, case.says)
    assert done.err == escaped(done.err)
    assert snapshot(place) == before


READERS = {
    "f.jsonl": ("score", "f.jsonl", "--task", "task.yaml", "--out", "new"),
    "f.json": ("score", "f.json", "--task", "task.yaml", "--out", "new"),
    "f.csv": ("score", "f.csv", "--task", "task.yaml", "--out", "new"),
    "f.parquet": ("score", "f.parquet", "--task", "task.yaml", "--out", "new"),
    "guess.csv": ("init", "guess.csv", "--out", "new.yaml"),
    "f.yaml": ("score", "pool.jsonl", "--task", "f.yaml", "--out", "new"),
    "labels.jsonl": ("label", "run", "--import", "labels.jsonl"),
    "labels.csv": ("label", "run", "--import", "labels.csv"),
    "labelled.jsonl": ("coslow", "labelled.jsonl", "--task", "task.yaml", "--model", "TINY"),
    "card.json": ("forecast", "--coslow", "0.4", "--calibration", "./card.json"),
    "recipe": ("sweep", "--task", "boolean_expressions", "--out", "new", "--recipe", "recipe"),
    "f.gguf": ("score", "pool.jsonl", "--task", "task.yaml", "--model", "f.gguf", "--out", "new"),
    "run/run.json": ("label", "run", "--export", "a.csv"),
    "run/draws.jsonl": ("label", "run", "--export", "a.csv"),
    "run/labels.jsonl": ("label", "run", "--export", "a.csv"),
}
WRITERS = {
    "a.csv": ("label", "run", "--export", "a.csv"),
    "a.yaml": ("init", "pool.jsonl", "--out", "a.yaml", "--force"),
}


def device(path: Path) -> None:
    """A link to a device that never ends."""
    path.symlink_to("/dev/zero")


def listening(path: Path) -> None:
    """A socket."""
    with closing(socket.socket(socket.AF_UNIX)) as made:
        made.bind(path.name)


@pytest.mark.parametrize(
    ("name", "make"),
    [*((name, os.mkfifo) for name in READERS), ("f.jsonl", device), ("f.jsonl", listening)],
)
def test_a_pipe_or_device_is_not_read(
    name: str,
    make: Callable[[Path], None],
    place: Path,
    models: Models,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For a pipe, device or socket in place of any file there is a message and no hang."""
    monkeypatch.chdir(place)
    (place / name).unlink(missing_ok=True)
    make(place / name)
    before = snapshot(place)
    words = (str(models.tiny) if word == "TINY" else word for word in READERS[name])
    check_message(labelcast(*words), 2, (name, "but a file is needed"))
    assert snapshot(place) == before


@pytest.mark.parametrize("name", WRITERS)
def test_a_pipe_is_not_replaced(name: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An output never replaces a pipe."""
    monkeypatch.chdir(place)
    os.mkfifo(place / name)
    check_message(labelcast(*WRITERS[name]), 2, (name, "but a file is needed"))
    assert (place / name).is_fifo()


# Files that a command locks, adds to and replaces, and one that it does not know.
LINKED = (".lock", "labels.jsonl", "manifests", "tuning/x/y")


@pytest.mark.parametrize("name", ["label --gold", "label --export", "forecast", "calibrate"])
def test_a_link_that_leaves_the_folder_is_refused(
    name: str, harness: Harness, tmp_path: Path
) -> None:
    """In a run or sweep with such a link, nothing is read or written at its target."""
    command = COMMANDS[name]
    for number, place in enumerate(LINKED):
        folder = harness.copy(command.start)
        run = folder / ("sweep" if "sweep" in command.argv else "run")
        outside = tmp_path / str(number)
        target = outside / "target"
        outside.mkdir()
        (run / place).parent.mkdir(parents=True, exist_ok=True)
        if (run / place).exists():
            (run / place).rename(target)
        elif place != ".lock":
            target.write_text("an unfinished line")
        (run / place).symlink_to(target)
        before = snapshot(folder), snapshot(outside)
        check_message(harness.run(command, folder), 2, (run.name, place, "leads out of"))
        assert (snapshot(folder), snapshot(outside)) == before


def test_links_inside_the_folder_are_followed(harness: Harness, tmp_path: Path) -> None:
    """A run that is itself a link works, and so does a link to another file of the run."""
    command = COMMANDS["forecast"]
    folder = harness.copy(command.start)
    (folder / "run").rename(tmp_path / "elsewhere")
    (folder / "run").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "draws.jsonl").rename(tmp_path / "elsewhere" / "kept")
    (tmp_path / "elsewhere" / "draws.jsonl").symlink_to("kept")
    done = harness.run(command, folder)
    assert done.status == 0, done.err


def test_escape_sequences_are_written_out() -> None:
    """So are text direction marks and half characters; letters of all scripts are kept."""
    assert escaped("\x1b[2J\x9b\u202e\ud83d") == "\\x1b[2J\\x9b\\u202e\\ud83d"
    assert escaped("Ärger, שלום, 日本, 👩\u200d🚀\t\n") == "Ärger, שלום, 日本, 👩\u200d🚀\t\n"
    assert one_line("a\nlabelcast: all is well") == "a\\nlabelcast: all is well"
    assert len(one_line("x" * 100_000)) < 300
