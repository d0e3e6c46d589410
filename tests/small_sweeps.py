"""A small sweep: a model that learns, an easy task in files, and short recipes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from small_training import TASK, save_model, write_records

from labelcast.execution.workers import Ended, Job, JobProgress, Moved, Started
from labelcast.sweeps.job import SweepJob, SweepSettings, SweepTask
from labelcast.sweeps.records import ScoreRow
from labelcast.sweeps.sweep import Sweep
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

    def begin(self, name: str, tasks: Sequence[str] = ("first",), **changes: Any) -> Begun:
        """Begin a sweep in a folder of that name."""
        sweep = Sweep(self.path / name)
        jobs = sweep.begin([self.chosen(task) for task in tasks], self.settings(**changes))
        return Begun(sweep, jobs)


@dataclass(frozen=True)
class Begun:
    """A sweep and its jobs."""

    sweep: Sweep
    jobs: tuple[SweepJob, ...]


class InProcess:
    """Workers that run each job in this process, which saves the start of another one."""

    def __init__(self, *args: object, **options: object) -> None:
        self.job: tuple[int, Job[ScoreRow]] | None = None

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
        row = job.run(moved.append)
        return [Started(number, "here"), *(Moved(number, p) for p in moved), Ended(number, row)]

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
