"""Warm starts: the model is fine-tuned on other tasks first, in an order of stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

from labelcast.errors import InputError
from labelcast.execution.workers import JobProgress, ReportProgress
from labelcast.files.atomic import lock, make_folder
from labelcast.files.json_files import write_json
from labelcast.sweeps.records import NO_STAGES, StageEntry
from labelcast.sweeps.task_data import SweepTask, read_examples
from labelcast.tasks.prompts import Example, Render
from labelcast.training.backend import Backend, Fit
from labelcast.training.recipe import Recipe
from labelcast.training.reporting import Reports
from labelcast.training.splits import Splits, digest

if TYPE_CHECKING:
    from labelcast.sweeps.job import SweepJob

JOIN = "+"
"""Between the stages of an order: ``trec+emotion`` trains on trec first."""
LABELS = 1000
_SEED = 0
_DONE = "stage.json"


@dataclass(frozen=True)
class Stages:
    """The stages of a sweep.

    Attributes:
        tasks: with their data; none of it is tested on.
        orders: orders of their names, each joined by ``+``; ``none`` starts from the model itself.
        labels: labels of each stage; a stage with fewer uses all.
    """

    tasks: tuple[SweepTask, ...] = ()
    orders: tuple[str, ...] = (NO_STAGES,)
    labels: int = LABELS

    @classmethod
    def of(
        cls, tasks: Sequence[SweepTask], orders: Sequence[str] = (), labels: int = LABELS
    ) -> Stages:
        """The stages; without orders: no stages, and all tasks in the given order."""
        usual = [NO_STAGES, JOIN.join(one.task.name for one in tasks)] if tasks else [NO_STAGES]
        return cls(tuple(tasks), tuple(orders or usual), labels)

    def named(self, order: str) -> list[SweepTask]:
        """The tasks of an order."""
        known = {one.task.name: one for one in self.tasks}
        return [] if order == NO_STAGES else [known[name] for name in order.split(JOIN)]

    def check(self, recipe: Recipe) -> dict[str, StageEntry]:
        """What `sweep.json` says of each stage.

        Raises:
            InputError: an order has a task that is no stage, or one twice; a stage has too few
                labels or an unusable name; or the recipe leaves the model as it is.
        """
        names = [one.task.name for one in self.tasks]
        if len(set(names)) < len(names):
            raise InputError("--stage: a task is given twice.")
        if NO_STAGES in names:
            raise InputError(f"--stage: a task must not be called {NO_STAGES}.")
        if not self.orders or len(set(self.orders)) < len(self.orders):
            raise InputError("--stages: different orders, separated by commas.")
        for order in self.orders:
            parts = [] if order == NO_STAGES else order.split(JOIN)
            unknown = [name for name in parts if name not in names]
            if unknown or len(set(parts)) < len(parts):
                why = f"{unknown[0]!r} is no --stage" if unknown else "a stage appears twice"
                raise InputError(
                    f"--stages {order}: {why}. Join names of --stage by {JOIN}, or give "
                    f"{NO_STAGES}; for example {NO_STAGES},{JOIN.join(names) or 'trec+emotion'}."
                )
        if names and recipe.method == "linear":
            raise InputError(
                f"--stage: recipe {recipe.name!r} leaves the model's weights as they are, so that "
                "a stage changes nothing. Use --recipe full."
            )
        if self.labels < 2:
            raise InputError(f"--stage-labels {self.labels}: at least 2 are needed.")
        return {one.task.name: self._entry(one) for one in self.tasks}

    def _entry(self, stage: SweepTask) -> StageEntry:
        labels = self.examples(stage, (), lambda instruction, user: user)
        if len(labels) < 2:
            raise InputError(f"task {stage.task.name}: {stage.data} has fewer than 2 labels.")
        return StageEntry(
            task=stage.task, data=stage.data, labels=len(labels), labels_digest=digest(labels)
        )

    def examples(
        self, stage: SweepTask, test: Sequence[Example], render: Render
    ) -> tuple[Example, ...]:
        """The labels of a stage, none with the text of a test example."""
        held_out = {_texts(example) for example in test}
        found = read_examples(stage.data, stage.task, render)
        kept = [example for example in found if _texts(example) not in held_out]
        return Splits.ordered(kept, _SEED)[: self.labels]


def _texts(example: Example) -> tuple[str, ...]:
    """The input, whatever its fields are called."""
    return tuple(sorted(example.fields.values()))


def warm_start(job: SweepJob, backend: Backend, report: ReportProgress) -> str:
    """The model that a job starts from: the sweep's own, or one after the job's order of stages.

    A missing model is trained with seed 0, from that of the stages before, on no text of the test
    set. Jobs of all budgets and seeds of a task share it: other processes wait for it.

    Raises:
        InputError: a stage's data do not fit the model.
        RunError: the training failed.
    """
    model, names = job.settings.model, []
    for stage in job.settings.stages.named(job.stages):
        assert job.out is not None  # `Sweep.begin` gives each job a folder
        names.append(stage.task.name)
        folder = job.out / "stages" / job.name / JOIN.join(names)
        make_folder(folder)
        with lock(folder.with_name(f".{folder.name}.lock")):
            if not (folder / _DONE).exists():
                _train(job, stage, model, folder, backend, report)
        model = str(folder)
    return model


def _train(
    job: SweepJob,
    stage: SweepTask,
    model: str,
    folder: Path,
    backend: Backend,
    report: ReportProgress,
) -> None:
    settings, name = job.settings, f"stage {stage.task.name}"
    recipe, placement = settings.recipe, replace(job.placement, reports=Reports())
    report(JobProgress(name, 0, recipe.most_steps))
    lm = backend.load(model, recipe, placement).for_answers(stage.task.answers)
    labels = settings.stages.examples(stage, job.splits(lm.render).test, lm.render)
    checkpoints = folder.with_name(f"{folder.name}.training")
    parts = Splits((), labels).budget(len(labels), recipe.held_out(len(labels)))

    def progress(step: int, most: int, loss: float | None) -> None:
        report(JobProgress(name, step, most, loss))

    tuned = backend.fit(lm, Fit(parts, recipe, _SEED, placement, checkpoints, progress))
    backend.save(tuned.lm, folder)
    write_json(folder / _DONE, {"labels_digest": digest(labels), **tuned.log.facts()})
    rmtree(checkpoints, ignore_errors=True)
