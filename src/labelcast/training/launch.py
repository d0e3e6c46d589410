"""Training in several processes, one a GPU: what launches them, and what each of them runs.

`accelerate launch` starts them on one job, with the settings in `fsdp.yaml`: they hold weights,
gradients and optimizer in parts. The tuned weights come back as one safetensors file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from labelcast.errors import LabelcastError, RunError
from labelcast.files.json_files import disk_faults, read_json, write_json, write_with
from labelcast.models.choices import choose_device
from labelcast.models.loading import LanguageModel, load_model
from labelcast.sweeps.job import Job
from labelcast.sweeps.job_data import read_examples, split
from labelcast.training import finetune
from labelcast.training.checkpoints import Course, drop_damaged
from labelcast.training.fit_and_score import training_dtype
from labelcast.training.trainer import with_adapters

CONFIG = Path(__file__).with_name("fsdp.yaml")
_STEP = "labelcast-step "
_WEIGHTS, _COURSE, _LOG = "tuned.safetensors", "tuned.json", "launch.log"


def command(job: Job, file: Path) -> list[str]:
    """The command line that trains the job in `file`."""
    return [
        *(sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(CONFIG)),
        *("--num_processes", str(job.processes), "--main_process_port", "0"),
        *("-m", "labelcast.training.launch", str(file)),
    ]


def environment(job: Job) -> dict[str, str]:
    """The environment of the processes: this package on the path, and whether there are GPUs.

    On a CPU, which FSDP is not for, each process holds the whole model (gloo).
    """
    package = str(Path(__file__).parents[2])
    paths = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    cpu = not choose_device(job.device).value.startswith("cuda")
    return os.environ | {"PYTHONPATH": paths} | ({"ACCELERATE_USE_CPU": "true"} if cpu else {})


def tune_by_many(
    job: Job, lm: LanguageModel, folder: Path, progress: finetune.OnStep
) -> finetune.FineTuned:
    """Launch a job's training and take up its weights into `lm`.

    Raises:
        RunError: a process failed; says what it said last. The whole is in ``FOLDER/launch.log``.
    """
    with disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
    drop_damaged(folder)
    file = folder / "job.json"
    write_json(file, job.to_dict() | {"folder": str(folder)})
    with (folder / _LOG).open("w") as log:
        process = subprocess.Popen(
            command(job, file),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment(job),
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
            f"training in {job.processes} processes failed: {_last_fault(folder / _LOG)}"
        )
    return _take_up(job, lm, folder)


def _last_fault(log: Path) -> str:
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines()]
    faults = [line for line in lines if "Error: " in line and "ChildFailed" not in line]
    return (faults or lines or ["it said nothing"])[-1][:400]


def _take_up(job: Job, lm: LanguageModel, folder: Path) -> finetune.FineTuned:
    from safetensors.torch import load_file

    facts = read_json(folder / _COURSE)
    facts["course"]["losses"] = [(int(s), float(v)) for s, v in facts["course"]["losses"]]
    model = with_adapters(lm, job.recipe)
    unknown = model.load_state_dict(load_file(folder / _WEIGHTS), strict=False).unexpected_keys
    assert not unknown, unknown[:3]
    course = Course(**facts["course"])
    trained = finetune.Trained(model, course, facts["peak_bytes"], facts["dropped"])
    return finetune.finished(trained, replace(lm, model=finetune.merged(model)))


def main(file: str) -> None:
    """What each process runs: train the job in a file, and write the weights beside it."""
    job = Job.from_dict(read_json(Path(file)))
    assert job.folder is not None
    folder = Path(job.folder)
    device = choose_device(job.device).value
    lm = load_model(job.model, device="cpu", dtype=training_dtype(job.recipe, device, job.dtype))
    splits = split(job, lambda spec: read_examples(job, spec, lm))
    labels = splits.budget(job.budget, job.recipe.validation_share)
    first = os.environ.get("RANK", "0") == "0"
    trained = finetune.train_model(
        lm,
        labels.train,
        labels.validation,
        job.recipe,
        seed=job.seed,
        folder=folder,
        progress=_say if first else lambda step, steps, loss: None,
        checkpoint_seconds=300.0,
        bf16=None if job.dtype == "auto" else False,
        device=device,
    )
    weights = whole_weights(trained.model)
    if first:
        _write(folder, trained, weights)
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def whole_weights(model: Any) -> dict[str, torch.Tensor]:
    """Every trained weight on the CPU, put together from the parts of all processes."""
    found = {}
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            part = weight.detach()
            whole = part.full_tensor() if hasattr(part, "full_tensor") else part
            found[name] = whole.cpu().contiguous()
    return found


def _write(folder: Path, trained: finetune.Trained, weights: dict[str, torch.Tensor]) -> None:
    from safetensors.torch import save_file

    write_with(folder / _WEIGHTS, lambda part: save_file(weights, part))
    facts = {
        "course": asdict(trained.course),
        "peak_bytes": trained.peak_bytes,
        "dropped": trained.dropped,
    }
    write_json(folder / _COURSE, facts)


def _say(step: int, steps: int, loss: float | None) -> None:
    sys.stdout.write(_STEP + json.dumps([step, steps, loss]) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except LabelcastError as error:
        sys.exit(f"{type(error).__name__}: {error}")
