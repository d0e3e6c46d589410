"""One of the processes that train a model together; `processes` starts them."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors.torch import save_file

from labelcast.errors import LabelcastError
from labelcast.files.json_files import write_with
from labelcast.models.choices import Choice
from labelcast.models.loading import LanguageModel, load_model
from labelcast.training.backend import Fit
from labelcast.training.checkpoints import reshard
from labelcast.training.finetune import CausalBackend
from labelcast.training.memory import outline
from labelcast.training.processes import LOG, STEP, WANTED, WEIGHTS, Training


def main(folder: Path) -> None:
    """Run in each process: train as described in a folder, and write the weights there."""
    # Thousands of long labels are more than `read_json` takes.
    wanted = TypeAdapter(Training).validate_json((folder / WANTED).read_bytes())
    first = os.environ.get("RANK", "0") == "0"
    progress = _print_step if first else lambda step, steps, loss: None
    fit = Fit(wanted.labels, wanted.recipe, wanted.seed, wanted.placement, folder, progress)
    trained = CausalBackend().train(_load(wanted, first), fit)
    weights = full_weights(trained.lm.model, keep=first)
    if first:
        write_with(folder / WEIGHTS, lambda part: save_file(weights, part))
        trained.log.write(folder / LOG)
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def _load(wanted: Training, first: bool) -> LanguageModel:
    """The model on the CPU; with FSDP the other processes get the weights from the first one."""
    if first or "ACCELERATE_USE_CPU" in os.environ:
        return load_model(wanted.model, device="cpu", dtype=wanted.dtype)
    return hollow(outline(wanted.model, Choice("cpu", "moved by the trainer"), wanted.dtype))


def hollow(lm: LanguageModel) -> LanguageModel:
    """An outline with weights on the CPU that were never written, so they take no memory.

    accelerate recognises the weights of an optimizer by their addresses, and ``meta`` has none.
    """
    lm.model._apply(lambda w: torch.empty_like(w, device="cpu") if w.is_meta else w)
    lm.model.tie_weights()
    return lm


def full_weights(model: Any, *, keep: bool = True) -> dict[str, torch.Tensor]:
    """Every trained weight on the CPU, assembled from the parts of all processes.

    All processes take part; those without `keep` get nothing.
    """
    reshard(model)
    found = {}
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            part = weight.detach()
            full = part.full_tensor() if hasattr(part, "full_tensor") else part
            if keep:
                found[name] = full.cpu().contiguous()
    return found


def _print_step(step: int, steps: int, loss: float | None) -> None:
    sys.stdout.write(STEP + json.dumps([step, steps, loss]) + "\n")
    sys.stdout.flush()


def _end_with_launcher() -> None:
    """End this process when the one that waits for the training is gone, also while it loads."""
    os.read(0, 1)  # a buffered stream would be locked at the end of this process
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_launcher, daemon=True).start()
    try:
        main(Path(sys.argv[1]))
    except LabelcastError as error:
        sys.exit(f"{type(error).__name__}: {error}")
