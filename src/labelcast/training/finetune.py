"""Fine-tuning and scoring causal language models: all weights, or LoRA adapters."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from labelcast.errors import InputError, LabelcastWarning, RunError, brief, is_out_of_memory
from labelcast.files.atomic import make_folder
from labelcast.files.json_files import disk_faults, write_text
from labelcast.models.choices import Choice, choose_device, computes_bf16
from labelcast.models.loading import LanguageModel, load_model
from labelcast.models.memory import peak_memory, reset_peak
from labelcast.tasks.prompts import Example
from labelcast.training.backend import FineTuned, OnStep, Placement
from labelcast.training.checkpoints import Keeper, TrainingLog, last_checkpoint
from labelcast.training.evaluate import Evaluation, Scoring, evaluate
from labelcast.training.recipe import Recipe
from labelcast.training.splits import Budget, digest
from labelcast.training.trainer import (
    Sequences,
    encode,
    make_trainer,
    quiet,
    random_state_kept,
    unpatched,
)

_IDENTITY = "training.json"
_UNFINISHED = ".unfinished"


class CausalBackend:
    """Causal language models; see `training.backend.Backend`."""

    def load(self, model: str, recipe: Recipe, placement: Placement) -> LanguageModel:
        """Load a model in the dtype that it is trained in.

        Weights that are trained stay in float32, where small steps are not lost; frozen weights
        that carry adapters take half of that where the device computes in bfloat16.
        """
        device = choose_device(placement.device).value
        dtype = placement.dtype
        if dtype == "auto":
            half = recipe.method == "lora" and computes_bf16(device)
            dtype = "bfloat16" if half else "float32"
        # The training processes need the room on the device.
        return load_model(model, device="cpu" if placement.processes > 1 else device, dtype=dtype)

    def fit(
        self,
        lm: LanguageModel,
        labels: Budget,
        recipe: Recipe,
        *,
        seed: int,
        placement: Placement,
        folder: Path | None = None,
        progress: OnStep = lambda step, steps, loss: None,
    ) -> FineTuned:
        """Fine-tune on the labels of a budget; see `Backend`.

        With the dtype ``auto`` the trainer computes in bfloat16 where the device does.
        """
        if placement.processes > 1:
            from labelcast.training.processes import fit_in_processes

            return fit_in_processes(lm, labels, recipe, seed, placement, folder, progress)
        return fine_tune(
            lm,
            labels.train,
            labels.validation,
            recipe,
            seed=seed,
            folder=folder,
            progress=progress,
            bf16=None if placement.dtype == "auto" else False,
        )

    def score(
        self,
        lm: LanguageModel,
        test: Sequence[Example],
        scoring: Scoring,
        *,
        placement: Placement,
        progress: Callable[[int], None] = lambda done: None,
    ) -> Evaluation:
        """Score a model on its device, in bfloat16 where that computes in it; see `Backend`."""
        return evaluate(_ready_to_score(lm, placement), test, scoring, progress=progress)

    def save(self, lm: LanguageModel, folder: Path) -> None:
        """Save a model into a folder; see `Backend`."""
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


def _ready_to_score(lm: LanguageModel, placement: Placement) -> LanguageModel:
    device = choose_device(placement.device)
    lm.model.to(device.value)
    lm = replace(lm, device=device)
    if placement.dtype != "auto" or not computes_bf16(device.value):
        return lm
    # Only the parameters: the position buffers must stay in float32.
    for weight in lm.model.parameters():
        weight.data = weight.data.to(torch.bfloat16)
    return replace(lm, dtype=Choice(torch.bfloat16, "answers are scored in it on a GPU"))


def fine_tune(
    lm: LanguageModel,
    train: Sequence[Example],
    validation: Sequence[Example],
    recipe: Recipe,
    *,
    seed: int,
    folder: Path | None = None,
    progress: OnStep = lambda step, steps, loss: None,
    checkpoint_seconds: float = 300.0,
    bf16: bool | None = None,
) -> FineTuned:
    """Fine-tune a model in this process; its own weights are changed.

    Args:
        lm: the model; for the method ``full`` best in float32.
        train: labelled examples to learn from, rendered for the model.
        validation: labelled examples whose loss decides when to stop.
        recipe: how to train.
        seed: of the order of examples, the adapters and the dropout.
        folder: for checkpoints, from which the same call resumes; None keeps none.
        progress: called after each step with steps, most steps, and the last validation loss.
        checkpoint_seconds: least time between two checkpoints.
        bf16: compute in bfloat16; None does so if the device can.

    Raises:
        InputError: nothing is left to train or validate on, or the recipe does not fit.
        RunError: the validation loss is never a number, or a checkpoint is damaged.

    Source: paper, section on fine-tuning (recipe `FULL`).
    """
    trained = train_model(
        lm,
        train,
        validation,
        recipe,
        seed=seed,
        folder=folder,
        progress=progress,
        checkpoint_seconds=checkpoint_seconds,
        bf16=bf16,
    )
    return finished(trained, replace(lm, model=merged(trained.model)))


@dataclass(frozen=True)
class Trained:
    """A model as the trainer leaves it: with separate adapters, or in parts on several devices."""

    model: Any
    log: TrainingLog
    peak_bytes: int
    dropped: int


def train_model(
    lm: LanguageModel,
    train: Sequence[Example],
    validation: Sequence[Example],
    recipe: Recipe,
    *,
    seed: int,
    folder: Path | None,
    progress: OnStep,
    checkpoint_seconds: float,
    bf16: bool | None,
    device: str | None = None,
) -> Trained:
    """Do the part of `fine_tune` that ends with the best weights in the trainer's model.

    Under `accelerate launch` every process calls it. The model is then loaded on the CPU and moved
    in parts to `device`.
    """
    parts = [encode(lm, examples, recipe.max_length) for examples in (train, validation)]
    _check(parts, recipe)
    device = device or lm.device.value
    bf16 = computes_bf16(device) if bf16 is None else bf16
    with _checkpoints(folder, _identity(lm, train, validation, recipe, seed)) as (path, last):
        keeper = Keeper(
            path if folder else None, recipe.patience, checkpoint_seconds, progress, last
        )
        with quiet(), random_state_kept():
            reset_peak(device)
            trainer = make_trainer(lm, parts, recipe, seed, path, device, bf16)
            trainer.add_callback(keeper)
            with _damage_reported(last, keeper):
                trainer.train(resume_from_checkpoint=None if last is None else str(last))
            model = unpatched(trainer.model)
    if not keeper.log.best_step:
        raise RunError(
            f"the validation loss was never a number (recipe {recipe.name!r}). "
            "Give a recipe with a lower learning_rate."
        )
    return Trained(model, keeper.log, peak_memory(device), sum(part.dropped for part in parts))


@contextmanager
def _damage_reported(checkpoint: Path | None, keeper: Keeper) -> Iterator[None]:
    """Delete a checkpoint that cannot be read, so that the next try starts without it."""
    try:
        yield
    except Exception as error:
        if checkpoint is None or keeper.running or is_out_of_memory(error):
            raise
        shutil.rmtree(checkpoint, ignore_errors=True)
        raise RunError(
            f"{checkpoint}: damaged, so it is deleted ({brief(error)}). Run the same command again "
            "to train from the start."
        ) from None


def finished(trained: Trained, lm: LanguageModel) -> FineTuned:
    """The result of a training, with the model that it made."""
    log = trained.log
    steps = log.losses[-1][0]
    return FineTuned(
        lm=lm,
        steps=steps,
        best_step=log.best_step,
        validation_losses=tuple(log.losses),
        train_loss=log.train_loss,
        seconds=log.seconds,
        steps_per_second=steps / max(log.seconds, 1e-9),
        peak_bytes=trained.peak_bytes,
        stopped_early=log.stopped_early,
        dropped=trained.dropped,
    )


def merged(model: Any) -> Any:
    """The model with its adapters merged, in evaluation mode and with all weights frozen."""
    with quiet():
        if hasattr(model, "merge_and_unload"):
            model = model.merge_and_unload()
        model.gradient_checkpointing_disable()
    return model.eval().requires_grad_(False)


def _check(parts: Sequence[Sequences], recipe: Recipe) -> None:
    """Warn about examples that were left out; refuse to train if none remain."""
    too_long = f"(max_length of recipe {recipe.name!r}: {recipe.max_length} tokens)."
    for part, use in zip(parts, ("train", "validate"), strict=True):
        if not part.rows:
            raise InputError(
                f"no example is left to {use} on: {part.dropped} are too long {too_long}"
            )
    dropped = sum(part.dropped for part in parts)
    if dropped:
        total = dropped + sum(len(part.rows) for part in parts)
        warnings.warn(
            f"{dropped} of {total} labelled examples are too long and left out {too_long}",
            LabelcastWarning,
            stacklevel=4,
        )


@contextmanager
def _checkpoints(folder: Path | None, identity: str) -> Iterator[tuple[Path, Path | None]]:
    """The folder to train in, and the checkpoint to resume from."""
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="labelcast-") as made:
            yield Path(made), None
    else:
        if os.environ.get("RANK", "0") == "0":
            _prepare_folder(folder, identity)
        yield folder, last_checkpoint(folder)


def _prepare_folder(folder: Path, identity: str) -> None:
    """Make a folder for checkpoints; those of another training in it are deleted.

    Raises:
        RunError: it cannot be written.
    """
    with disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / _IDENTITY
        if not file.exists() or file.read_text("utf-8", "replace").strip() != identity:
            for old in folder.glob("checkpoint-*"):
                shutil.rmtree(old, ignore_errors=True)
            write_text(file, identity + "\n")


def _identity(
    lm: LanguageModel,
    train: Sequence[Example],
    validation: Sequence[Example],
    recipe: Recipe,
    seed: int,
) -> str:
    """What must be the same to resume from a checkpoint."""
    world = os.environ.get("WORLD_SIZE", "1")
    parts = (lm.identity.fingerprint, digest(train), digest(validation), recipe.digest, seed, world)
    return "-".join(map(str, parts))
