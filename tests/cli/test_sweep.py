"""`labelcast sweep`: complete, killed and resumed, and with wrong options."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import labelcast
from small_selectors import register
from small_sweeps import InProcess, Place, make_place, scores

from labelcast.errors import InputError
from labelcast.execution import local
from labelcast.sweeps.task_data import SweepTask, split
from labelcast.tasks.sources import open_source
from labelcast.training.splits import Budget, Splits

TESTS = Path(__file__).resolve().parents[1]
SOURCE = TESTS.parent / "src"


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Jobs use one thread: two are slow while other tests run on the same cores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "cores", lambda: 1)
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A folder with data for a budget of 500 and 500 test examples."""
    return make_place(tmp_path_factory.mktemp("place"), 1100)


def args(place: Place, out: str, *more: object, steps: int = 4, size: int = 4) -> list[str]:
    """The command line of a sweep; by default with 20 test examples."""
    given = ["sweep", "--task", place.task(), "--data", place.data, "--model", place.model]
    given += ["--recipe", place.recipe(steps, size), "--device", "cpu", "--max-new-tokens", 3]
    given += ["--out", place.path / out, *(more or ("--test-size", 20, "--budgets", "0,10,20"))]
    return [str(part) for part in given]


def start(given: list[str], code: str = "") -> subprocess.Popen[bytes]:
    """Start the command in its own process; `code` runs before it."""
    code = f"import labelcast.execution.local as local\nlocal.cores = lambda: 1\n{code}"
    program = f"import os, signal\n{code}\nfrom labelcast.cli.app import main\nmain()"
    environment = os.environ | {"PYTHONPATH": f"{SOURCE}:{TESTS}"}
    return subprocess.Popen(
        [sys.executable, "-c", program, *given], env=environment, stderr=subprocess.DEVNULL
    )


# Each kills the process at one point of its work. The first has no worker process, to be faster.
KILL = "os.kill(os.getpid(), signal.SIGKILL)"
KILLS = {
    "in the middle of a row": f"""
import labelcast.sweeps.scores as s
from small_selectors import register
from small_sweeps import InProcess
def add(self, row):
    with self.path.open("a") as stream: stream.write('{{"task": "first", "mod')
    {KILL}
s.JsonLines.add = add
local.LocalWorkers = InProcess""",
    "before the second row": f"""
import labelcast.sweeps.scores as s
old, count = s.JsonLines.add, []
def add(self, row):
    count.append(1)
    if len(count) == 2: {KILL}
    old(self, row)
s.JsonLines.add = add""",
    "in the middle of training": f"""
import labelcast.cli.sweep_table as t
old = t.SweepTable.on_event
def on_event(self, event):
    if isinstance(event, t.Moved) and event.progress.stage == "tuning": {KILL}
    old(self, event)
t.SweepTable.on_event = on_event""",
}


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The jobs of a sweep run in this process."""
    monkeypatch.setattr(local, "LocalWorkers", InProcess)


@pytest.fixture(scope="module")
def whole(place: Place) -> list[tuple[object, ...]]:
    """The scores of an undisturbed sweep."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "LocalWorkers", InProcess)
        assert labelcast(*args(place, "whole")).status == 0
    return scores(place.path / "whole" / "scores.jsonl")


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    "points", [list(KILLS)[:1], pytest.param(list(KILLS), marks=pytest.mark.slow)]
)
def test_a_killed_sweep_ends_with_the_same_scores(
    place: Place, whole: list[tuple[object, ...]], points: list[str]
) -> None:
    """Killed at several points in turn, the sweep ends with the rows of an undisturbed one."""
    assert len(whole) == 3
    out = f"killed-{len(points)}"
    for point in points:
        assert start(args(place, out), KILLS[point]).wait() == -signal.SIGKILL
    assert labelcast(*args(place, out)).status == 0
    assert scores(place.path / out / "scores.jsonl") == whole


@pytest.mark.slow
def test_killed_at_random_moments(place: Place, whole: list[tuple[object, ...]]) -> None:
    """Killed repeatedly after random times, the sweep ends with the same rows."""
    rng = random.Random(0)
    for _ in range(6):
        process = start(args(place, "random"))
        try:
            process.wait(timeout=rng.uniform(1, 20))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    assert labelcast(*args(place, "random")).status == 0
    assert scores(place.path / "random" / "scores.jsonl") == whole


