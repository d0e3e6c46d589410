"""The steps of one job: read, split, tune, score. What several jobs share is kept between them."""

from __future__ import annotations

import copy
import gc
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from labelcast.errors import LabelcastWarning
from labelcast.models.choices import choose_device
from labelcast.models.loading import LanguageModel, load_model
from labelcast.sweeps.job import Job, Progress
from labelcast.sweeps.job_data import read_examples, split
from labelcast.tasks.prompts import Example
from labelcast.training import fit_and_score, launch
from labelcast.training.finetune import FineTuned
from labelcast.training.splits import Splits

# A model up to this size stays in memory between the jobs of a process, beside the tuned copy.
_KEPT_BYTES = 2 * 2**30

Report = Callable[[Progress], None]


def measure(job: Job, progress: Report) -> dict[str, Any]:
    """Do a job; gives the fields of its row that are not the job's own.

    Raises:
        InputError: the data, the task, the model or the recipe is wrong.
        RunError: it could not be done.
    """
    if job.threads:
        torch.set_num_threads(job.threads)
    progress(Progress("reading", 0, 1))
    with _notes() as notes, _cleared():
        lm = _SHARED.model(job)
        splits = split(job, lambda spec: _SHARED.examples(job, spec, lm))
        fingerprint = lm.identity.fingerprint
        with _work_folder(job) as folder:
            values: dict[str, Any] = {}
            if job.budget:
                tuned = _tune(job, lm, splits, folder, progress)
                lm, values = tuned.lm, fit_and_score.facts(tuned)
            lm = fit_and_score.ready_to_score(lm, job.device, job.dtype)
            if job.budget and job.keep_model and job.folder:
                fit_and_score.save_model(lm, Path(job.folder) / "model")
            values |= _score(job, lm, splits, progress)
    return values | {
        "device": lm.device.value,
        "test_digest": splits.test_digest,
        "fingerprint": fingerprint,
        "notes": tuple(notes),
    }


class _Shared:
    """The last model and the last examples, for the next job of this process."""

    def __init__(self) -> None:
        self.model_key: Any = None
        self.kept: LanguageModel | None = None
        self.read: dict[Any, list[Example]] = {}

    def model(self, job: Job) -> LanguageModel:
        """A model that the job may change."""
        device = choose_device(job.device).value
        dtype = fit_and_score.training_dtype(job.recipe, device, job.dtype)
        if job.processes > 1 and job.budget:
            # The processes need the room on the device.
            device = "cpu"
        key = (job.model, device, dtype)
        if self.kept is None or self.model_key != key:
            self.kept, self.model_key = None, None
            lm = load_model(job.model, device=device, dtype=dtype)
            size = sum(w.numel() * w.element_size() for w in lm.model.parameters())
            if size > _KEPT_BYTES:
                return lm
            self.kept, self.model_key = lm, key
        return replace(self.kept, model=copy.deepcopy(self.kept.model))

    def examples(self, job: Job, spec: str, lm: LanguageModel) -> list[Example]:
        path = Path(spec)
        stamp = path.stat().st_mtime_ns if path.exists() else 0
        key = (spec, stamp, repr(job.task), lm.identity.fingerprint)
        if key not in self.read:
            # The data and the test data of one task, and no more.
            while len(self.read) > 1:
                self.read.pop(next(iter(self.read)))
            self.read[key] = read_examples(job, spec, lm)
        return self.read[key]


_SHARED = _Shared()


def _tune(
    job: Job, lm: LanguageModel, splits: Splits, folder: Path | None, progress: Report
) -> FineTuned:
    def on_step(step: int, steps: int, loss: float | None) -> None:
        progress(Progress("tuning", step, steps, loss))

    if job.processes > 1:
        assert folder is not None
        return launch.tune_by_many(job, lm, folder, on_step)
    labels = splits.budget(job.budget, job.recipe.validation_share)
    return fit_and_score.fit(
        lm,
        labels,
        job.recipe,
        seed=job.seed,
        dtype=job.dtype,
        folder=folder,
        progress=on_step,
    )


def _score(job: Job, lm: LanguageModel, splits: Splits, progress: Report) -> dict[str, Any]:
    total, done = len(splits.test), 0

    def on_batch(count: int) -> None:
        nonlocal done
        done += count
        progress(Progress("scoring", done, total))

    answers = (job.task or {}).get("answers", ())
    how = fit_and_score.Scoring(job.metric, answers, job.batch_size, job.max_new_tokens)
    score = fit_and_score.score(lm, splits.test, how, on_batch)
    return {"score": score.value, "score_sd": score.sd, "test_size": score.size}


@contextmanager
def _work_folder(job: Job) -> Iterator[Path | None]:
    """Where checkpoints go; deleted when the job is done, left when it fails."""
    if job.folder is not None:
        folder = Path(job.folder) / "training"
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
    elif job.processes > 1:
        with tempfile.TemporaryDirectory(prefix="labelcast-") as made:
            yield Path(made)
    else:
        yield None


@contextmanager
def _notes() -> Iterator[list[str]]:
    """Collects what would be warned of, for the row."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LabelcastWarning)
        try:
            yield notes
        finally:
            notes += [str(w.message) for w in caught if issubclass(w.category, LabelcastWarning)]


@contextmanager
def _cleared() -> Iterator[None]:
    """Memory of the job is given back at its end, for the next one."""
    try:
        yield
    finally:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
