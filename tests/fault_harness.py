"""Commands that write, where each starts, and a harness that runs and breaks them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from command_line import SOURCE, Outcome
from small_sweeps import TASK_TEXT, Place, make_place
from small_training import records

from labelcast.sweeps.sweep import Sweep

HERE = Path(__file__).resolve().parent
SLOW_STEPS = 12
_NOT_COMPARED = {
    *("seconds", "finished", "peak_bytes", "steps_per_second", "tuning_seconds", "train_seconds"),
    "versions",
}
_STAMP = re.compile(
    rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\+00:00)?|\d[\d.,]* (s|seconds)\b"
    rb"|labelcast report [0-9a-f]{16}"
)
"""Times, and a report's digest, which covers them."""


@dataclass(frozen=True)
class Command:
    """A command that writes.

    Attributes:
        name: of the command.
        argv: its words, with BASE for the harness's files; run in a copy of a stage.
        start: the name of that stage.
        again: whether a second run changes nothing (`--more` adds examples).
        stdin: a file that is typed in.
        eager: whether training saves a checkpoint at every evaluation.
        slow: whether it starts processes of its own, which import everything again.
    """

    name: str
    argv: tuple[str, ...]
    start: str
    again: bool = True
    stdin: str | None = None
    eager: bool = False
    slow: bool = False


def words(text: str) -> tuple[str, ...]:
    """The words of a command line."""
    return tuple(text.split())


_SCORE = "score BASE/data.jsonl --task BASE/first.yaml --model BASE/model --device cpu --n-label 6"
_TUNE = "tune run --budget 12 --recipe BASE/recipe.yaml --device cpu --ceiling 1.0"
_CALIBRATE = (
    "calibrate sweep --name mine --draws 2 --pool 30 --n-label 4 --sketch-seeds 1 --device cpu "
    "--force"
)
_SWEEP = (
    "sweep --task BASE/first.yaml --data BASE/data.jsonl --model BASE/model --device cpu "
    "--recipe BASE/recipe.yaml --test-size 10 --budgets 0,10 --max-new-tokens 2 --out sweep"
)
COMMANDS = {
    command.name: command
    for command in (
        Command("init", words("init BASE/data.jsonl --answer y --out task.yaml --force"), "empty"),
        Command("score", words(f"{_SCORE} --max-new-tokens 3 --out run"), "empty"),
        Command("label --more", words("label run --more 5 --test 4"), "scored", again=False),
        Command("label --gold", words("label run --gold y"), "scored"),
        Command("label --import", words("label run --import BASE/filled.jsonl"), "scored"),
        Command("label --export", words("label run --export out.csv"), "labelled"),
        Command(
            "label --export argilla",
            words("label run --export out.json --format argilla"),
            "labelled",
        ),
        Command("coslow", words("coslow run --device cpu"), "labelled"),
        Command("forecast", words("forecast run --target 0.9"), "measured"),
        Command("report", words("report run"), "answered"),
        Command("tune", words(_TUNE), "tunable", eager=True),
        Command("tune --keep", words(f"{_TUNE} --keep kept"), "tunable"),
        Command("calibrate", words(f"{_CALIBRATE} --keep-grams"), "swept"),
        Command("sweep", words(_SWEEP), "empty", slow=True),
    )
}


def each(quick: Sequence[str], names: Sequence[str] = tuple(COMMANDS)) -> pytest.MarkDecorator:
    """Parametrize by command name; all but the quick ones are slow."""
    values = [pytest.param(n, marks=() if n in quick else pytest.mark.slow) for n in names]
    return pytest.mark.parametrize("name", values)


