"""One job of a sweep, a score at one budget and seed: read, split, tune, score.

A job can be pickled, and torch is not imported before it runs. The model and the examples of one
job are kept for the next job of the process.
"""

from __future__ import annotations

import copy
import gc
import shutil
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labelcast.errors import (
    InputError,
    LabelcastError,
    LabelcastWarning,
    NoMemoryError,
    brief,
    is_out_of_memory,
)
from labelcast.execution.local import visible_gpus
from labelcast.execution.workers import JobProgress, ReportProgress
from labelcast.models.choices import choose_device
from labelcast.models.confidence import MAX_NEW_TOKENS
from labelcast.runs.records import CONSTRAINED, RANDOM
from labelcast.sweeps.records import NO_STAGES, ScoreKey, ScoreRow
from labelcast.sweeps.scores import curve_name
from labelcast.sweeps.selected import select_labels
from labelcast.sweeps.stages import Stages, warm_start
from labelcast.sweeps.task_data import Read, SweepTask, read_examples, split, target_of
from labelcast.tasks.prompts import Example, Render
from labelcast.tasks.task import Task
from labelcast.training.backend import Backend, Fit, Placement, backend_of
from labelcast.training.recipe import Recipe
from labelcast.training.reporting import Reports
from labelcast.training.splits import Splits

if TYPE_CHECKING:
    from labelcast.models.loading import AnyModel
    from labelcast.models.protocols import Progress
    from labelcast.training.evaluate import Scoring

BUDGETS = (0, 50, 100, 200, 500, 1000, 2500, 5000)
"""The budgets of the published curves."""
# A model up to this size stays in memory between jobs, beside the tuned copy.
_KEPT_BYTES = 2 * 2**30


@dataclass(frozen=True)
class SweepSettings:
    """What all jobs of a sweep share; see `sweep.sweep`."""

    model: str
    recipe: Recipe
    budgets: tuple[int, ...] = BUDGETS
    seeds: tuple[int, ...] = (1,)
    selectors: tuple[str, ...] = (RANDOM,)  # of the labels; see `selected`
    stages: Stages = field(default_factory=Stages)
    test_size: int = 500
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int | None = None
    max_new_tokens: int = MAX_NEW_TOKENS
    threads: int | None = None  # of torch in each job on a CPU; None keeps torch's own number
    processes: int = 1  # of each job; above 1 it trains under accelerate, one process per GPU
    report_to: tuple[str, ...] = ()  # trackers of `training.reporting`

    def __post_init__(self) -> None:
        """Refuse invalid budgets, seeds and test sizes."""
        for name, values in (("--budgets", self.budgets), ("--seeds", self.seeds)):
            if not values or min(values) < 0 or len(set(values)) < len(values):
                raise InputError(f"{name}: different whole numbers from 0 up, separated by commas.")
        if 1 in self.budgets:
            raise InputError(
                "--budgets 1: give 0 for zero-shot, or 2 or more labels: at least one trains and "
                "one validates."
            )
        if max(self.seeds) >= 2**32:
            raise InputError(f"--seeds: at most {2**32 - 1}.")
        if not self.selectors or len(set(self.selectors)) < len(self.selectors):
            raise InputError("--select: different methods, separated by commas.")
        if self.test_size < 1:
            raise InputError(f"--test-size {self.test_size}: at least 1 test example is needed.")

    def curve_names(self, tasks: Iterable[str]) -> list[str]:
        """The names of the curves of some tasks in `curve.json`."""
        names = product(tasks, self.stages.orders, self.selectors)
        return [curve_name(task, selector, order) for task, order, selector in names]


