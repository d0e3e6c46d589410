"""Train in several processes, one per GPU, started by `accelerate launch`.

By `fsdp.yaml` the processes divide weights, gradients and optimizer. The tuned weights come back in
one safetensors file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter
from safetensors.torch import load_file

from labelcast.errors import NoMemoryError, RunError
from labelcast.files.json_files import write_json
from labelcast.models.choices import choose_device
from labelcast.models.loading import LanguageModel, load_model
from labelcast.training.backend import FineTuned, Fit, OnStep, Placement, TrainingLog
from labelcast.training.checkpoints import identity_of, prepare_folder
from labelcast.training.memory import fitting
from labelcast.training.recipe import Recipe
from labelcast.training.sequences import encode_labels
from labelcast.training.splits import Budget
from labelcast.training.trainer import micro_batch, with_adapters

CONFIG = Path(__file__).with_name("fsdp.yaml")
STEP = "labelcast-step "
WANTED, WEIGHTS, LOG, OUTPUT = "processes.json", "tuned.safetensors", "tuned.json", "launch.log"


@dataclass(frozen=True)
class Training:
    """What the processes are to do."""

    model: str
    dtype: str  # in which it is loaded
    recipe: Recipe
    seed: int
    placement: Placement
    labels: Budget


def train_in_processes(lm: LanguageModel, fit: Fit) -> FineTuned:
    """Train in several processes and load the tuned weights, without merging adapters.

    `lm` may be an `outline`. If memory runs out, the processes start again with half as many
    sequences at once, from the last checkpoint.

    Raises:
        RunError: a process failed, with its last error; ``FOLDER/launch.log`` has all output.
    """
    recipe, placement = fit.recipe, fit.placement
    parts = encode_labels(lm, fit.labels, recipe)
    dtype = str(lm.dtype.value).removeprefix("torch.")
    rows, halved = parts[0].rows + parts[1].rows, 0
    recipe = fitting(lm, rows, recipe, placement.processes, bf16=placement.in_bf16)
    fit = replace(fit, recipe=recipe)
    with tempfile.TemporaryDirectory(prefix="labelcast-") as temporary:
        work = fit.folder or Path(temporary)
        # Here, and not while other processes may already read the checkpoints.
        prepare_folder(work, identity_of(lm, fit, placement.processes))
        while True:
            wanted = Training(lm.name, dtype, recipe, fit.seed, placement, fit.labels)
            write_json(work / WANTED, TypeAdapter(Training).dump_python(wanted))
            fault = _launch(placement, work, fit.progress)
            if fault is None:
                break
            # The error of the process, as text.
            micro, _ = micro_batch(recipe, placement.processes)
            if NoMemoryError.__name__ not in fault or micro == 1:
                kind = NoMemoryError if NoMemoryError.__name__ in fault else RunError
                raise kind(f"training in {placement.processes} processes failed: {fault}")
            share = recipe.batch_size // placement.processes
            halved = next(n for n in range(micro // 2, 0, -1) if share % n == 0)
            recipe = recipe.model_copy(update={"micro_batch": halved})
        if lm.model.device.type == "meta":
            lm = load_model(lm.name, device="cpu", dtype=dtype)
        model = with_adapters(lm, recipe)
        weights = load_file(work / WEIGHTS)
        unknown = model.load_state_dict(weights, strict=False).unexpected_keys
        assert not unknown, unknown[:3]
        log = replace(TrainingLog.read(work / LOG), rows=halved)
        return FineTuned(replace(lm, model=model), log)


def _launch(placement: Placement, folder: Path, progress: OnStep) -> str | None:
    """Run the processes; the last error if they fail."""
    with (folder / OUTPUT).open("w") as log:
        process = subprocess.Popen(
            command(placement, folder),
            stdin=subprocess.PIPE,  # the processes end when it closes, however this one ends
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment(placement),
        )
        assert process.stdout is not None and process.stdin is not None
        with process.stdout, process.stdin:
            try:
                for line in process.stdout:
                    if line.startswith(STEP):
                        progress(*json.loads(line.removeprefix(STEP)))
                status = process.wait()
            except BaseException:
                process.terminate()
                process.wait()
                raise
    return _last_fault(folder / OUTPUT) if status else None


def command(placement: Placement, folder: Path) -> list[str]:
    """The command line that does the work described in a folder."""
    return [
        *(sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(CONFIG)),
        *("--num_processes", str(placement.processes), "--main_process_port", "0"),
        *("-m", "labelcast.training.rank", str(folder)),
    ]


def environment(placement: Placement) -> dict[str, str]:
    """The environment of the processes, with this package on the path.

    On CPUs FSDP is not available, so each process has the complete model (gloo).
    """
    package = str(Path(__file__).parents[2])
    paths = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    cpu = not choose_device(placement.device).value.startswith("cuda")
    return os.environ | {"PYTHONPATH": paths} | ({"ACCELERATE_USE_CPU": "true"} if cpu else {})


def _last_fault(log: Path) -> str:
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines()]
    faults = [line for line in lines if "Error: " in line and "ChildFailed" not in line]
    # When one process runs out of memory, the others lose their connection to it.
    full = [line for line in faults if NoMemoryError.__name__ in line]
    return (full or faults or lines or ["it printed nothing"])[-1][:400]
