"""Keep the best weights, the losses, and checkpoints to resume from, while a model trains.

A checkpoint is the trainer's folder with the best weights so far (each process's part in a file)
and, written last, a manifest with the losses. Without the manifest it is unfinished and not used.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from labelcast.files.json_files import disk_faults, write_text
from labelcast.models.four_bit import light_import
from labelcast.models.identity import weights_digest
from labelcast.models.loading import AnyModel
from labelcast.models.memory import gpu_size
from labelcast.training.backend import Fit, OnStep, TrainingLog
from labelcast.training.splits import digest

with light_import():  # the trainer's modules import peft, and peft imports bitsandbytes
    from transformers import TrainerCallback

_MANIFEST = "labelcast.json"
_IDENTITY = "training.json"
_SHARE_OF_DEVICE = 0.1
CHECKPOINT_SECONDS = 300.0
"""The least time between two checkpoints."""


def last_checkpoint(folder: Path) -> Path | None:
    """The latest finished checkpoint in a folder; unfinished ones are deleted."""
    finished = []
    for path in folder.glob("checkpoint-*"):
        if (path / _MANIFEST).exists():
            finished.append(path)
        else:
            shutil.rmtree(path, ignore_errors=True)
    return max(finished, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def prepare_folder(folder: Path, identity: str) -> None:
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


def identity_of(lm: AnyModel, fit: Fit, processes: int | None = None) -> str:
    """What must be equal to resume from a checkpoint; `processes` defaults to the current number.

    With several processes the model is an outline without weights, so its name replaces their
    digest.
    """
    digests = (digest(fit.labels.train), digest(fit.labels.validation), fit.recipe.digest)
    world = int(processes or os.environ.get("WORLD_SIZE", "1"))
    weights = weights_digest(lm.model) if world == 1 else lm.identity.name
    return "-".join(map(str, (lm.identity.fingerprint, weights, *digests, fit.seed, world)))


class Keeper(TrainerCallback):
    """Follows a trainer: keeps the best weights, stops early, and completes checkpoints.

    Attributes:
        log: what has been measured.
        running: whether a step has started, so the checkpoint to resume from has been read.
    """

    def __init__(self, folder: Path | None, patience: int, progress: OnStep, resume: Path | None):
        self.folder, self.patience = folder, patience
        self.progress, self.resume = progress, resume
        self.log = TrainingLog()
        self.running = False
        self.best: dict[str, Tensor] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Read the log and best weights of the checkpoint to resume from."""
        self.rank, self.model = args.process_index, others["model"]
        weights = trained_parts(self.model)
        if _fits_beside(weights):
            self.best = {name: torch.empty_like(weight) for name, weight in weights.items()}
        else:
            folder = Path(args.output_dir)
            self.best = {name: on_disk(weight, folder) for name, weight in weights.items()}
        if self.resume is not None:
            self.log = TrainingLog.read(self.resume / _MANIFEST)
            for name, weight in load_file(self.resume / self._best_file()).items():
                self.best[name].copy_(weight)
        self.saved = time.monotonic()
        self.started = self.saved - self.log.seconds

    def on_step_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Note that training has started."""
        self.running = True

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Report the step; measure after the last one too."""
        losses = self.log.losses
        self.progress(state.global_step, state.max_steps, losses[-1][1] if losses else None)
        if state.global_step >= state.max_steps:
            control.should_evaluate = True

    def on_log(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Note the training loss."""
        if "loss" in (others.get("logs") or {}):
            self.log.train_loss = float(others["logs"]["loss"])

    def on_evaluate(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Note the validation loss, then keep the weights, stop, or request a checkpoint."""
        log, step = self.log, int(state.global_step)
        loss = float(others["metrics"]["eval_loss"])
        if any(step == measured for measured, _ in log.losses):
            return
        log.losses.append((step, loss))
        if step == 0:
            return
        # NaN is below no loss.
        if loss < log.best_loss:
            log.best_step, log.waited = step, 0
            for name, weight in trained_parts(self.model).items():
                self.best[name].copy_(weight)
        else:
            log.waited += 1
        if log.waited >= self.patience:
            log.stopped_early = control.should_training_stop = True
        elif step < state.max_steps and self._due(args):
            control.should_save = True

    def _due(self, args: Any) -> bool:
        if self.folder is None:
            return False
        due = [time.monotonic() - self.saved >= CHECKPOINT_SECONDS]
        if args.world_size > 1:
            # Clocks differ, and a checkpoint needs all processes.
            torch.distributed.broadcast_object_list(due, src=0)
        return due[0]

    def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Complete the checkpoint that the trainer just wrote; delete older ones."""
        assert self.folder is not None
        path = self.folder / f"checkpoint-{state.global_step}"
        with disk_faults(path):
            best = {name: weight.contiguous() for name, weight in self.best.items()}
            save_file(best, path / self._best_file())
            if args.world_size > 1:
                torch.distributed.barrier()
            self.saved = time.monotonic()
            if self.rank:
                return
            self.log.seconds = self.saved - self.started
            self.log.write(path / _MANIFEST)
            for older in self.folder.glob("checkpoint-*"):
                if older != path:
                    shutil.rmtree(older, ignore_errors=True)

    def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Restore the best weights."""
        self.log.seconds = time.monotonic() - self.started
        if self.log.best_step:
            with torch.no_grad():
                for name, weight in trained_parts(self.model).items():
                    weight.copy_(self.best[name])
        self.best = {}

    def _best_file(self) -> str:
        return f"best-{self.rank}.safetensors"


def trained_parts(model: nn.Module) -> dict[str, Tensor]:
    """This process's part of each trained weight."""
    reshard(model)
    found = {}
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            part = weight.detach()
            found[name] = part.to_local() if hasattr(part, "to_local") else part
    return found


def reshard(model: nn.Module) -> None:
    """Shard the weights again that FSDP leaves gathered after an evaluation: head, last norm."""
    for module in model.modules():
        if hasattr(module, "reshard") and hasattr(module, "unshard"):
            module.reshard()


def _fits_beside(weights: dict[str, Tensor]) -> bool:
    """Whether a copy of the weights is small beside the memory of their device; on a CPU always."""
    device = next(iter(weights.values())).device
    if device.type != "cuda":
        return True
    size = sum(w.numel() * w.element_size() for w in weights.values())
    return bool(size <= _SHARE_OF_DEVICE * gpu_size(device))


def on_disk(weight: Tensor, folder: Path) -> Tensor:
    """Room for a weight in a file of the folder, without a name: it ends with the process.

    The system may write it out when memory is short.
    """
    if not weight.numel():
        return torch.empty_like(weight, device="cpu")
    with disk_faults(folder), TemporaryFile(dir=folder) as file:
        # Reserved now: a full disk would end the process when the weight is copied.
        os.posix_fallocate(file.fileno(), 0, weight.numel() * weight.element_size())
        name = f"/dev/fd/{file.fileno()}"
        room = torch.from_file(name, shared=True, size=weight.numel(), dtype=weight.dtype)
    return room.view(weight.shape)