@dataclass(frozen=True)
class SweepJob:
    """One score to measure; see `execution.workers.Job`.

    A budget of 0 measures zero-shot. `folder` is for checkpoints, from which a killed job resumes.
    `selector` chooses the labels; `stages` is the order of stages before.
    """

    settings: SweepSettings
    source: SweepTask
    budget: int
    seed: int
    folder: str | None = None
    selector: str = RANDOM
    stages: str = NO_STAGES

    @property
    def name(self) -> str:
        """The task's name."""
        return self.source.task.name

    @property
    def key(self) -> ScoreKey:
        """What identifies the job within its sweep."""
        return ScoreKey(self.name, self.budget, self.seed, self.selector, self.stages)

    @property
    def out(self) -> Path | None:
        """The sweep's folder."""
        return None if self.folder is None else Path(self.folder).parents[1]

    @property
    def placement(self) -> Placement:
        """Where the job trains and scores."""
        settings, device = self.settings, self.settings.device
        if device.startswith("cuda:") and len(visible_gpus()) == 1:
            device = "cuda"  # its worker sees only its own GPU, which is the first there
        name, folder, vectors = self.key.file_name, "", None
        if self.out is not None:
            folder, vectors = str(self.out / "tensorboard" / name), str(self.out / "vectors")
        return Placement(
            device,
            settings.dtype,
            settings.processes,
            vectors,
            Reports(settings.report_to, name, folder),
        )

    @property
    def scoring(self) -> Scoring:
        """How the job scores."""
        from labelcast.training.evaluate import Scoring  # which imports torch

        return Scoring.of(
            self.source.task,
            batch_size=self.settings.batch_size,
            max_new_tokens=self.settings.max_new_tokens,
            placement=self.placement,
        )

    def splits(self, render: Render, read: Read = read_examples) -> Splits:
        """The test set and training order of the job; raises as `split`."""
        return split(self.source, self.settings.test_size, seed=self.seed, render=render, read=read)

    def row(self, **measured: Any) -> ScoreRow:
        """The row of scores of this job, with the fields that were measured."""
        settings = self.settings
        measured |= {"decoding": CONSTRAINED} if self.source.task.constrain else {}
        return ScoreRow(
            task=self.name,
            model=settings.model,
            budget=self.budget,
            seed=self.seed,
            metric=self.source.task.metric,
            recipe=settings.recipe.name,
            recipe_digest=settings.recipe.digest,
            selector=self.selector,
            stages=self.stages,
            **measured,
        )

    def run(self, report: ReportProgress = lambda progress: None) -> ScoreRow:
        """Measure the score; any error becomes a row with its text."""
        begun = time.monotonic()
        try:
            report(JobProgress("reading", 0, 1))
            row = _measure(self, report)
        except Exception as error:  # must not stop the other jobs of the sweep
            row = self.row(error=_one_line(error))
        return row.model_copy(update={"seconds": time.monotonic() - begun})

    def died(self, fault: str, seconds: float) -> ScoreRow:
        """The row of a job whose process died."""
        return self.row(error=fault, seconds=round(seconds, 3))

    def after_loss(self, losses: int) -> SweepJob:
        """The same job with a folder of its own."""
        return self if self.folder is None else replace(self, folder=f"{self.folder}-{losses}")


def _measure(job: SweepJob, report: ReportProgress) -> ScoreRow:
    """Do a job; raises InputError for bad data or settings, and RunError if the work fails."""
    import torch

    settings = job.settings
    key = (settings.model, settings.recipe, job.placement, job.selector, job.name)
    if key in _KEPT.no_memory and job.budget:
        # Another budget needs as much: its job would fail after the same minutes.
        raise NoMemoryError(_KEPT.no_memory[key])
    if settings.threads:
        torch.set_num_threads(settings.threads)
    backend = backend_of(settings.recipe, settings.model)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", LabelcastWarning)
            row = _tuned_score(job, backend, report)
    except NoMemoryError as error:
        _KEPT.no_memory[key] = str(error)
        raise
    finally:
        _free_memory()
    notes = [str(w.message) for w in caught if issubclass(w.category, LabelcastWarning)]
    return row.model_copy(update={"notes": notes})


def _tuned_score(job: SweepJob, backend: Backend, report: ReportProgress) -> ScoreRow:
    lm, splits, facts = _model_and_labels(job, backend, report)
    fingerprint = lm.identity.fingerprint
    # The folder stays if the job fails, so that its next try resumes.
    folder = None if job.folder is None else Path(job.folder) / "training"
    if job.budget:
        recipe = job.settings.recipe
        fit = Fit(
            splits.budget(job.budget, recipe.held_out(job.budget)),
            recipe,
            job.seed,
            job.placement,
            folder,
            lambda step, most, loss: report(JobProgress("tuning", step, most, loss)),
        )
        tuned = backend.fit(lm, fit)
        lm, facts = tuned.lm, facts | tuned.log.facts()
    progress = _counted(report, "scoring", len(splits.test))
    found = backend.score(lm, splits.test, replace(job.scoring, progress=progress))
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    return job.row(
        **facts,
        score=found.value,
        score_sd=found.sd,
        test_size=found.size,
        device=choose_device(job.placement.device).value,
        test_digest=splits.test_digest,
        fingerprint=fingerprint,
    )


