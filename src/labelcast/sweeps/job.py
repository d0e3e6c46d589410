"""One job of a sweep: a score at one budget and seed.

A job can be pickled, and torch is not imported before it runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from labelcast.errors import InputError, LabelcastError, brief, is_out_of_memory
from labelcast.execution.local import visible_gpus
from labelcast.execution.workers import JobProgress, ReportProgress
from labelcast.sweeps.records import ScoreKey, ScoreRow
from labelcast.tasks import prompts
from labelcast.tasks.prompts import Example, Render
from labelcast.tasks.sources import open_source
from labelcast.tasks.task import Task
from labelcast.training.backend import Placement
from labelcast.training.recipe import Recipe
from labelcast.training.splits import Splits

if TYPE_CHECKING:
    from labelcast.training.evaluate import Scoring

Read = Callable[[str, Task, Render], Iterable[Example]]
"""Reads the examples of a source."""
BUDGETS = (0, 50, 100, 200, 500, 1000, 2500, 5000)
"""The budgets of the published curves."""


@dataclass(frozen=True)
class SweepTask:
    """A task of a sweep, and the source of its labelled examples, as `open_source` takes it.

    Without `test_data` the test set is drawn from `data`.
    """

    task: Task
    data: str
    test_data: str | None = None


@dataclass(frozen=True)
class SweepSettings:
    """What all jobs of a sweep share; see `run_sweep.sweep`.

    Attributes:
        split_seed: draws the test set.
        threads: of torch in each job on a CPU; None keeps torch's own number.
        processes: of each job; above 1 it trains under accelerate, one process per GPU.
    """

    model: str
    recipe: Recipe
    budgets: tuple[int, ...] = BUDGETS
    seeds: tuple[int, ...] = (1,)
    test_size: int = 500
    split_seed: int = 0
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int | None = None
    max_new_tokens: int = 30
    threads: int | None = None
    processes: int = 1

    def __post_init__(self) -> None:
        """Refuse invalid budgets, seeds and test sizes."""
        for name, values in (("--budgets", self.budgets), ("--seeds", self.seeds)):
            if not values or min(values) < 0 or len(set(values)) < len(values):
                raise InputError(f"{name}: different whole numbers from 0 up, separated by commas.")
        if self.test_size < 1:
            raise InputError(f"--test-size {self.test_size}: at least 1 test example is needed.")


def read_examples(spec: str, task: Task, render: Render) -> Iterable[Example]:
    """The labelled examples of a source."""
    return prompts.examples(open_source(spec), task, render, need_answer=True)


def split(
    source: SweepTask,
    test_size: int,
    *,
    seed: int,
    split_seed: int = 0,
    render: Render = lambda instruction, user: user,
    read: Read = read_examples,
) -> Splits:
    """The test set and training order of a task's data; raises as `Splits.make`.

    Args:
        source: the task and its data.
        test_size: how many examples to test on.
        seed: of the training order.
        split_seed: of the test set.
        render: makes prompts for a model; the split does not depend on it.
        read: reads the examples of a source.
    """
    given = source.test_data
    test = None if given is None else read(given, source.task, render)
    examples = read(source.data, source.task, render)
    return Splits.make(examples, test_size, test=test, seed=seed, split_seed=split_seed)


@dataclass(frozen=True)
class SweepJob:
    """One score to measure; see `execution.workers.Job`.

    A budget of 0 measures zero-shot. `folder` is for checkpoints, from which a killed job resumes.
    """

    settings: SweepSettings
    source: SweepTask
    budget: int
    seed: int
    folder: str | None = None

    @property
    def name(self) -> str:
        """Of the task."""
        return self.source.task.name

    @property
    def key(self) -> ScoreKey:
        """What identifies the job within its sweep."""
        return self.name, self.budget, self.seed

    @property
    def placement(self) -> Placement:
        """Where the job trains and scores."""
        settings, device = self.settings, self.settings.device
        if device.startswith("cuda:") and len(visible_gpus()) == 1:
            device = "cuda"  # its worker sees only its own GPU, which is the first there
        return Placement(device, settings.dtype, settings.processes if self.budget else 1)

    @property
    def scoring(self) -> Scoring:
        """How the job scores."""
        from labelcast.training.evaluate import Scoring  # which imports torch

        task, settings = self.source.task, self.settings
        return Scoring(task.metric, task.answers, settings.batch_size, settings.max_new_tokens)

    def row(self, **measured: Any) -> ScoreRow:
        """The row of scores of this job, with the fields that were measured."""
        settings = self.settings
        return ScoreRow(
            task=self.name,
            model=settings.model,
            budget=self.budget,
            seed=self.seed,
            metric=self.source.task.metric,
            recipe=settings.recipe.name,
            recipe_digest=settings.recipe.digest,
            **measured,
        )

    def run(self, report: ReportProgress = lambda progress: None) -> ScoreRow:
        """Measure the score; any error becomes a row with its text.

        The model and the examples stay loaded for the next job of this process.
        """
        begun = time.monotonic()
        try:
            from labelcast.sweeps.run_job import measure_score

            report(JobProgress("reading", 0, 1))
            row = measure_score(self, report)
        except Exception as error:  # must not stop the other jobs of the sweep
            row = self.row(error=_one_line(error))
        return row.model_copy(update={"seconds": time.monotonic() - begun})

    def died(self, fault: str, seconds: float) -> ScoreRow:
        """The row of a job whose process died."""
        return self.row(error=fault, seconds=round(seconds, 3))

    def after_loss(self, losses: int) -> SweepJob:
        """The same job with a folder of its own."""
        return self if self.folder is None else replace(self, folder=f"{self.folder}-{losses}")


def _one_line(error: Exception) -> str:
    text = brief(error, 500)
    if isinstance(error, LabelcastError):
        return text or type(error).__name__
    if is_out_of_memory(error):
        return (
            f"out of memory ({text[:160]}). Run fewer jobs at once, or give a recipe with a "
            "smaller micro_batch, or with gradient_checkpointing: true."
        )
    return f"{type(error).__name__}: {text}"
