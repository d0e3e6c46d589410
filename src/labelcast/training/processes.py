"""Training in several processes, one per GPU, started by `accelerate launch`.

With the settings in `fsdp.yaml` the processes share weights, gradients and optimizer. The tuned
weights come back as one safetensors file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from labelcast.errors import LabelcastError, RunError
from labelcast.files.json_files import disk_faults, read_json, write_json, write_with
from labelcast.models.choices import choose_device
from labelcast.models.loading import LanguageModel
from labelcast.tasks.prompts import Example
from labelcast.training import finetune
from labelcast.training.backend import FineTuned, OnStep, Placement
from labelcast.training.checkpoints import TrainingLog
from labelcast.training.recipe import Recipe
from labelcast.training.splits import Budget
from labelcast.training.trainer import with_adapters

CONFIG = Path(__file__).with_name("fsdp.yaml")
_STEP = "labelcast-step "
_WHAT, _WEIGHTS, _FACTS, _LOG = "processes.json", "tuned.safetensors", "tuned.json", "launch.log"


def fit_in_processes(
    lm: LanguageModel,
    labels: Budget,
    recipe: Recipe,
    seed: int,
    placement: Placement,
    folder: Path | None,
    progress: OnStep,
) -> FineTuned:
    """Train in several processes and load the tuned weights into `lm`.

    Raises:
        RunError: a process failed; gives its last error. ``FOLDER/launch.log`` has all output.
    """
    with _folder(folder) as work:
        what = {
            "model": lm.name,
            "recipe": recipe.model_dump(mode="json"),
            "seed": seed,
            "placement": asdict(placement),
            "train": [asdict(example) for example in labels.train],
            "validation": [asdict(example) for example in labels.validation],
        }
        write_json(work / _WHAT, what)
        with (work / _LOG).open("w") as log:
            process = subprocess.Popen(
                command(placement, work),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(placement),
            )
            assert process.stdout is not None
            with process.stdout:
                try:
                    for line in process.stdout:
                        if line.startswith(_STEP):
                            progress(*json.loads(line.removeprefix(_STEP)))
                    status = process.wait()
                except BaseException:
                    process.terminate()
                    process.wait()
                    raise
        if status:
            raise RunError(
                f"training in {placement.processes} processes failed: {_last_fault(work / _LOG)}"
            )
        return _load_tuned(lm, recipe, work)


def command(placement: Placement, folder: Path) -> list[str]:
    """The command line that trains what is described in a folder."""
    return [
        *(sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(CONFIG)),
        *("--num_processes", str(placement.processes), "--main_process_port", "0"),
        *("-m", "labelcast.training.processes", str(folder)),
    ]


def environment(placement: Placement) -> dict[str, str]:
    """The environment of the processes: this package on the path, and whether there are GPUs.

    FSDP is not for CPUs, where each process holds the complete model (gloo).
    """
    package = str(Path(__file__).parents[2])
    paths = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    cpu = not choose_device(placement.device).value.startswith("cuda")
    return os.environ | {"PYTHONPATH": paths} | ({"ACCELERATE_USE_CPU": "true"} if cpu else {})


@contextmanager
def _folder(folder: Path | None) -> Iterator[Path]:
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="labelcast-") as made:
            yield Path(made)
    else:
        with disk_faults(folder):
            folder.mkdir(parents=True, exist_ok=True)
        yield folder


def _last_fault(log: Path) -> str:
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines()]
    faults = [line for line in lines if "Error: " in line and "ChildFailed" not in line]
    return (faults or lines or ["it printed nothing"])[-1][:400]


def _load_tuned(lm: LanguageModel, recipe: Recipe, folder: Path) -> FineTuned:
    from safetensors.torch import load_file

    facts = read_json(folder / _FACTS)
    model = with_adapters(lm, recipe)
    unknown = model.load_state_dict(load_file(folder / _WEIGHTS), strict=False).unexpected_keys
    assert not unknown, unknown[:3]
    log = TrainingLog.from_dict(facts["log"])
    trained = finetune.Trained(model, log, facts["peak_bytes"], facts["dropped"])
    return finetune.finished(trained, replace(lm, model=finetune.merged(model)))


def main(folder: Path) -> None:
    """Run in each process: train what is described in a folder, and write the weights there."""
    what = read_json(folder / _WHAT)
    placement, recipe = Placement(**what["placement"]), Recipe.model_validate(what["recipe"])
    lm = finetune.CausalBackend().load(what["model"], recipe, placement)
    first = os.environ.get("RANK", "0") == "0"
    trained = finetune.train_model(
        lm,
        [Example(**row) for row in what["train"]],
        [Example(**row) for row in what["validation"]],
        recipe,
        seed=what["seed"],
        folder=folder,
        progress=_print_step if first else lambda step, steps, loss: None,
        checkpoint_seconds=300.0,
        bf16=None if placement.dtype == "auto" else False,
        device=choose_device(placement.device).value,
    )
    weights = full_weights(trained.model)
    if first:
        _write(folder, trained, weights)
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def full_weights(model: Any) -> dict[str, torch.Tensor]:
    """Every trained weight on the CPU, put together from the parts of all processes."""
    found = {}
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            part = weight.detach()
            full = part.full_tensor() if hasattr(part, "full_tensor") else part
            found[name] = full.cpu().contiguous()
    return found


def _write(folder: Path, trained: finetune.Trained, weights: dict[str, torch.Tensor]) -> None:
    from safetensors.torch import save_file

    write_with(folder / _WEIGHTS, lambda part: save_file(weights, part))
    facts = {
        "log": asdict(trained.log),
        "peak_bytes": trained.peak_bytes,
        "dropped": trained.dropped,
    }
    write_json(folder / _FACTS, facts)


def _print_step(step: int, steps: int, loss: float | None) -> None:
    sys.stdout.write(_STEP + json.dumps([step, steps, loss]) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except LabelcastError as error:
        sys.exit(f"{type(error).__name__}: {error}")
