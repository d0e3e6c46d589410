"""One of the processes that train a model together; `processes` starts them."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors.torch import save_file

from labelcast.errors import LabelcastError
from labelcast.files.json_files import read_json, write_json, write_with
from labelcast.training.finetune import CausalBackend
from labelcast.training.processes import LOG, STEP, WANTED, WEIGHTS, Training


def main(folder: Path) -> None:
    """Run in each process: train as described in a folder, and write the weights there."""
    wanted = TypeAdapter(Training).validate_python(read_json(folder / WANTED))
    backend = CausalBackend()
    first = os.environ.get("RANK", "0") == "0"
    trained = backend.train(
        backend.load(wanted.model, wanted.recipe, wanted.placement),
        wanted.labels,
        wanted.recipe,
        wanted.seed,
        wanted.placement,
        folder,
        _print_step if first else lambda step, steps, loss: None,
    )
    weights = full_weights(trained.lm.model)
    if first:
        write_with(folder / WEIGHTS, lambda part: save_file(weights, part))
        write_json(folder / LOG, asdict(trained.log))
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def full_weights(model: Any) -> dict[str, torch.Tensor]:
    """Every trained weight on the CPU, assembled from the parts of all processes."""
    found = {}
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            part = weight.detach()
            full = part.full_tensor() if hasattr(part, "full_tensor") else part
            found[name] = full.cpu().contiguous()
    return found


def _print_step(step: int, steps: int, loss: float | None) -> None:
    sys.stdout.write(STEP + json.dumps([step, steps, loss]) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except LabelcastError as error:
        sys.exit(f"{type(error).__name__}: {error}")
