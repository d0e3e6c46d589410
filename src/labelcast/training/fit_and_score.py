"""One way to fine-tune and to score, for `labelcast tune` and for every job of a sweep.

So the scores of both compare: the same dtypes, the same loss, the same evaluation.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from labelcast.files.atomic import make_folder
from labelcast.files.json_files import disk_faults
from labelcast.models.choices import Choice, choose_device, computes_bf16
from labelcast.models.loading import LanguageModel
from labelcast.tasks.prompts import Example
from labelcast.training.evaluate import Score, evaluate
from labelcast.training.finetune import FineTuned, OnStep, fine_tune
from labelcast.training.recipe import Recipe
from labelcast.training.silence import quiet
from labelcast.training.splits import Budget

_UNFINISHED = ".unfinished"


@dataclass(frozen=True)
class Scoring:
    """How a model is scored.

    Attributes:
        metric: one of `tasks.metrics.METRICS`.
        allowed: the task's allowed answers.
        batch_size: prompts at once; None takes one for the device.
        max_new_tokens: where an answer is cut off.
    """

    metric: str
    allowed: Sequence[str]
    batch_size: int | None
    max_new_tokens: int


def training_dtype(recipe: Recipe, device: str, dtype: str = "auto") -> str:
    """Return the dtype that the weights are loaded in.

    Weights that are trained are kept in float32, where small steps are not lost; weights that only
    carry adapters take half of that.

    Args:
        recipe: of the fine-tuning.
        device: that trains.
        dtype: asked for by the user, or ``auto``.
    """
    if dtype != "auto":
        return dtype
    return "bfloat16" if recipe.method == "lora" and computes_bf16(device) else "float32"


def fit(
    lm: LanguageModel,
    labels: Budget,
    recipe: Recipe,
    *,
    seed: int,
    dtype: str = "auto",
    folder: Path | None = None,
    progress: OnStep = lambda step, steps, loss: None,
) -> FineTuned:
    """Fine-tune on the labels of a budget; arguments and errors are those of `fine_tune`.

    With the dtype ``auto`` the trainer computes in bfloat16 where the device can.
    """
    return fine_tune(
        lm,
        labels.train,
        labels.validation,
        recipe,
        seed=seed,
        folder=folder,
        progress=progress,
        bf16=None if dtype == "auto" else False,
    )


def score(
    lm: LanguageModel,
    test: Sequence[Example],
    how: Scoring,
    progress: Callable[[int], None] = lambda done: None,
) -> Score:
    """Score a model on a test set; `progress` gets the number of examples done."""
    return evaluate(
        lm,
        test,
        how.metric,
        allowed=how.allowed,
        batch_size=how.batch_size,
        max_new_tokens=how.max_new_tokens,
        progress=progress,
    )


def ready_to_score(lm: LanguageModel, device: str, dtype: str = "auto") -> LanguageModel:
    """Move a model to its device, in bfloat16 where that has it, tuned or not.

    Args:
        lm: the model; its weights are changed.
        device: as `choose_device` takes it.
        dtype: asked for by the user, or ``auto``.
    """
    chosen = choose_device(device)
    lm.model.to(chosen.value)
    lm = replace(lm, device=chosen)
    if dtype != "auto" or not computes_bf16(chosen.value):
        return lm
    # Parameters alone: the position buffers must stay in float32.
    for weight in lm.model.parameters():
        weight.data = weight.data.to(torch.bfloat16)
    return replace(lm, dtype=Choice(torch.bfloat16, "answers are scored in it on a GPU"))


def facts(tuned: FineTuned) -> dict[str, Any]:
    """Return what a row of scores says of the training."""
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


def save_model(lm: LanguageModel, folder: Path) -> None:
    """Save a model into a folder, file by file atomically; other files there are kept.

    Raises:
        RunError: the folder cannot be written.
    """
    work = folder / _UNFINISHED
    with disk_faults(folder), quiet():
        make_folder(folder)
        shutil.rmtree(work, ignore_errors=True)
        try:
            lm.model.save_pretrained(work)
            lm.tokenizer.save_pretrained(work)
            for made in sorted(work.iterdir()):
                if made.is_dir():
                    shutil.rmtree(folder / made.name, ignore_errors=True)
                made.replace(folder / made.name)
        finally:
            shutil.rmtree(work, ignore_errors=True)
