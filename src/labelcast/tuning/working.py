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
from labelcast.models.choices import Choice, choose_device
from labelcast.models.loading import LanguageModel, load_model
from labelcast.runs.files import disk_faults
from labelcast.tasks.prompts import Example
from labelcast.tuning import finetune, launch
from labelcast.tuning.evaluate import evaluate
from labelcast.tuning.job import Job, Progress
from labelcast.tuning.material import has_bf16, read_examples, split, training_dtype
from labelcast.tuning.quiet import quiet
from labelcast.tuning.splits import Splits

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
        found = _SHARED.examples(job, job.data, lm)
        splits = split(job, found, lambda spec: _SHARED.examples(job, spec, lm))
        fingerprint = lm.identity.fingerprint
        with _work_folder(job) as folder:
            values: dict[str, Any] = {}
            if job.budget:
                tuned = _tune(job, lm, splits, folder, progress)
                lm, values = tuned.lm, _facts(tuned)
            lm = _for_scoring(job, lm)
            if job.budget and job.keep_model and job.folder:
                _save(lm, Path(job.folder) / "model")
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
        dtype = training_dtype(job, device)
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
) -> finetune.FineTuned:
    def on_step(step: int, steps: int, loss: float | None) -> None:
        progress(Progress("tuning", step, steps, loss))

    if job.processes > 1:
        assert folder is not None
        return launch.tune_by_many(job, lm, folder, on_step)
    labels = splits.budget(job.budget, job.recipe.validation_share)
    return finetune.fine_tune(
        lm,
        labels.train,
        labels.validation,
        job.recipe,
        seed=job.seed,
        folder=folder,
        progress=on_step,
        bf16=None if job.dtype == "auto" else False,
    )


def _facts(tuned: finetune.FineTuned) -> dict[str, Any]:
    losses = dict(tuned.validation_losses)
    return {
        "steps": tuned.steps,
        "best_step": tuned.best_step,
        "train_loss": tuned.train_loss,
        "validation_loss": losses[tuned.best_step],
        "first_validation_loss": losses.get(0),
        "tuning_seconds": tuned.seconds,
        "steps_per_second": tuned.steps_per_second,
        "peak_bytes": tuned.peak_bytes,
        "dropped": tuned.dropped,
    }


def _score(job: Job, lm: LanguageModel, splits: Splits, progress: Report) -> dict[str, Any]:
    total, done = len(splits.test), 0

    def on_batch(count: int) -> None:
        nonlocal done
        done += count
        progress(Progress("scoring", done, total))

    score = evaluate(
        lm,
        splits.test,
        job.metric,
        allowed=(job.task or {}).get("answers", ()),
        batch_size=job.batch_size,
        max_new_tokens=job.max_new_tokens,
        progress=on_batch,
    )
    return {"score": score.value, "score_sd": score.sd, "test_size": score.size}


def _for_scoring(job: Job, lm: LanguageModel) -> LanguageModel:
    """The model on its device, in bfloat16 where that has it, tuned or not: so scores compare."""
    device = choose_device(job.device)
    lm.model.to(device.value)
    lm = replace(lm, device=device)
    if job.dtype != "auto" or not has_bf16(lm.device.value):
        return lm
    # Parameters alone: the position buffers must stay in float32.
    for weight in lm.model.parameters():
        weight.data = weight.data.to(torch.bfloat16)
    return replace(lm, dtype=Choice(torch.bfloat16, "answers are scored in it on a GPU"))


def _save(lm: LanguageModel, folder: Path) -> None:
    work = folder.with_name(folder.name + ".unfinished")
    with disk_faults(folder), quiet():
        shutil.rmtree(work, ignore_errors=True)
        lm.model.save_pretrained(work)
        lm.tokenizer.save_pretrained(work)
        shutil.rmtree(folder, ignore_errors=True)
        work.rename(folder)


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
