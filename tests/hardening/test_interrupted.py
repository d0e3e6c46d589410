"""Interrupted at any moment, the same command resumes and gives the same result.

Each command that writes is killed, stopped, or finds the disk full at one of the calls that change
its folder. The slow tests try many of these calls.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from dataclasses import replace

import pytest
from command_line import Outcome
from fault_harness import COMMANDS, Command, Harness, each, state

STATUS = {"kill": -9, "torn": -9, "int": 130, "term": 143, "full": 1}
MOST = 60


def places(calls: Sequence[str], kind: str, count: int, seed: int = 0) -> list[int]:
    """The calls to break at; only a file that is flushed can be torn."""
    fit = [n for n, call in enumerate(calls, 1) if kind != "torn" or call.startswith("fsync")]
    return sorted(random.Random(f"{seed} {kind}").sample(fit, min(count, len(fit))))


def break_at(harness: Harness, command: Command, kind: str, at: int) -> None:
    """Break a command at one call, then run it again."""
    folder = harness.copy(command.start)
    done = harness.run(command, folder, fault=harness.fault(kind, at, folder))
    # A fault while tidying up does not stop the work.
    if kind != "full" or done.status:
        check_end(done, kind)
    if kind == "full":
        assert not list(folder.rglob("*.part"))
    harness.check_recovers(command, folder)
    shutil.rmtree(folder)


def check_end(done: Outcome, kind: str) -> None:
    assert done.status == STATUS[kind], done.err
    assert "Traceback" not in done.err
    if done.status > 0:
        messages = [line for line in done.err.splitlines() if "labelcast: " in line]
        assert len(messages) == 1, done.err
        assert ("stopped" if kind in ("int", "term") else "disk is full") in messages[0]


@each(quick=("score", "label --import", "coslow"))
def test_at_some_calls(harness: Harness, name: str) -> None:
    """Killed, stopped, torn file or full disk at a random call: the same result after a rerun."""
    command = COMMANDS[name]
    calls = harness.calls(command)
    for seed, kind in enumerate(("kill", "kill", "torn", "full", "term")):
        for at in places(calls, kind, 1, seed):
            break_at(harness, command, kind, at)


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(STATUS))
@pytest.mark.parametrize("name", COMMANDS)
def test_at_many_calls(harness: Harness, name: str, kind: str) -> None:
    """The same at every call, or at sixty of them."""
    command = COMMANDS[name]
    for at in places(harness.calls(command), kind, MOST if not command.slow else 8):
        break_at(harness, command, kind, at)


TYPED = ("yes", "no", "yes", "no", "yes", "no")
TERMINAL = Command(
    "label --terminal", ("label", "run", "--terminal"), "scored", stdin="answers.txt"
)


def label_and_break(harness: Harness, kind: str, at: int) -> int:
    """Type six answers, stop at one call, type the rest; returns how many were kept."""
    typed = harness.place.path / "answers.txt"
    typed.write_text("\n".join(TYPED) + "\n")
    folder = harness.copy("scored")
    harness.run(TERMINAL, folder, fault=harness.fault(kind, at, folder))
    kept = state(folder).get("run/labels.jsonl", [])
    assert [row["y"] for row in kept] == list(TYPED[: len(kept)])
    rest = harness.place.path / "rest.txt"
    rest.write_text("\n".join(TYPED[len(kept) :]) + "\n")
    done = harness.run(replace(TERMINAL, stdin=rest.name), folder)
    assert done.status == 0, done.err
    rows = state(folder)["run/labels.jsonl"]
    assert [row["y"] for row in rows] == list(TYPED)
    assert not list(folder.rglob("*.part"))
    shutil.rmtree(folder)
    return len(kept)


@pytest.mark.slow
def test_answers_typed_before_a_kill_are_kept(harness: Harness) -> None:
    """If it is killed while an answer is written, all earlier answers are on disk, in order."""
    (harness.place.path / "answers.txt").write_text("\n".join(TYPED) + "\n")
    calls = harness.calls(TERMINAL)
    renamed = [n for n, call in enumerate(calls, 1) if call.startswith("replace run/.labels")]
    assert len(renamed) == len(TYPED)
    for number, at in enumerate(renamed):
        kind = ("kill", "full", "term")[number % 3]
        assert label_and_break(harness, kind, at) == number
        if number % 2:
            assert label_and_break(harness, "kill", at + 1) == number + 1
