"""The steps of a sweep's job: read, split, tune, score.

The model and the examples of one job are kept for the next job of the process.
"""

from __future__ import annotations

import copy
import gc
import shutil
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch

from labelcast.errors import LabelcastWarning
from labelcast.execution.workers import JobProgress, ReportProgress
from labelcast.models.choices import choose_device
from labelcast.models.loading import LanguageModel
from labelcast.sweeps.job import Read, SweepJob, read_examples, split
from labelcast.sweeps.records import ScoreRow
from labelcast.tasks.prompts import Example, Render
from labelcast.tasks.task import Task
from labelcast.training.backend import Backend, Placement, backend_of
from labelcast.training.memory import NoMemoryError
from labelcast.training.recipe import Recipe

# A model up to this size stays in memory between jobs, beside the tuned copy.
_KEPT_BYTES = 2 * 2**30


def measure_score(job: SweepJob, report: ReportProgress) -> ScoreRow:
    """Do a job; raises InputError for bad data or settings, and RunError if the work fails."""
    if job.settings.threads:
        torch.set_num_threads(job.settings.threads)
    backend = backend_of(job.settings.recipe)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", LabelcastWarning)
            row = _tune_and_score(job, backend, report)
    finally:
        # Free the memory for the next job.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    notes = [str(w.message) for w in caught if issubclass(w.category, LabelcastWarning)]
    return row.model_copy(update={"notes": notes})


def _tune_and_score(job: SweepJob, backend: Backend, report: ReportProgress) -> ScoreRow:
    key = (job.settings.model, job.settings.recipe, job.placement)
    if key in _KEPT.no_memory and job.budget:
        # Another budget needs as much: its job would fail after the same minutes.
        raise NoMemoryError(_KEPT.no_memory[key])
    try:
        return _measured(job, backend, report)
    except NoMemoryError as error:
        _KEPT.no_memory[key] = str(error)
        raise


def _measured(job: SweepJob, backend: Backend, report: ReportProgress) -> ScoreRow:
    lm = _KEPT.model(job, backend)
    fingerprint, training = lm.identity.fingerprint, {}
    splits = split(
        job.source,
        job.settings.test_size,
        seed=job.seed,
        split_seed=job.settings.split_seed,
        render=lm.render,
        read=_KEPT.reader(fingerprint),
    )
    # The folder stays if the job fails, so that its next try resumes.
    folder = None if job.folder is None else Path(job.folder) / "training"
    if job.budget:
        tuned = backend.fit(
            lm,
            splits.budget(job.budget, job.settings.recipe.validation_share),
            job.settings.recipe,
            seed=job.seed,
            placement=job.placement,
            folder=folder,
            progress=lambda step, most, loss: report(JobProgress("tuning", step, most, loss)),
        )
        lm, training = tuned.lm, tuned.log.facts()
    done = 0

    def on_batch(count: int) -> None:
        nonlocal done
        done += count
        report(JobProgress("scoring", done, len(splits.test)))

    found = backend.score(lm, splits.test, job.scoring, placement=job.placement, progress=on_batch)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    return job.row(
        **training,
        score=found.value,
        score_sd=found.sd,
        test_size=found.size,
        device=choose_device(job.placement.device).value,
        test_digest=splits.test_digest,
        fingerprint=fingerprint,
    )


class _Kept:
    """The last model and the last examples, for the next job of this process."""

    def __init__(self) -> None:
        self.model_key: tuple[str, str, Placement] | None = None
        self.lm: LanguageModel | None = None
        self.examples: dict[tuple[str, int, str, str], list[Example]] = {}
        self.no_memory: dict[tuple[str, Recipe, Placement], str] = {}

    def model(self, job: SweepJob, backend: Backend) -> LanguageModel:
        """A model that the job may change."""
        key = (job.settings.model, job.settings.recipe.method, job.placement)
        if self.lm is None or self.model_key != key:
            self.lm = None
            train = bool(job.budget)
            lm = backend.load(job.settings.model, job.settings.recipe, job.placement, train=train)
            size = sum(w.numel() * w.element_size() for w in lm.model.parameters())
            # Zero-shot, weights may be in 16 bits, which other jobs cannot train.
            if size > _KEPT_BYTES or not (train or lm.dtype.value.itemsize == 4):
                return lm
            self.lm, self.model_key = lm, key
        return replace(self.lm, model=copy.deepcopy(self.lm.model))

    def reader(self, fingerprint: str) -> Read:
        """A function that reads a source once for the model with that fingerprint."""

        def read(spec: str, task: Task, render: Render) -> Iterable[Example]:
            path = Path(spec)
            stamp = path.stat().st_mtime_ns if path.exists() else 0
            key = (spec, stamp, repr(task), fingerprint)
            if key not in self.examples:
                # Only the data and the test data of one task.
                while len(self.examples) > 1:
                    self.examples.pop(next(iter(self.examples)))
                self.examples[key] = list(read_examples(spec, task, render))
            return self.examples[key]

        return read


_KEPT = _Kept()