def curve_rises(place: Place, out: str, budgets: str, test_size: int, steps: int) -> None:
    """The last score beats the first and the commonest label by two standard errors."""
    given = ("--budgets", budgets, "--test-size", test_size, "--json")
    done = labelcast(*args(place, out, *given, steps=steps, size=16))
    assert done.status == 0, done.err
    curve = done.json["curves"]["first"]
    first, last = curve["scores"][0], curve["scores"][-1]
    chosen = SweepTask(place.chosen().task, open_source(place.data).spec)
    answers = [example.answer or "" for example in split(chosen, test_size, seed=1).test]
    share = max(map(answers.count, set(answers))) / len(answers)
    share_sd = math.sqrt(share * (1 - share) / len(answers))
    sd = math.sqrt(last * (1 - last) / test_size)
    assert last - first > 2 * math.hypot(sd, math.sqrt(first * (1 - first) / test_size))
    assert last - share > 2 * math.hypot(sd, share_sd)
    assert curve["budgets"] == [int(budget) for budget in budgets.split(",")]
    assert json.loads((place.path / out / "curve.json").read_text())["first"] == curve


@pytest.mark.usefixtures("in_process")
def test_a_small_curve_rises(place: Place) -> None:
    """On an easy task, 50 labels beat no labels and the commonest label."""
    curve_rises(place, "small", "0,50", 100, 60)


@pytest.mark.slow
def test_the_curve_rises(place: Place) -> None:
    """The same at 0, 50, 100, 200 and 500 labels, with 500 test examples."""
    curve_rises(place, "curve", "0,50,100,200,500", 500, 200)


def test_a_dry_run_writes_nothing(place: Place) -> None:
    """It reports hours and how they were estimated; the sweep may then have other settings."""
    done = labelcast(*args(place, "dry"), "--dry-run", "--json")
    assert done.status == 0, done.err
    assert done.json["missing"] == 3
    assert 0 < done.json["hours_low"] <= done.json["hours_high"]
    assert "measured" in done.json["basis"]
    assert "Roughly" in done.err
    assert not (place.path / "dry").exists()


def test_wrong_options(place: Place) -> None:
    """One line that names the option, exit status 2."""
    for more, says in (
        (("--budgets", "0,many"), "--budgets 0,many"),
        (("--budgets", "50,50"), "--budgets"),
        (("--engine", "slurm"), "--engine slurm"),
        (("--address", "auto"), "--address"),
        (("--data", "x", "--data", "y"), "--data: given"),
        (("--recipe", "nothing"), "recipe"),
    ):
        done = labelcast(*args(place, "wrong"), *more)
        assert (done.status, done.out) == (2, "")
        assert says in done.err.splitlines()[-1]
        assert not (place.path / "wrong").exists()


@pytest.mark.usefixtures("in_process")
def test_a_failed_job_does_not_stop_the_others(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 1, and the error is in the job's row; the other job has its score."""
    budget = Splits.budget

    def failing(splits: Splits, size: int, share: float) -> Budget:
        if size == 8:
            raise InputError("no luck")
        return budget(splits, size, share)

    monkeypatch.setattr(Splits, "budget", failing)
    options = ("--test-size", 20, "--budgets", "8,10", "--retries", 0)
    done = labelcast(*args(place, "failing", *options))
    assert done.status == 1
    assert "1 of 2 jobs failed" in done.err
    rows = scores(place.path / "failing" / "scores.jsonl")
    assert [(row[1], bool(row[6])) for row in rows] == [(8, True), (10, False)]
    # Of another call, which may not be repeated.
    done = labelcast(*args(place, "failing", "--test-size", 20, "--budgets", "10", "--json"))
    assert (done.status, done.json["failed"]) == (0, 0), done.err


@pytest.mark.usefixtures("in_process")
def test_selectors(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """One curve for each, in the order given; messages and the dry run name what is selected."""
    register(monkeypatch)
    options = ("--test-size", 20, "--budgets", "0,10", "--select", "random, shortest")
    dry = labelcast(*args(place, "selected", *options), "--dry-run", "--json")
    assert dry.status == 0, dry.err
    assert (dry.json["missing"], "choose labels" in dry.json["basis"]) == (3, True)
    done = labelcast(*args(place, "selected", *options, "--json"))
    assert done.status == 0, done.err
    assert list(done.json["curves"]) == ["first", "first [shortest]"]
    assert "first budget 10 seed 1 shortest: accuracy" in done.err
    assert "0 to do" in labelcast(*args(place, "selected", *options)).err
    wrong = labelcast(*args(place, "wrong"), "--select", "targeted")
    assert (wrong.status, wrong.out) == (2, "")
    assert "--select targeted: the method needs" in wrong.err.splitlines()[-1]
