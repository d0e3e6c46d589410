"""Fine-tune all weights or LoRA adapters of a causal language model, and score it."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from labelcast.errors import LabelcastWarning, NoMemoryError, RunError, brief, is_out_of_memory
from labelcast.files.atomic import make_folder
from labelcast.files.json_files import disk_faults
from labelcast.models.choices import SPREAD, Choice, choose_device, computes_bf16
from labelcast.models.loading import LanguageModel, load_model
from labelcast.models.memory import peak_memory, reset_peak
from labelcast.tasks.prompts import Example
from labelcast.training.backend import (
    TRAINED,
    FineTuned,
    Fit,
    Placement,
    TrainingLog,
    trained_dtype,
)
from labelcast.training.checkpoints import Keeper, identity_of, last_checkpoint, prepare_folder
from labelcast.training.evaluate import Evaluation, Scoring, evaluate
from labelcast.training.memory import check_memory, check_quantised, fitting, is_quantised, outline
from labelcast.training.recipe import Recipe
from labelcast.training.reporting import reported
from labelcast.training.sequences import encode_labels
from labelcast.training.trainer import make_trainer, micro_batch, quiet, unpatched

_UNFINISHED = ".unfinished"


class CausalBackend:
    """Causal language models; see `training.backend.Backend`.

    Attributes:
        encode: the checked sequences of the labels, to train on and for the validation loss.
        trainer: what trains on these.
    """

    encode = staticmethod(encode_labels)
    trainer = staticmethod(make_trainer)

    def load(
        self, model: str, recipe: Recipe, placement: Placement, *, train: bool = True
    ) -> LanguageModel:
        """Load a model in the dtype to train it in; see `Backend`.

        Trained weights are in float32, which keeps small steps, also if bfloat16 is asked for;
        frozen weights under adapters are in bfloat16 if the device has instructions for it. What
        several processes will train is returned as an `outline`.
        """
        device = choose_device(placement.device)
        dtype, why = placement.dtype, ""
        if dtype == "auto" and recipe.adapters is not None and computes_bf16(device.value):
            dtype, why = "bfloat16", "frozen weights under adapters"
        elif train and (dtype == "auto" or recipe.adapters is None):
            dtype = trained_dtype(recipe, dtype)
            why = TRAINED if dtype != placement.dtype else ""
        if train:
            micro_batch(recipe, placement.processes)  # refuses processes that do not divide a step
            lm = outline(model, device, dtype)
            check_quantised(lm, recipe, placement.processes)
            check_memory(lm, recipe, placement.processes, bf16=placement.in_bf16)
        if not train or placement.processes == 1:
            several = placement.processes > 1 and device.value.startswith("cuda")
            where = SPREAD if several else placement.device
            with memory_reported(f"model {model}: memory ran out while it was loaded"):
                lm = load_model(model, device=where, dtype=dtype)
        return replace(lm, dtype=Choice(lm.dtype.value, why)) if why else lm

    def fit(self, lm: LanguageModel, fit: Fit) -> FineTuned:
        """Fine-tune on the labels of a budget; see `Backend`.

        With the dtype ``auto`` the trainer computes in bfloat16 on GPUs and CPUs that have
        instructions for it, with ``bfloat16`` on any.

        Source: paper, section on fine-tuning (recipe `FULL`).
        """
        check_quantised(lm, fit.recipe, fit.placement.processes)
        train = self.train
        if fit.placement.processes > 1:
            from labelcast.training.processes import train_in_processes

            train = train_in_processes
        tuned = train(lm, fit)
        if tuned.log.rows:
            warnings.warn(
                f"memory ran out, so {tuned.log.rows} sequences ran at once; each step still has "
                f"{fit.recipe.batch_size}.",
                LabelcastWarning,
                stacklevel=3,
            )
        return replace(tuned, lm=replace(tuned.lm, model=_merged(tuned.lm)))

    def train(self, lm: LanguageModel, fit: Fit) -> FineTuned:
        """Train in this process, without merging the adapters.

        Under `accelerate launch` every process calls it with the model on the CPU, and the trainer
        moves parts of it to the devices.
        """
        recipe = fit.recipe
        parts = self.encode(lm, fit.labels, recipe)
        bf16 = fit.placement.in_bf16
        if os.environ.get("WORLD_SIZE", "1") == "1":  # else chosen for all processes
            recipe = fitting(lm, [row for part in parts for row in part.all], recipe, 1, bf16=bf16)
        fit = replace(fit, recipe=recipe)
        model, log = run_trainer(
            lambda path: self.trainer(lm, parts, fit, path), fit, identity_of(lm, fit)
        )
        log.dropped = sum(part.dropped for part in parts)
        return FineTuned(replace(lm, model=unpatched(model)), log)

    def score(self, lm: LanguageModel, test: Sequence[Example], scoring: Scoring) -> Evaluation:
        """Score a model, in bfloat16 if asked for or if a GPU computes in it; see `Backend`."""
        placement = scoring.placement
        device = choose_device(placement.device)
        # Quantised weights stay as they are, on the device where they were loaded.
        if not is_quantised(lm):
            asked = placement.dtype == "bfloat16"
            if asked or (placement.dtype == "auto" and computes_bf16(device.value)):
                # Before they are moved, and only the parameters: the position buffers must stay
                # in float32.
                for weight in lm.model.parameters():
                    weight.data = weight.data.to(torch.bfloat16)
                why = "asked for" if asked else "answers are scored in it on a GPU"
                lm = replace(lm, dtype=Choice(torch.bfloat16, why))
            if placement.processes == 1 or not device.value.startswith("cuda"):
                lm.model.to(device.value)
            elif getattr(lm.model, "hf_device_map", None) is None:
                spread_over_gpus(lm.model)
        return evaluate(replace(lm, device=device), test, scoring)

    def save(self, lm: LanguageModel, folder: Path) -> None:
        """Save a model into a folder; see `Backend`."""

        def write(work: Path) -> None:
            lm.model.save_pretrained(work)
            lm.tokenizer.save_pretrained(work)

        save_files(folder, write)


def spread_over_gpus(model: Any) -> None:
    """Divide a model's layers among all GPUs: one may be too small for what several trained."""
    from accelerate import dispatch_model, infer_auto_device_map
    from accelerate.utils import get_balanced_memory

    whole = list(model._no_split_modules or ())
    room = get_balanced_memory(model, no_split_module_classes=whole)
    room.pop("cpu", None)
    dispatch_model(model, infer_auto_device_map(model, room, whole))


