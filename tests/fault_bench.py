"""The commands that write, each ready to be broken: where they start, and what must come out."""

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
from sweeps_made import TASK_TEXT, Place, make_place
from tuning_made import records

from labelcast.sweeps.sweep import Sweep

HERE = Path(__file__).resolve().parent
SLOW_STEPS = 12
_NOT_COMPARED = {
    *("seconds", "finished", "peak_bytes", "steps_per_second", "tuning_seconds", "train_seconds"),
    "versions",
}
_STAMP = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\+00:00)?|\d[\d.,]* (s|seconds)\b")


@dataclass(frozen=True)
class Command:
    """A command that writes.

    Attributes:
        name: of the command.
        argv: its words, with names of the bench's files; run in a copy of the folder.
        start: the folder that it starts from, by the name of a stage.
        again: what a rerun after it has finished gives: the same folder, or more (`--more`).
        stdin: a file that is typed in.
        eager: whether training makes a checkpoint at every measurement.
        slow: whether it starts processes of its own, which load everything anew.
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
    """A test for each command by its name; all but the quick ones are slow."""
    values = [pytest.param(n, marks=() if n in quick else pytest.mark.slow) for n in names]
    return pytest.mark.parametrize("name", values)


@dataclass
class Server:
    """The process that runs commands in forks of itself."""

    process: subprocess.Popen[str]

    def ask(self, **request: Any) -> Any:
        """One request and its answer."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def wait(self, pid: int, timeout: float | None = None) -> int | None:
        """The exit status, negative for a signal; None where it still runs."""
        status: int | None = self.ask(op="wait", pid=pid, timeout=timeout)["status"]
        return status


@contextmanager
def server() -> Iterator[Server]:
    """A server that is ready."""
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
class Bench:
    """Stages of a run and of a sweep, and what each command makes of its own.

    Attributes:
        place: model, data, task and recipe, which all stages share.
        stages: folders by name.
        server: that runs the commands.
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
        """Begin a command in a folder."""
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
        """Do a command in a folder."""
        return self.start(command, folder, **more).end()

    def fault(self, kind: str, at: int, folder: Path) -> dict[str, Any]:
        """A fault of the server's for a folder."""
        log = self.scratch / "said" / f"{self._copies}.log"
        log.parent.mkdir(exist_ok=True)
        log.unlink(missing_ok=True)
        return {"kind": kind, "at": at, "below": str(folder), "log": str(log)}

    def reference(self, command: Command, times: int = 1) -> dict[str, Any]:
        """What the folder holds after the command has run undisturbed, so many times."""
        key = (command.name, times)
        if key not in self._references:
            folder = self.copy(command.start)
            for _ in range(times):
                done = self.run(command, folder)
                assert done.status == 0, done.err
            self._references[key] = state(folder)
        return self._references[key]

    def calls(self, command: Command) -> list[str]:
        """What an undisturbed command changes in its folder, call by call."""
        folder = self.copy(command.start)
        fault = self.fault("none", 0, folder)
        done = self.run(command, folder, fault=fault)
        assert done.status == 0, done.err
        return Path(fault["log"]).read_text().splitlines()

    def check_recovers(self, command: Command, folder: Path) -> None:
        """The same command, undisturbed, ends as if nothing had been; nothing else is left."""
        whole = self.reference(command)
        if not command.again:
            # One that had done its work adds to it when it is run again.
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
    """A command that runs."""

    server: Server
    pid: int
    out: Path
    err: Path

    def end(self, timeout: float | None = None) -> Outcome:
        """Wait for its end."""
        status = self.server.wait(self.pid, timeout)
        assert status is not None, "it does not end"
        # One that is killed at once has not opened them yet.
        said = (path.read_text() if path.exists() else "" for path in (self.out, self.err))
        return Outcome(status, *said)

    def signal(self, number: int) -> None:
        """Send it a signal; it may have ended."""
        os.kill(self.pid, number)


@contextmanager
def make_bench(folder: Path) -> Iterator[Bench]:
    """Everything that the commands start from."""
    place = make_place(folder / "base", 60)
    (place.path / "first.yaml").write_text(TASK_TEXT.replace("NAME", "first"))
    place.recipe(SLOW_STEPS).rename(place.path / "recipe.yaml")
    (place.path / "recipe.yaml").write_text(
        (place.path / "recipe.yaml").read_text() + "\nevaluate_every: 3\n"
    )
    (place.path / "typed.txt").write_text("yes\nno\n:note odd\nyes\n:skip\n:undo\nno\nyes\nno\n")
    with server() as running:
        bench = Bench(place, {}, running, folder / "copies")
        bench.scratch.mkdir()
        _make_stages(bench, folder / "stages")
        yield bench


def _make_stages(bench: Bench, folder: Path) -> None:
    def stage(name: str, start: str | None, *texts: str) -> None:
        made = folder / name
        if start is None:
            made.mkdir(parents=True)
        else:
            shutil.copytree(bench.stages[start], made)
        for text in texts:
            done = bench.run(replace(COMMANDS["init"], argv=words(text)), made)
            assert done.status == 0, done.err
        bench.stages[name] = made

    stage("empty", None)
    stage("scored", "empty", " ".join(COMMANDS["score"].argv))
    drawn = bench.stages["scored"] / "run/to_label.jsonl"
    rows = [json.loads(line) for line in drawn.read_text().splitlines()]
    filled = [row | {"y": "yes" if row["text"][0] in "aceg" else "no"} for row in rows]
    text = "".join(json.dumps(row) + "\n" for row in filled)
    (bench.place.path / "filled.jsonl").write_text(text)
    stage("labelled", "scored", "label run --gold y")
    stage("measured", "labelled", "coslow run --device cpu")
    stage("answered", "measured", "forecast run --target 0.8")
    stage("tunable", "measured", "label run --more 12 --test 8 --gold y")
    stage("swept", None)
    _made_up_sweep(bench, bench.stages["swept"])


def _made_up_sweep(bench: Bench, folder: Path) -> None:
    """A sweep of eight tasks on parts of the data, with made-up scores."""
    tasks = []
    for number in range(8):
        path = bench.place.path / f"part-{number}.jsonl"
        rows = records(8 * 45)[number * 45 : number * 45 + 45]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        tasks.append(replace(bench.place.chosen(f"task-{number}"), data=str(path)))
    sweep = Sweep(folder / "sweep")
    for job in sweep.begin(tasks, bench.place.settings(budgets=(0, 10), test_size=10)):
        score = 0.2 + job.budget * (1 + int(job.name[-1])) / 100
        sweep.scores.append(job.row(score=score, test_size=10))


def state(folder: Path) -> dict[str, Any]:
    """Every file below a folder and what of it counts: not when it was made, nor how fast."""
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
        # The names of a person's steps are drawn at random.
        gone = _NOT_COMPARED | ({"step"} if "before" in value else set())
        return {key: _without(item) for key, item in value.items() if key not in gone}
    return [_without(item) for item in value] if isinstance(value, list) else value