@dataclass
class Server:
    """The process that runs commands in forks of itself."""

    process: subprocess.Popen[str]

    def ask(self, **request: Any) -> Any:
        """Send a request and return the response."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def wait(self, pid: int) -> int:
        """The exit status, negative for a signal."""
        status: int = self.ask(op="wait", pid=pid)["status"]
        return status


@contextmanager
def server() -> Iterator[Server]:
    """A running server."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(SOURCE), str(HERE)]),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    process = subprocess.Popen(
        [sys.executable, str(HERE / "fault_server.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "{}\n"
        yield Server(process)
    finally:
        process.kill()
        process.communicate()


@dataclass
class Harness:
    """Stages of a run and of a sweep, and a server that runs commands on copies of them.

    Attributes:
        place: model, data, task and recipe, shared by all stages.
        stages: folders by name.
        server: runs the commands.
        scratch: where copies are made.
    """

    place: Place
    stages: dict[str, Path]
    server: Server
    scratch: Path
    _references: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    _copies: int = 0

    def copy(self, stage: str, inside: Path | None = None) -> Path:
        """A copy of a stage to work on."""
        self._copies += 1
        folder = (inside or self.scratch) / f"copy-{self._copies}"
        shutil.copytree(self.stages[stage], folder)
        return folder

    def start(self, command: Command, folder: Path, **more: Any) -> Started:
        """Start a command in a folder."""
        said = self.scratch / "said"
        said.mkdir(exist_ok=True)
        self._copies += 1
        out, err = said / f"{self._copies}.out", said / f"{self._copies}.err"
        base = str(self.place.path)
        argv = [word.replace("BASE", base) for word in command.argv]
        stdin = None if command.stdin is None else f"{base}/{command.stdin}"
        pid = self.server.ask(
            op="start",
            argv=argv,
            cwd=str(folder),
            out=str(out),
            err=str(err),
            stdin=stdin,
            eager=command.eager,
            **more,
        )["pid"]
        return Started(self.server, pid, out, err)

    def run(self, command: Command, folder: Path, **more: Any) -> Outcome:
        """Run a command in a folder."""
        return self.start(command, folder, **more).end()

    def fault(self, kind: str, at: int, folder: Path) -> dict[str, Any]:
        """A fault in a folder, as the server takes it."""
        log = self.scratch / "said" / f"{self._copies}.log"
        log.parent.mkdir(exist_ok=True)
        log.unlink(missing_ok=True)
        return {"kind": kind, "at": at, "below": str(folder), "log": str(log)}

    def reference(self, command: Command, times: int = 1) -> dict[str, Any]:
        """The state of the folder after the command has run without a fault, so many times."""
        key = (command.name, times)
        if key not in self._references:
            folder = self.copy(command.start)
            for _ in range(times):
                done = self.run(command, folder)
                assert done.status == 0, done.err
            self._references[key] = state(folder)
        return self._references[key]

    def calls(self, command: Command) -> list[str]:
        """The calls with which a command changes its folder when nothing breaks it."""
        folder = self.copy(command.start)
        fault = self.fault("none", 0, folder)
        done = self.run(command, folder, fault=fault)
        assert done.status == 0, done.err
        return Path(fault["log"]).read_text().splitlines()

    def check_recovers(self, command: Command, folder: Path) -> None:
        """The same command without a fault gives the same folder as if nothing had happened."""
        whole = self.reference(command)
        if not command.again:
            # A finished command that is run again adds to its work.
            before = {k: v for k, v in state(folder).items() if not k.endswith(".part")}
            untouched = before == state(self.stages[command.start])
            assert untouched or before == whole
            whole = self.reference(command, 1 if untouched else 2)
        done = self.run(command, folder)
        assert done.status == 0, done.err
        now = state(folder)
        assert now.keys() == whole.keys()
        for name in now:
            assert now[name] == whole[name], name


@dataclass
class Started:
    """A running command."""

    server: Server
    pid: int
    out: Path
    err: Path

    def end(self) -> Outcome:
        """Wait until it ends."""
        status = self.server.wait(self.pid)
        # A command that is killed at once has not opened them yet.
        said = (path.read_text() if path.exists() else "" for path in (self.out, self.err))
        return Outcome(status, *said)


@contextmanager
def make_harness(folder: Path) -> Iterator[Harness]:
    """A harness with all stages."""
    place = make_place(folder / "base", 60)
    (place.path / "first.yaml").write_text(TASK_TEXT.replace("NAME", "first"))
    place.recipe(SLOW_STEPS).rename(place.path / "recipe.yaml")
    (place.path / "recipe.yaml").write_text(
        (place.path / "recipe.yaml").read_text() + "\nevaluate_every: 3\n"
    )
    (place.path / "typed.txt").write_text("yes\nno\n:note odd\nyes\n:skip\n:undo\nno\nyes\nno\n")
    with server() as running:
        harness = Harness(place, {}, running, folder / "copies")
        harness.scratch.mkdir()
        _make_stages(harness, folder / "stages")
        yield harness


def _make_stages(harness: Harness, folder: Path) -> None:
    def stage(name: str, start: str | None, *texts: str) -> None:
        made = folder / name
        if start is None:
            made.mkdir(parents=True)
        else:
            shutil.copytree(harness.stages[start], made)
        for text in texts:
            done = harness.run(replace(COMMANDS["init"], argv=words(text)), made)
            assert done.status == 0, done.err
        harness.stages[name] = made

    stage("empty", None)
    stage("scored", "empty", " ".join(COMMANDS["score"].argv))
    drawn = harness.stages["scored"] / "run/to_label.jsonl"
    rows = [json.loads(line) for line in drawn.read_text().splitlines()]
    filled = [row | {"y": "yes" if row["text"][0] in "aceg" else "no"} for row in rows]
    text = "".join(json.dumps(row) + "\n" for row in filled)
    (harness.place.path / "filled.jsonl").write_text(text)
    stage("labelled", "scored", "label run --gold y")
    stage("measured", "labelled", "coslow run --device cpu")
    stage("answered", "measured", "forecast run --target 0.8")
    stage("tunable", "measured", "label run --more 12 --test 8 --gold y")
    stage("swept", None)
    _made_up_sweep(harness, harness.stages["swept"])


def _made_up_sweep(harness: Harness, folder: Path) -> None:
    """A sweep of eight tasks on parts of the data, with made-up scores."""
    tasks = []
    for number in range(8):
        path = harness.place.path / f"part-{number}.jsonl"
        rows = records(8 * 45)[number * 45 : number * 45 + 45]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        tasks.append(replace(harness.place.chosen(f"task-{number}"), data=str(path)))
    sweep = Sweep(folder / "sweep")
    for job in sweep.begin(tasks, harness.place.settings(budgets=(0, 10), test_size=10)):
        score = 0.2 + job.budget * (1 + int(job.name[-1])) / 100
        sweep.scores.append(job.row(score=score, test_size=10))


def state(folder: Path) -> dict[str, Any]:
    """Every file below a folder and its content, without times and speeds."""
    return {
        str(path.relative_to(folder)): _content(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock" and "logs" not in path.parts
    }


def _content(path: Path) -> Any:
    if path.suffix == ".json":
        return _without(json.loads(path.read_text("utf-8")))
    if path.suffix == ".jsonl":
        return [_without(json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    content = path.read_bytes()
    return _STAMP.sub(b"", content) if path.suffix == ".html" else content


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        # The names of labelling steps are random.
        gone = _NOT_COMPARED | ({"step"} if "before" in value else set())
        return {key: _without(item) for key, item in value.items() if key not in gone}
    return [_without(item) for item in value] if isinstance(value, list) else value
