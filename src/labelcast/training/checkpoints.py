"""What is kept while a model trains: the best weights, when to stop, and where to go on.

A checkpoint is the trainer's own folder, to which the best weights so far, what has been measured,
and last a manifest are added: a folder without the manifest is an unfinished one and is not used,
and one whose files are no longer those that the manifest names is a damaged one.
Under several processes each keeps its own part of the best weights.
"""

from __future__ import annotations

import math
import shutil
import time
import warnings
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from labelcast.errors import LabelcastError, LabelcastWarning, is_out_of_memory
from labelcast.files.json_files import disk_faults, read_json, write_json
from labelcast.models.four_bit import quiet_import

with quiet_import():  # the trainer's modules import peft, and peft imports bitsandbytes
    from transformers import TrainerCallback

_MANIFEST = "labelcast.json"
_SHARE_OF_DEVICE = 0.1
_BLOCK = 16 * 2**20
# Reading back more than this would take longer than the training between two checkpoints should.
_LARGE = 2**30


@dataclass
class Course:
    """What has been measured of a training run so far.

    Attributes:
        losses: validation loss by step; step 0 is before training.
        train_loss: mean over the last steps between two measurements.
        best_step: the step of the lowest validation loss after step 0.
        waited: measurements since then.
        seconds: spent training, in earlier processes too.
        stopped_early: whether the patience ran out.
    """

    losses: list[tuple[int, float]] = field(default_factory=list)
    train_loss: float | None = None
    best_step: int = 0
    waited: int = 0
    seconds: float = 0.0
    stopped_early: bool = False

    @property
    def best_loss(self) -> float:
        """The lowest validation loss after step 0; infinite where there is none."""
        return dict(self.losses).get(self.best_step, math.inf) if self.best_step else math.inf


def last_checkpoint(folder: Path) -> Path | None:
    """The latest whole checkpoint in a folder; unfinished ones are deleted."""
    whole = []
    for path in folder.glob("checkpoint-*"):
        if (path / _MANIFEST).exists():
            whole.append(path)
        else:
            shutil.rmtree(path, ignore_errors=True)
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def drop_damaged(folder: Path) -> None:
    """Delete checkpoints that are not what they were when they were made, and say so."""
    for path in folder.glob("checkpoint-*"):
        if (path / _MANIFEST).exists() and not _is_whole(path):
            shutil.rmtree(path, ignore_errors=True)
            warnings.warn(
                f"{path}: damaged, so it is deleted and the training begins anew.",
                LabelcastWarning,
                stacklevel=4,
            )


