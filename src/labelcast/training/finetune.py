"""Fine-tune all weights or LoRA adapters of a causal language model, and score it."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from labelcast.errors import InputError, LabelcastWarning, RunError, brief, is_out_of_memory
from labelcast.files.atomic import make_folder
from labelcast.files.json_files import disk_faults, write_text
from labelcast.models.choices import Choice, choose_device, computes_bf16
from labelcast.models.loading import LanguageModel, load_model
from labelcast.models.memory import peak_memory, reset_peak
from labelcast.models.protocols import Progress
from labelcast.tasks.prompts import Example
from labelcast.training.backend import FineTuned, OnStep, Placement
from labelcast.training.checkpoints import Keeper, last_checkpoint
from labelcast.training.evaluate import Evaluation, Scoring, evaluate
from labelcast.training.recipe import Recipe
from labelcast.training.reporting import reported
from labelcast.training.splits import Budget, digest
from labelcast.training.trainer import Sequences, encode, make_trainer, quiet, unpatched

_IDENTITY = "training.json"
_UNFINISHED = ".unfinished"


class CausalBackend:
    """Causal language models; see `training.backend.Backend`.

    Attributes:
        checkpoint_seconds: least time between two checkpoints.
    """

    checkpoint_seconds = 300.0

    def load(self, model: str, recipe: Recipe, placement: Placement) -> LanguageModel:
        """Load a model in the dtype to train it in.

        Trained weights are in float32, which keeps small steps; frozen weights under adapters are
        in bfloat16 if the device has instructions for it.
        """
        # The training processes need the device's memory.
        device = "cpu" if placement.processes > 1 else placement.device
        if placement.dtype != "auto":
            return load_model(model, device=device, dtype=placement.dtype)
        half = recipe.method == "lora" and computes_bf16(choose_device(placement.device).value)
        lm = load_model(model, device=device, dtype="bfloat16" if half else "float32")
        why = "frozen weights under adapters" if half else "trained weights keep small steps"
        return replace(lm, dtype=Choice(lm.dtype.value, why))

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

        With the dtype ``auto`` the trainer computes in bfloat16 on GPUs and CPUs that have
        instructions for it.

        Source: paper, section on fine-tuning (recipe `FULL`).
        """
        train = self.train
        if placement.processes > 1:
            from labelcast.training.processes import train_in_processes

            train = train_in_processes
        tuned = train(lm, labels, recipe, seed, placement, folder, progress)
        return replace(tuned, lm=replace(lm, model=_merged(tuned.lm.model)))

    def train(
        self,
        lm: LanguageModel,
        labels: Budget,
        recipe: Recipe,
        seed: int,
        placement: Placement,
        folder: Path | None,
        progress: OnStep,
    ) -> FineTuned:
        """Train in this process, without merging the adapters.

        Under `accelerate launch` every process calls it with the model on the CPU, and the trainer
        moves parts of it to the devices.
        """
        parts = [encode(lm, e, recipe.max_length) for e in (labels.train, labels.validation)]
        _check(parts, recipe)
        device = choose_device(placement.device).value
        bf16 = placement.dtype == "auto" and _trains_in_bf16(device)
        with tempfile.TemporaryDirectory(prefix="labelcast-") as temporary:
            path = folder or Path(temporary)
            _prepare_folder(path, _identity(lm, labels, recipe, seed))
            last, every = last_checkpoint(path), self.checkpoint_seconds
            keeper = Keeper(path if folder else None, recipe.patience, every, progress, last)
            with quiet(), random_state_kept():
                reset_peak(device)
                trainer = make_trainer(lm, parts, recipe, seed, path, device, bf16)
                trainer.add_callback(keeper)
                with _damage_reported(last, keeper), reported(trainer, placement.reports):
                    trainer.train(resume_from_checkpoint=None if last is None else str(last))
                model = unpatched(trainer.model)
        log = keeper.log
        if not log.best_step:
            raise RunError(
                f"the validation loss was never a number (recipe {recipe.name!r}). "
                "Use a recipe with a lower learning_rate."
            )
        log.peak_bytes, log.dropped = peak_memory(device), sum(part.dropped for part in parts)
        return FineTuned(replace(lm, model=model), log)

    def score(
        self,
        lm: LanguageModel,
        test: Sequence[Example],
        scoring: Scoring,
        *,
        placement: Placement,
        progress: Progress = lambda done: None,
    ) -> Evaluation:
        """Score a model, in bfloat16 where the device has instructions for it; see `Backend`."""
        device = choose_device(placement.device)
        lm.model.to(device.value)
        lm = replace(lm, device=device)
        if placement.dtype == "auto" and computes_bf16(device.value):
            # Only the parameters: the position buffers must stay in float32.
            for weight in lm.model.parameters():
                weight.data = weight.data.to(torch.bfloat16)
            lm = replace(lm, dtype=Choice(torch.bfloat16, "answers are scored in it on a GPU"))
        return evaluate(lm, test, scoring, progress=progress)

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


def _trains_in_bf16(device: str) -> bool:
    """Whether a device has instructions for bfloat16 matrix products: GPUs, and CPUs with AMX."""
    amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    return computes_bf16(device) or (device == "cpu" and bool(amx()))


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Restore the process's random state afterwards, since trainers seed it."""
    state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)


@contextmanager
def _damage_reported(checkpoint: Path | None, keeper: Keeper) -> Iterator[None]:
    """Delete a checkpoint that cannot be read, so that the next run starts without it."""
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


def _merged(model: Any) -> Any:
    """The model with merged adapters, in evaluation mode and with all weights frozen."""
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


def _prepare_folder(folder: Path, identity: str) -> None:
    """Make a folder for checkpoints, and delete those of another training in it."""
    if os.environ.get("RANK", "0") != "0":
        return
    with disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / _IDENTITY
        if not file.exists() or file.read_text("utf-8", "replace").strip() != identity:
            for old in folder.glob("checkpoint-*"):
                shutil.rmtree(old, ignore_errors=True)
            write_text(file, identity + "\n")


def _identity(lm: LanguageModel, labels: Budget, recipe: Recipe, seed: int) -> str:
    """What must be the same to resume from a checkpoint."""
    digests = (digest(labels.train), digest(labels.validation), recipe.digest)
    world = os.environ.get("WORLD_SIZE", "1")
    return "-".join(map(str, (lm.identity.fingerprint, *digests, seed, world)))
