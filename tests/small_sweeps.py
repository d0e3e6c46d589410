"""A small sweep: a model that learns, an easy task in files, and short recipes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from small_training import TASK, save_model, write_records

from labelcast.execution.workers import Ended, Job, JobProgress, Moved, ReportProgress, Started
from labelcast.sweeps.job import SweepJob, SweepSettings
from labelcast.sweeps.records import ScoreRow
from labelcast.sweeps.sweep import Sweep
from labelcast.sweeps.task_data import SweepTask
from labelcast.training.recipe import Recipe

SHORT = Recipe(name="short", method="full", learning_rate=3e-3, max_steps=4, batch_size=4)
"""A few steps: enough to see that jobs run."""

TASK_TEXT = "{name: NAME, instruction: Say it., inputs: text, answer: y, answers: [yes, no]}"
RECIPE_TEXT = "name: short\nmethod: full\nlearning_rate: 0.003\nmax_steps: STEPS\nbatch_size: SIZE"


@dataclass(frozen=True)
class Place:
    """A folder with a model, data, task files and recipes."""

    path: Path

    @property
    def model(self) -> str:
        """The model's folder."""
        return str(self.path / "model")

    @property
    def data(self) -> str:
        """The data file."""
        return str(self.path / "data.jsonl")

    def task(self, name: str = "first") -> Path:
        """A task file of that name."""
        file = self.path / f"{name}.yaml"
        file.write_text(TASK_TEXT.replace("NAME", name))
        return file

    def recipe(self, steps: int = 4, size: int = 4) -> Path:
        """A recipe file."""
        file = self.path / f"recipe-{steps}-{size}.yaml"
        file.write_text(RECIPE_TEXT.replace("STEPS", str(steps)).replace("SIZE", str(size)))
        return file

    def settings(self, **changes: Any) -> SweepSettings:
        """Two budgets, 20 test examples."""
        values: dict[str, Any] = {"model": self.model, "recipe": SHORT, "budgets": (0, 10)}
        values |= {"test_size": 20, "device": "cpu", "max_new_tokens": 3, "threads": 1}
        return SweepSettings(**values | changes)

    def chosen(self, name: str = "first") -> SweepTask:
        """The task with its data."""
        return SweepTask(TASK.model_copy(update={"name": name}), self.data)

    def parts(self, count: int) -> list[SweepTask]:
        """Tasks ``task-0``, ... on different parts of the data, so that their CoS-Low differs."""
        lines = Path(self.data).read_text().splitlines(keepends=True)
        found = []
        for number in range(count):
            path = self.path / f"part-{number}.jsonl"
            path.write_text("".join(lines[10 * number : 10 * number + 110]))
            found.append(replace(self.chosen(f"task-{number}"), data=str(path)))
        return found

    def begin(
        self, name: str, tasks: Sequence[str | SweepTask] = ("first",), **changes: Any
    ) -> Begun:
        """Begin a sweep in a folder of that name."""
        sweep = Sweep(self.path / name)
        chosen = [self.chosen(task) if isinstance(task, str) else task for task in tasks]
        return Begun(sweep, sweep.begin(chosen, self.settings(**changes)))

    def filled(self, name: str, tasks: Sequence[str | SweepTask]) -> Begun:
        """A sweep of ``task-0``, ... with made-up scores at 0, 10 and 20 labels."""
        begun = self.begin(name, tasks, budgets=(0, 10, 20))
        for job in begun.jobs:
            score = 0.3 + job.budget / 100 * (1 + int(job.name[-1]))
            begun.sweep.scores.append(job.row(score=min(score, 1.0), test_size=20))
        return begun


@dataclass(frozen=True)
class Begun:
    """A sweep and its jobs."""

    sweep: Sweep
    jobs: tuple[SweepJob, ...]


class InProcess:
    """Workers that run each job in this process, which saves the start of another one."""

    slots = devices = 1
    where = "this process"
    job: tuple[int, Job[ScoreRow]] | None = None

    def __init__(self, *args: object, **options: object) -> None:
        """Take what `LocalWorkers` takes."""

    def free(self) -> bool:
        """Whether no job waits."""
        return self.job is None

    def start(self, number: int, job: Job[ScoreRow]) -> None:
        """Take a job."""
        self.job = (number, job)

    def wait(self) -> list[Started | Moved | Ended[ScoreRow]]:
        """Run the job."""
        assert self.job is not None
        (number, job), self.job = self.job, None
        moved: list[JobProgress] = []
        row = self.do(job, moved.append)
        return [Started(number, "here"), *(Moved(number, p) for p in moved), Ended(number, row)]

    def do(self, job: Job[ScoreRow], report: ReportProgress) -> ScoreRow:
        """Do a job."""
        return job.run(report)

    def close(self) -> None:
        """Nothing runs any more."""


def make_place(folder: Path, size: int = 200) -> Place:
    """A place with this many records."""
    save_model(folder / "model")
    write_records(folder, size)
    return Place(folder)


def scores(path: Path) -> list[tuple[Any, ...]]:
    """The parts of a score file's rows that do not depend on how it was made, sorted."""
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    names = ("task", "budget", "seed", "metric", "score", "test_size", "error", "test_digest")
    return sorted(tuple(row[name] for name in names) for row in rows)
