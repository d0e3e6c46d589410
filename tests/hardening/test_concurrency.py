"""Two processes on one folder: one waits or is refused; nothing is mixed up or lost."""

from __future__ import annotations

import errno
import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
from command_line import labelcast
from fault_harness import COMMANDS, Command, Harness, each, state, words

from labelcast.runs.run import Run
from labelcast.sweeps.sweep import Sweep

LOCKED = [
    name
    for name in COMMANDS
    if name not in ("init", "label --export", "label --export argilla", "report")
]
TOGETHER = ("score", "label --more", "coslow", "forecast", "report", "tune")


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The lock of a run or sweep, held as by a running command."""
    folder.mkdir(exist_ok=True)
    with (folder / ".lock").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@each(quick=("score",), names=LOCKED)
def test_a_second_command_is_refused(harness: Harness, name: str) -> None:
    """While a command works on a folder, another one there fails and changes nothing."""
    command = COMMANDS[name]
    folder = harness.copy(command.start)
    before = state(folder)
    with held(folder / ("sweep" if name in ("sweep", "calibrate") else "run")):
        done = harness.run(command, folder)
    assert done.status == 1, done.err
    assert "another labelcast process" in done.err
    assert "Traceback" not in done.err
    if name != "calibrate":  # it derives `curve.json` from the scores first
        assert state(folder) == before


def test_reading_needs_no_lock(harness: Harness) -> None:
    """Progress and export work while another command runs."""
    folder = harness.copy("answered")
    with held(folder / "run"):
        for text in ("label run --json", "label run --export o.csv"):
            done = harness.run(Command("look", words(text), "answered"), folder)
            assert done.status == 0, done.err


def test_a_running_process_keeps_its_temporary_file(harness: Harness) -> None:
    """Only temporary files whose process has ended are deleted."""
    folder = harness.copy("measured")
    running, left = (folder / f"run/.report.html.{number}.part" for number in (1, 2))
    other = folder / "run/.notes.part"
    for path in (running, left, other):
        path.write_text("half")
    with running.open("r+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert harness.run(COMMANDS["forecast"], folder).status == 0
        assert running.exists()
    assert not left.exists()
    assert other.exists()


@each(quick=("score",), names=TOGETHER)
def test_two_commands_at_once(harness: Harness, name: str) -> None:
    """At least one succeeds; the folder is the same as after one run, or two in turn."""
    command = COMMANDS[name]
    folder = harness.copy(command.start)
    both = [harness.start(command, folder) for _ in range(2)]
    ends = [one.end() for one in both]
    assert 0 in [end.status for end in ends], [end.err for end in ends]
    for end in ends:
        assert end.status == 0 or (end.status == 1 and "another labelcast process" in end.err)
    done = sum(end.status == 0 for end in ends)
    assert state(folder) == harness.reference(command, 1 if command.again else done)
    shutil.rmtree(folder)


def test_two_sweeps_at_once_keep_both_tasks(harness: Harness) -> None:
    """A task that another process adds while a sweep starts is kept."""
    place = harness.place
    first = place.begin("joined", ("one",), test_size=10)
    entered = Run.locked
    done: list[bool] = []

    def locked(run: Run, wait: float = 0.0) -> object:
        if not done:
            done.append(True)
            place.begin("joined", ("two",), test_size=10)
        return entered(run, wait)

    with patch.object(Run, "locked", locked):
        place.begin("joined", ("three",), test_size=10)
    assert set(Sweep(first.sweep.path).read().tasks) == {"one", "two", "three"}


def test_a_reader_leaves_an_unfinished_line_to_its_writer(harness: Harness) -> None:
    """Reading a sweep while a line is being added does not cut off the line."""
    folder = harness.copy("swept")
    path = folder / "sweep/scores.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"task": "ta')
    sweep = Sweep(folder / "sweep")
    assert len(sweep.scores.rows()) == len(whole.splitlines())
    assert path.read_bytes() == whole + b'{"task": "ta'
    row = sweep.scores.rows()[-1].model_copy(update={"seed": 7})
    sweep.scores.append(row)
    assert path.read_bytes().startswith(whole)
    assert [one.seed for one in sweep.scores.rows()][-1] == 7


def test_a_disk_without_locks_is_reported(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the file system has no locks, the message says so."""

    def none(*args: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", none)
    done = labelcast("label", place / "run", "--more", 2)
    assert done.status == 1
    assert "no file locks" in done.err
