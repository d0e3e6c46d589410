"""Experiment trackers that a training reports its losses to, through transformers' trainer."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from labelcast.errors import InputError

PACKAGES = {
    "trackio": ("trackio",),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
    "tensorboard": ("tensorboard", "tensorboardX"),
}
"""The packages of each tracker; one of them must be installed."""
_PROJECT = "labelcast"
# A user's own setting has priority.
_PROJECT_NAMES = ("WANDB_PROJECT", "MLFLOW_EXPERIMENT_NAME")


@dataclass(frozen=True)
class Reports:
    """Where a training is reported: the trackers, the name of the run there, a folder for files."""

    to: tuple[str, ...] = ()
    name: str = ""
    folder: str = ""


def trackers(text: str | None) -> tuple[str, ...]:
    """The trackers in a list such as ``trackio,wandb``.

    Raises:
        InputError: an unknown tracker, or one whose package is not installed.
    """
    names = tuple(dict.fromkeys(name.strip() for name in (text or "").split(",") if name.strip()))
    for name in names:
        if name not in PACKAGES:
            raise InputError(f"--report-to {name}: choose from {', '.join(PACKAGES)}.")
        if not any(map(find_spec, PACKAGES[name])):
            raise InputError(
                f"--report-to {name}: it is not installed (pip install {PACKAGES[name][0]})."
            )
    return names


@contextmanager
def reported(trainer: Any, reports: Reports) -> Iterator[None]:
    """Report what a trainer logs while it trains; what trackers print goes to standard error."""
    if not reports.to:
        yield
        return
    from transformers.integrations import get_reporting_integration_callbacks

    trainer.args.run_name = reports.name or None
    trainer.args.project = _PROJECT
    for name in _PROJECT_NAMES:
        os.environ.setdefault(name, _PROJECT)
    with redirect_stdout(sys.stderr):
        for kind in get_reporting_integration_callbacks(list(reports.to)):
            callback = kind()
            if hasattr(callback, "logging_dir") and reports.folder:
                callback.logging_dir = callback.logging_dir or reports.folder
            trainer.add_callback(callback)
        try:
            yield
        finally:
            if "wandb" in reports.to:  # else the next training would continue this run
                import_module("wandb").finish()
