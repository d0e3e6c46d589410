"""What an enemy hands over: one clear line, nothing run, nothing hung, nothing touched."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import mistakes
import pytest
from cases import Case, prepared
from command_line import Models, check_message, labelcast, snapshot
from strangers import CASES

from labelcast.files.untrusted import escaped, one_line

READERS = {
    "pool": ("score", "f.jsonl", "--task", "task.yaml", "--out", "new"),
    "array": ("score", "f.json", "--task", "task.yaml", "--out", "new"),
    "table": ("score", "f.csv", "--task", "task.yaml", "--out", "new"),
    "columns": ("score", "f.parquet", "--task", "task.yaml", "--out", "new"),
    "guess": ("init", "f.csv", "--out", "new.yaml"),
    "task": ("score", "pool.jsonl", "--task", "f", "--out", "new"),
    "labels": ("label", "run", "--import", "f.jsonl"),
    "sheet": ("label", "run", "--import", "f.csv"),
    "labelled": ("coslow", "f.jsonl", "--task", "task.yaml", "--model", "TINY"),
    "card": ("forecast", "--coslow", "0.4", "--calibration", "./f"),
    "recipe": ("sweep", "--task", "boolean_expressions", "--out", "new", "--recipe", "f"),
    "model": ("score", "pool.jsonl", "--task", "task.yaml", "--model", "f.gguf", "--out", "new"),
    "run": ("forecast", "run/run.json"),
}
WRITERS = {
    "export": ("label", "run", "--export", "f.csv"),
    "init": ("init", "pool.jsonl", "--out", "f", "--force"),
}
OF_A_RUN = ("run.json", "draws.jsonl", "labels.jsonl")


def pipe(path: Path) -> None:
    """A pipe that nobody writes to."""
    os.mkfifo(path)


def device(path: Path) -> None:
    """A device that never ends. By a link: its own path is never given to a command."""
    path.symlink_to("/dev/zero")


def loop(path: Path) -> None:
    """A link to itself."""
    path.symlink_to(path)


def listening(path: Path) -> None:
    """A socket."""
    with closing(socket.socket(socket.AF_UNIX)) as made:
        made.bind(path.name)


def test_there_are_many_cases() -> None:
    """More than 200 in all, each with a name of its own."""
    names = [case.name for case in (*CASES, *mistakes.CASES)]
    assert len(set(names)) == len(names)
    assert len(CASES) > 150
    assert len(names) > 300


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_clear_line(
    case: Case, place: Path, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status 2, one line of plain characters that says where, and no file is touched."""
    monkeypatch.chdir(place)
    args = [word.replace("FILE", case.file) for word in prepared(case, models)]
    before = snapshot(place)
    done = labelcast(*args)
    check_message(done, 2, case.says)
    assert done.err == escaped(done.err)
    assert snapshot(place) == before
    assert labelcast(*args, "--json").out == ""


@pytest.mark.parametrize("make", [pipe, device, loop, listening])
@pytest.mark.parametrize("what", READERS)
def test_what_is_no_file_is_not_read(
    what: str,
    make: Callable[[Path], None],
    place: Path,
    models: Models,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pipe, a device, a socket or a link to itself: no hang, and memory is not filled."""
    monkeypatch.chdir(place)
    for name in ("f", "f.jsonl", "f.json", "f.csv", "f.parquet", "f.gguf"):
        make(place / name)
    before = snapshot(place)
    done = labelcast(*(str(models.tiny) if word == "TINY" else word for word in READERS[what]))
    assert done.status == 2 or make is loop
    assert done.out == ""
    assert done.err.count("labelcast: ") == 1
    assert "Traceback" not in done.err
    assert snapshot(place) == before


@pytest.mark.parametrize("make", [pipe, listening])
@pytest.mark.parametrize("what", WRITERS)
def test_what_is_no_file_is_not_replaced(
    what: str, make: Callable[[Path], None], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An output never takes the place of a pipe, a device or a socket."""
    monkeypatch.chdir(place)
    path = place / WRITERS[what][WRITERS[what].index("--out" if what == "init" else "--export") + 1]
    make(path)
    before = path.lstat()
    check_message(labelcast(*WRITERS[what]), 2, (path.name, "a file is needed"))
    assert (path.lstat().st_ino, path.lstat().st_mode) == (before.st_ino, before.st_mode)


@pytest.mark.parametrize("file", OF_A_RUN)
def test_a_pipe_in_a_run(file: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run folder of a stranger keeps no command waiting."""
    monkeypatch.chdir(place)
    (place / "run" / file).unlink(missing_ok=True)
    pipe(place / "run" / file)
    check_message(labelcast("label", "run", "--export", "a.csv"), 2, (file, "a pipe"))


def test_what_steers_a_terminal_is_written_out() -> None:
    """Controls, directions of writing and halves of a pair; letters of all scripts stay."""
    assert escaped("\x1b[2J\x9b\u202e\ud83d") == "\\x1b[2J\\x9b\\u202e\\ud83d"
    assert escaped("Ärger, שלום, 日本, 👩\u200d🚀\t\n") == "Ärger, שלום, 日本, 👩\u200d🚀\t\n"
    assert one_line("a\nlabelcast: all is well") == "a\\nlabelcast: all is well"
    assert len(one_line("x" * 100_000)) < 300