def _free_memory() -> None:
    """Free the memory for the next model."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _counted(report: ReportProgress, stage: str, total: int) -> Progress:
    """A function that counts what is done of a stage and reports it."""
    done = 0

    def progress(more: int) -> None:
        nonlocal done
        done += more
        report(JobProgress(stage, done, total))

    return progress


def _model_and_labels(
    job: SweepJob, backend: Backend, report: ReportProgress
) -> tuple[AnyModel, Splits, dict[str, Any]]:
    """The model to train, the split with the labels in their order, and facts for the row."""
    from labelcast.training.linear import vector_store  # which imports torch

    answers = job.source.task.answers
    start = warm_start(job, backend, report)
    lm = _KEPT.model(job, backend, start).for_answers(answers)
    splits = job.splits(lm.render, _KEPT.read)
    if not job.budget or job.selector == RANDOM:
        return lm, splits, {}
    begun = time.monotonic()
    report(JobProgress("selecting", 0, job.budget))
    if job.placement.processes > 1:  # they train an outline, which has no weights
        lm = _KEPT.model(replace(job, budget=0), backend, start).for_answers(answers)
    store = vector_store(lm, job.placement)
    chosen = select_labels(
        job.selector,
        job.source,
        splits.order,
        job.budget,
        seed=job.seed,
        lm=lm,
        embed=store.embed,
        target=target_of(job.source, splits.test, lm.render, _KEPT.read),
        folder=job.out and job.out / "signals" / job.name,
        on_signal=partial(_counted, report),
    )
    seconds = time.monotonic() - begun
    # A method may have changed the model.
    del lm, store.lm  # the store gets the model of its next use
    _free_memory()
    lm = _KEPT.model(job, backend, start).for_answers(answers)
    return lm, replace(splits, order=chosen), {"selection_seconds": seconds}


class _Kept:
    """The last model and the last examples, for the next job of this process."""

    def __init__(self) -> None:
        self.model_key: tuple[str, str, Placement, bool] | None = None
        self.lm: AnyModel | None = None
        self.fingerprint = ""
        self.examples: dict[tuple[str, int, str, str], list[Example]] = {}
        self.no_memory: dict[tuple[str, Recipe, Placement, str, str], str] = {}

    def model(self, job: SweepJob, backend: Backend, start: str) -> AnyModel:
        """A model that the job may change, loaded from `start`."""
        # Several processes train an outline, which has no weights.
        outlined = bool(job.budget) and job.placement.processes > 1
        key = (start, job.settings.recipe.method, job.placement, outlined)
        if self.lm is None or self.model_key != key:
            self.lm = None
            gc.unfreeze()
            gc.collect()
            train = bool(job.budget)
            lm: AnyModel = backend.load(start, job.settings.recipe, job.placement, train=train)
            self.fingerprint = lm.identity.fingerprint
            size = sum(w.numel() * w.element_size() for w in lm.model.parameters())
            # Zero-shot, weights may be in 16 bits, which other jobs cannot train.
            if size > _KEPT_BYTES or not (train or lm.dtype.value.itemsize == 4):
                return lm
            self.lm, self.model_key = lm, key
            # The collection after each job then skips the kept model and the imported libraries.
            gc.collect()
            gc.freeze()
        return replace(self.lm, model=copy.deepcopy(self.lm.model))

    def read(self, spec: str, task: Task, render: Render) -> list[Example]:
        """The examples of a source, read once for each model."""
        path = Path(spec)
        stamp = path.stat().st_mtime_ns if path.exists() else 0
        key = (spec, stamp, repr(task), self.fingerprint)
        if key not in self.examples:
            # Only the data, the test data and the target set of one task.
            while len(self.examples) > 2:
                self.examples.pop(next(iter(self.examples)))
            self.examples[key] = list(read_examples(spec, task, render))
        return self.examples[key]


_KEPT = _Kept()


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
