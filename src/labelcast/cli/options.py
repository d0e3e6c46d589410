"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

_MODEL = "smollm2 or minilm (embedded), a hub id OWNER/NAME, a folder, or a .gguf file."
_OWN_MODEL = "The model.  [default: the run's own]"
_OWN_MODEL_OR_FILE = "The model.  [default: the run's own; smollm2 for a file]"
_DEVICE = (
    "auto, cpu, cuda, cuda:1, ...; for score and coslow also spread: over all GPUs, and the CPU's "
    "memory if they are full."
)

DATA_FORMATS = (
    "JSONL, JSON, CSV, TSV, Parquet, Arrow or Excel, a folder of save_to_disk, - (standard input)"
)

RunFolder = Annotated[Path, Argument(help="The run folder.")]
Json = Annotated[bool, Option("--json", help="Print one JSON object and nothing else.")]
Model = Annotated[str, Option("--model", "-m", help=_MODEL)]
OwnModel = Annotated[str | None, Option("--model", "-m", help=_OWN_MODEL)]
OwnModelOrFile = Annotated[str | None, Option("--model", "-m", help=_OWN_MODEL_OR_FILE)]
Recipe = Annotated[str, Option(help="full, LoRA, linear, setfit, t-few, or a YAML file.")]
DryRun = Annotated[bool, Option("--dry-run", help="Estimate the time from a few passes, and stop.")]
Device = Annotated[str, Option(help=_DEVICE)]
Dtype = Annotated[str, Option(help="auto, float32, bfloat16 or float16.")]
BatchSize = Annotated[
    int | None, Option(help="Examples per batch.  [default: chosen for the device]")
]
ReportTo = Annotated[
    str | None,
    Option(
        help="Report the losses to trackers, separated by commas: trackio, wandb, mlflow, "
        "tensorboard."
    ),
]
TaskFile = Annotated[
    str | None, Option("--task", "-t", help="A task file, or the name of a task in the catalogue.")
]