def save_files(folder: Path, write: Callable[[Path], None]) -> None:
    """Let `write` make files in another folder, then move each into this one."""
    work = folder / _UNFINISHED
    with disk_faults(folder), quiet():
        make_folder(folder)
        shutil.rmtree(work, ignore_errors=True)
        try:
            make_folder(work)
            write(work)
            for made in sorted(work.iterdir()):
                if made.is_dir():
                    shutil.rmtree(folder / made.name, ignore_errors=True)
                made.replace(folder / made.name)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def run_trainer(make: Callable[[Path], Any], fit: Fit, identity: str) -> tuple[Any, TrainingLog]:
    """Train with early stopping, and resume from the last checkpoint in the folder.

    Args:
        make: makes the trainer, which works in the given folder.
        fit: what is trained.
        identity: a checkpoint of another training is deleted.

    Returns:
        The trained model with the weights of the best step, and the log.
    """
    with tempfile.TemporaryDirectory(prefix="labelcast-") as temporary:
        path = fit.folder or Path(temporary)
        prepare_folder(path, identity)
        last = last_checkpoint(path)
        keeper = Keeper(fit.folder, fit.recipe.patience, fit.progress, last)
        device = choose_device(fit.placement.device).value
        with quiet(), random_state_kept():
            reset_peak(device)
            trainer = make(path)
            trainer.add_callback(keeper)
            with (
                memory_reported(_takes_less(fit.recipe)),
                _damage_reported(last, keeper),
                reported(trainer, fit.placement.reports),
            ):
                trainer.train(resume_from_checkpoint=None if last is None else str(last))
    log = keeper.log
    if trainer.rows < trainer.args.per_device_train_batch_size:
        log.rows = trainer.rows
    if not log.best_step:
        raise RunError(
            f"the validation loss was never a number (recipe {fit.recipe.name!r}). "
            "Use a recipe with a lower learning_rate."
        )
    log.peak_bytes = peak_memory(device)
    return trainer.model, log


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


@contextmanager
def memory_reported(what: str) -> Iterator[None]:
    """Turn an error of full memory into one that says what to change."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise NoMemoryError(f"{what} ({brief(error)})") from None


def _takes_less(recipe: Recipe) -> str:
    lora = "" if recipe.adapters else "--recipe LoRA, "
    return (
        f"recipe {recipe.name!r}: memory ran out in training. What takes less: {lora}a smaller "
        "micro_batch or max_length in the recipe, or more GPUs for a job (labelcast sweep "
        "--gpus-per-job)"
    )


def _merged(lm: LanguageModel) -> Any:
    """The model with merged adapters, in evaluation mode and with all weights frozen.

    On quantised weights adapters stay: merged, most of what they learned would be rounded away.
    """
    model = lm.model
    with quiet():
        if hasattr(model, "merge_and_unload") and not is_quantised(lm):
            model = model.merge_and_unload()
        model.gradient_checkpointing_disable()
    return model.eval().requires_grad_(False)
