"""Broken off at any moment, the same command ends as if nothing had been.

Each command that writes is killed, stopped, or finds the disk full at one of the calls by which it
changes its folder; the slow tests take many of them, and twenty random moments.
"""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from command_line import Outcome
from fault_bench import COMMANDS, Bench, Command, each, state

STATUS = {"kill": -9, "torn": -9, "int": 130, "term": 143, "full": 1}
MOMENTS = 20
MOST = 60


def named(commands: Sequence[Command]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("command", commands, ids=lambda command: command.name)


def places(calls: Sequence[str], kind: str, count: int, seed: int = 0) -> list[int]:
    """Which calls to break at; only a file that is flushed can be torn."""
    fit = [n for n, call in enumerate(calls, 1) if kind != "torn" or call.startswith("fsync")]
    return sorted(random.Random(f"{seed} {kind}").sample(fit, min(count, len(fit))))


def break_at(bench: Bench, command: Command, kind: str, at: int) -> None:
    folder = bench.copy(command.start)
    done = bench.run(command, folder, fault=bench.fault(kind, at, folder))
    # A fault in what is done for tidiness alone does not stop the work.
    if kind != "full" or done.status:
        check_end(done, kind)
    if kind == "full":
        assert not list(folder.rglob("*.part"))
    bench.check_recovers(command, folder)
    shutil.rmtree(folder)


def check_end(done: Outcome, kind: str) -> None:
    assert done.status == STATUS[kind], done.err
    assert "Traceback" not in done.err
    if done.status > 0:
        told = [line for line in done.err.splitlines() if "labelcast: " in line]
        assert len(told) == 1, done.err
        assert ("stopped" if kind in ("int", "term") else "disk is full") in told[0]


@each(quick=("score", "label --import", "coslow"))
def test_at_some_calls(bench: Bench, name: str) -> None:
    """Killed, stopped, torn or full at a call that was drawn: the same result after a rerun."""
    command = COMMANDS[name]
    calls = bench.calls(command)
    for seed, kind in enumerate(("kill", "kill", "torn", "full", "term")):
        for at in places(calls, kind, 1, seed):
            break_at(bench, command, kind, at)


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(STATUS))
@named(list(COMMANDS.values()))
def test_at_many_calls(bench: Bench, command: Command, kind: str) -> None:
    """At every call, or sixty of them."""
    for at in places(bench.calls(command), kind, MOST if not command.slow else 8):
        break_at(bench, command, kind, at)


@pytest.mark.slow
@named(list(COMMANDS.values()))
def test_killed_at_random_moments(bench: Bench, command: Command) -> None:
    """SIGKILL at twenty moments, more than half of them within the part that writes."""
    folder = bench.copy(command.start)
    begun = time.monotonic()
    bench.run(command, folder)
    whole = time.monotonic() - begun
    rng = random.Random(command.name)
    kills = 0
    for number in range(4 * MOMENTS):
        folder = bench.copy(command.start)
        first = 0.0 if number % 5 == 0 else 0.3
        started = bench.start(command, folder)
        if bench.server.wait(started.pid, rng.uniform(first * whole, whole)) is None:
            started.signal(signal.SIGKILL)
            status = started.end().status
            # It may have come to its end between the two.
            assert status in (-9, 0)
            kills += status == -9
            bench.check_recovers(command, folder)
        shutil.rmtree(folder)
        if kills == MOMENTS:
            break
    assert kills >= MOMENTS // 2


TYPED = ("yes", "no", "yes", "no", "yes", "no")
BY_HAND = Command("label --terminal", ("label", "run", "--terminal"), "scored", stdin="answers.txt")


def labelled_by_hand(bench: Bench, kind: str, at: int) -> int:
    """Type six answers, break off at one call, and count what is kept; then type the rest."""
    (bench.place.path / "answers.txt").write_text("\n".join(TYPED) + "\n")
    folder = bench.copy("scored")
    bench.run(BY_HAND, folder, fault=bench.fault(kind, at, folder))
    kept = state(folder).get("run/labels.jsonl", [])
    assert [row["y"] for row in kept] == list(TYPED[: len(kept)])
    (bench.place.path / "rest.txt").write_text("\n".join(TYPED[len(kept) :]) + "\n")
    done = bench.run(replace(BY_HAND, stdin="rest.txt"), folder)
    assert done.status == 0, done.err
    rows = state(folder)["run/labels.jsonl"]
    assert [row["y"] for row in rows] == list(TYPED)
    assert not list(folder.rglob("*.part"))
    shutil.rmtree(folder)
    return len(kept)


@pytest.mark.slow
def test_answers_typed_before_a_kill_are_kept(bench: Bench) -> None:
    """Killed while the k-th answer is written, all before it are on the disk, in their order."""
    (bench.place.path / "answers.txt").write_text("\n".join(TYPED) + "\n")
    calls = bench.calls(BY_HAND)
    renamed = [n for n, call in enumerate(calls, 1) if call.startswith("replace run/.labels")]
    assert len(renamed) == len(TYPED)
    for number, at in enumerate(renamed):
        kind = ("kill", "full", "term")[number % 3]
        assert labelled_by_hand(bench, kind, at) == number
        if number % 2:
            assert labelled_by_hand(bench, "kill", at + 1) == number + 1