def _is_whole(path: Path) -> bool:
    try:
        manifest = read_json(path / _MANIFEST)
        _course(manifest)
        return bool(manifest["files"] == _seals(path))
    except (LabelcastError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        if is_out_of_memory(error):
            raise
        return False


def _seals(path: Path) -> dict[str, list[int]]:
    """Size and CRC-32 of every file of a checkpoint but its manifest."""
    files = (file for file in sorted(path.rglob("*")) if file.is_file() and file.name != _MANIFEST)
    return {
        str(file.relative_to(path)): [file.stat().st_size, _crc(file)]
        for file in files
        if not file.name.endswith(".part")
    }


def _crc(file: Path) -> int:
    """CRC-32 of a file; of a very large one, of its two ends."""
    value, size = 0, file.stat().st_size
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            value = zlib.crc32(block, value)
            if size > _LARGE and stream.tell() < size - _BLOCK:
                stream.seek(size - _BLOCK)
    return value


def _course(manifest: dict[str, Any]) -> Course:
    """What had been measured when a checkpoint was made."""
    kept = {name: value for name, value in manifest.items() if name != "files"}
    losses = [(int(step), float(loss)) for step, loss in kept.pop("losses")]
    return Course(**kept, losses=losses)


class Keeper(TrainerCallback):
    """Follows a trainer: keeps the best weights, stops early, and makes checkpoints whole."""

    def __init__(
        self,
        folder: Path | None,
        patience: int,
        every_seconds: float,
        progress: Callable[[int, int, float | None], None],
        resume: Path | None,
    ):
        self.folder, self.patience, self.every_seconds = folder, patience, every_seconds
        self.progress, self.resume = progress, resume
        self.course = Course()
        self.best: dict[str, Tensor] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Take up what an earlier process kept."""
        self.rank, self.model = args.process_index, others["model"]
        weights = _trained(self.model)
        place = _place(weights)
        self.best = {n: torch.empty_like(w, device=place or w.device) for n, w in weights.items()}
        if self.resume is not None:
            self.course = _course(read_json(self.resume / _MANIFEST))
            for name, weight in load_file(self.resume / self._best_file()).items():
                self.best[name].copy_(weight)
        self.begun, self.saved = time.monotonic() - self.course.seconds, time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Report, and measure after the last step too."""
        losses = self.course.losses
        self.progress(state.global_step, state.max_steps, losses[-1][1] if losses else None)
        if state.global_step >= state.max_steps:
            control.should_evaluate = True

    def on_log(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Note the training loss."""
        if "loss" in (others.get("logs") or {}):
            self.course.train_loss = float(others["logs"]["loss"])

    def on_evaluate(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Note the validation loss; keep the weights, stop, or ask for a checkpoint."""
        course, step = self.course, int(state.global_step)
        loss = float(others["metrics"]["eval_loss"])
        if any(step == measured for measured, _ in course.losses):
            return
        course.losses.append((step, loss))
        if step == 0:
            return
        # A loss that is not a number is not below any.
        if loss < course.best_loss:
            course.best_step, course.waited = step, 0
            for name, weight in _trained(self.model).items():
                self.best[name].copy_(weight)
        else:
            course.waited += 1
        if course.waited >= self.patience:
            course.stopped_early = control.should_training_stop = True
        elif step < state.max_steps and self._due(args):
            control.should_save = True

    def _due(self, args: Any) -> bool:
        if self.folder is None:
            return False
        due = [time.monotonic() - self.saved >= self.every_seconds]
        if args.world_size > 1:
            # Clocks differ, and a checkpoint that not all processes write is never finished.
            torch.distributed.broadcast_object_list(due, src=0)
        return due[0]

    def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Complete the checkpoint that the trainer has just written, and delete older ones."""
        assert self.folder is not None
        path = self.folder / f"checkpoint-{state.global_step}"
        with disk_faults(path):
            save_file(
                {name: w.contiguous() for name, w in self.best.items()}, path / self._best_file()
            )
            if args.world_size > 1:
                torch.distributed.barrier()
            self.saved = time.monotonic()
            if self.rank:
                return
            self.course.seconds = self.saved - self.begun
            write_json(path / _MANIFEST, asdict(self.course) | {"files": _seals(path)})
            for older in self.folder.glob("checkpoint-*"):
                if older != path:
                    shutil.rmtree(older, ignore_errors=True)

    def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Put the best weights back."""
        self.course.seconds = time.monotonic() - self.begun
        if self.course.best_step:
            with torch.no_grad():
                for name, weight in _trained(self.model).items():
                    weight.copy_(self.best[name])
        self.best = {}

    def _best_file(self) -> str:
        return f"best-{self.rank}.safetensors"


def _trained(model: nn.Module) -> dict[str, Tensor]:
    """This process's part of every weight that is trained."""
    found = {}
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            part = weight.detach()
            found[name] = part.to_local() if hasattr(part, "to_local") else part
    return found


def _place(weights: dict[str, Tensor]) -> str | None:
    """Where to keep a copy: beside the weights (None) where that costs little, else the CPU."""
    first = next(iter(weights.values()))
    if first.device.type != "cuda":
        return None
    size = sum(w.numel() * w.element_size() for w in weights.values())
    total = torch.cuda.get_device_properties(first.device).total_memory
    return None if size <= _SHARE_OF_DEVICE * total else "cpu"
