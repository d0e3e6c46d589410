"""Fine-tuning a model on labelled examples, by a recipe."""

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

from labelcast.errors import InputError, LabelcastWarning, RunError
from labelcast.files.json_files import disk_faults, write_text
from labelcast.models.choices import computes_bf16
from labelcast.models.loading import LanguageModel
from labelcast.models.memory import peak_memory, reset_peak
from labelcast.tasks.prompts import Example
from labelcast.training.checkpoints import Course, Keeper, drop_damaged, last_checkpoint
from labelcast.training.recipe import Recipe
from labelcast.training.sequences import Sequences, encode
from labelcast.training.silence import quiet, random_state_kept
from labelcast.training.splits import digest
from labelcast.training.trainer import make_trainer, unpatched

OnStep = Callable[[int, int, float | None], None]
_IDENTITY = "training.json"


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned model and how it came about.

    Attributes:
        lm: the model with the weights of the best step, adapters merged, in evaluation mode.
        steps: steps taken.
        best_step: the step with the lowest validation loss.
        validation_losses: by step; step 0 is before training.
        train_loss: mean over the last steps.
        seconds: spent training, checkpoints and validation included.
        steps_per_second: over the same time.
        peak_bytes: most memory held: of the device, or of the process on a CPU.
        stopped_early: whether the validation loss had stopped falling.
        dropped: examples left out as too long.
    """

    lm: LanguageModel
    steps: int
    best_step: int
    validation_losses: tuple[tuple[int, float], ...]
    train_loss: float | None
    seconds: float
    steps_per_second: float
    peak_bytes: int
    stopped_early: bool
    dropped: int


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
    """Fine-tune a model; its own weights are changed.

    Args:
        lm: the model; for the method ``full`` best in float32.
        train: labelled examples to learn from, rendered for the model.
        validation: labelled examples whose loss says when to stop.
        recipe: how.
        seed: of the order of examples, the adapters and the dropout.
        folder: for checkpoints: the same call goes on from the last one there. None keeps none.
        progress: called after each step with steps, most steps, and the last validation loss.
        checkpoint_seconds: least time between two checkpoints.
        bf16: compute in bfloat16; None does so where the device can.

    Raises:
        InputError: nothing is left to train or validate on, or the recipe does not fit.
        RunError: the loss is not a number from the first measurement on.

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
    """A model as the trainer leaves it: adapters apart, or in parts on several devices."""

    model: Any
    course: Course
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
    """As `fine_tune`, up to where the best weights are back in the trainer's model.

    Under `accelerate launch` every process calls it; `device` is then what the training runs on,
    since the model is loaded on the CPU and moved in parts.
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
            trainer.train(resume_from_checkpoint=None if last is None else str(last))
            model = unpatched(trainer.model)
    if not keeper.course.best_step:
        raise RunError(
            f"the validation loss was never a number (recipe {recipe.name!r}). "
            "Give a recipe with a lower learning_rate."
        )
    return Trained(model, keeper.course, peak_memory(device), sum(part.dropped for part in parts))


def finished(trained: Trained, lm: LanguageModel) -> FineTuned:
    """What training came to, with the model that it made."""
    course = trained.course
    steps = course.losses[-1][0]
    return FineTuned(
        lm=lm,
        steps=steps,
        best_step=course.best_step,
        validation_losses=tuple(course.losses),
        train_loss=course.train_loss,
        seconds=course.seconds,
        steps_per_second=steps / max(course.seconds, 1e-9),
        peak_bytes=trained.peak_bytes,
        stopped_early=course.stopped_early,
        dropped=trained.dropped,
    )


def merged(model: Any) -> Any:
    """The model alone, its adapters merged, in evaluation mode with every weight frozen."""
    with quiet():
        if hasattr(model, "merge_and_unload"):
            model = model.merge_and_unload()
        model.gradient_checkpointing_disable()
    return model.eval().requires_grad_(False)


def prepare_folder(folder: Path, identity: str) -> None:
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


def _check(parts: Sequence[Sequences], recipe: Recipe) -> None:
    """Say how many examples were left out, or that too few remain."""
    for part, use in zip(parts, ("train", "validate"), strict=True):
        if not part.rows:
            raise InputError(
                f"no example is left to {use} on: {part.dropped} are too long "
                f"(max_length of recipe {recipe.name!r}: {recipe.max_length} tokens)."
            )
    dropped = sum(part.dropped for part in parts)
    if dropped:
        total = dropped + sum(len(part.rows) for part in parts)
        warnings.warn(
            f"{dropped} of {total} labelled examples are too long and left out "
            f"(max_length of recipe {recipe.name!r}: {recipe.max_length} tokens).",
            LabelcastWarning,
            stacklevel=4,
        )


@contextmanager
def _checkpoints(folder: Path | None, identity: str) -> Iterator[tuple[Path, Path | None]]:
    """The folder to train in, and the checkpoint to go on from."""
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="labelcast-") as made:
            yield Path(made), None
    else:
        if os.environ.get("RANK", "0") == "0":
            prepare_folder(folder, identity)
        if os.environ.get("WORLD_SIZE", "1") == "1":
            # Of several processes, the one that launches them has looked.
            drop_damaged(folder)
        yield folder, last_checkpoint(folder)


def _identity(
    lm: LanguageModel,
    train: Sequence[Example],
    validation: Sequence[Example],
    recipe: Recipe,
    seed: int,
) -> str:
    """What must be the same for a training to go on from a checkpoint."""
    world = os.environ.get("WORLD_SIZE", "1")
    parts = (lm.identity.fingerprint, digest(train), digest(validation), recipe.digest, seed, world)
    return "-".join(map(str, parts))
