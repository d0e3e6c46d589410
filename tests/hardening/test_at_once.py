"""Two processes on one folder: one of them waits or is refused, and nothing is mixed or lost."""

from __future__ import annotations

import errno
import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import labelcast
from fault_bench import COMMANDS, Bench, Command, each, state, words

LOCKED = [
    name for name in COMMANDS if name not in ("init", "label --export", "label --export argilla")
]
TOGETHER = ("score", "label --more", "coslow", "forecast", "report", "tune")


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The lock of a run or sweep, held as a command that works on it holds it."""
    folder.mkdir(exist_ok=True)
    with (folder / ".lock").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@each(quick=("score",), names=[name for name in LOCKED if name != "report"])
def test_a_second_one_is_refused(bench: Bench, name: str) -> None:
    """While a folder is worked on, every other command that writes there changes nothing."""
    command = COMMANDS[name]
    folder = bench.copy(command.start)
    before = state(folder)
    with held(folder / ("sweep" if name in ("sweep", "calibrate") else "run")):
        done = bench.run(command, folder)
    assert done.status == 1, done.err
    assert "another labelcast process" in done.err
    assert "Traceback" not in done.err
    if name != "calibrate":  # which makes `curve.json` anew from the scores before
        assert state(folder) == before


def test_reading_waits_for_nobody(bench: Bench, tmp_path: Path) -> None:
    """A run that is worked on can be looked at: progress, export, report to another place."""
    folder = bench.copy("answered")
    with held(folder / "run"):
        for text in ("label run --json", "label run --export o.csv", "report run --out r.html"):
            done = bench.run(Command("look", words(text), "answered"), folder)
            assert done.status == 0, done.err


def test_a_living_process_keeps_its_temporary_file(bench: Bench) -> None:
    """Only what a process that is gone has left is deleted."""
    folder = bench.copy("measured")
    living, left = (folder / f"run/.report.html.{number}.part" for number in (1, 2))
    odd = folder / "run/.notes.part"
    for path in (living, left, odd):
        path.write_text("half")
    with living.open("r+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert bench.run(COMMANDS["forecast"], folder).status == 0
        assert living.exists()
    assert not left.exists()
    assert odd.exists()


@each(quick=("score",), names=TOGETHER)
def test_two_started_together(bench: Bench, name: str) -> None:
    """Started at one moment, at least one succeeds; the folder is as one after the other leaves it.

    The one that is refused says so and can be run again.
    """
    command = COMMANDS[name]
    folder = bench.copy(command.start)
    both = [bench.start(command, folder) for _ in range(2)]
    ends = [one.end() for one in both]
    assert 0 in [end.status for end in ends], [end.err for end in ends]
    for end in ends:
        assert end.status == 0 or (end.status == 1 and "another labelcast process" in end.err)
    done = sum(end.status == 0 for end in ends)
    whole = bench.reference(command, done if not command.again else 1)
    assert state(folder) == whole
    shutil.rmtree(folder)


def test_two_sweeps_begun_together_keep_both_tasks(bench: Bench, tmp_path: Path) -> None:
    """A sweep that another process extends between reading and writing keeps what was added."""
    from unittest.mock import patch

    from labelcast.runs.run import Run
    from labelcast.sweeps.sweep import Sweep

    place = bench.place
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


def test_a_reader_leaves_an_unfinished_line_to_its_writer(bench: Bench) -> None:
    """Looking at a sweep while a line is being added to cuts nothing off."""
    from labelcast.sweeps.sweep import Sweep

    folder = bench.copy("swept")
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


def test_a_disk_without_locks_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the file system has no locks, that is said, and not that another process is at it."""
    shutil.copytree(bench.stages["measured"], tmp_path / "place")

    def none(*args: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr("labelcast.runs.run.fcntl.flock", none)
    done = labelcast("forecast", tmp_path / "place/run")
    assert done.status == 1
    assert "cannot be locked" in done.err
