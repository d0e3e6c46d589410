"""CoS-Low of a run or of a file: which examples, which model, and where the result is kept."""

from __future__ import annotations

import hashlib
import io
import warnings
from typing import Any

import numpy as np

from labelcast.errors import InputError, LabelcastWarning
from labelcast.files.json_files import write_json, write_with
from labelcast.labels.store import labelled_examples
from labelcast.models.choices import threads
from labelcast.models.coslow import CosLow
from labelcast.models.loading import LanguageModel
from labelcast.runs.run import Run
from labelcast.tasks.prompts import Example, examples
from labelcast.tasks.sources import open_source
from labelcast.tasks.task import Task


def run_model(run: Run) -> str:
    """What the user called the model of a run."""
    return str(run.model["name"])


def run_examples(run: Run, lm: LanguageModel) -> list[Example]:
    """The labelled low-confidence examples of a run.

    Raises:
        InputError: too few are labelled, or the model is not the one that scored the pool.
    """
    before = run.model
    if lm.identity.fingerprint != before["fingerprint"]:
        raise InputError(
            f"{run.path}: its pool was scored with model {before['name']}, which is not "
            f"{lm.name}. CoS-Low must come from the same model: give --model {before['name']}."
        )
    return labelled_examples(run, "low", lm.render)


def file_examples(spec: str, task: str | None, lm: LanguageModel) -> list[Example]:
    """The labelled examples of a file.

    Raises:
        InputError: a record is broken, lacks an answer, has one that is not allowed, or has an
            `id` that stood before.
    """
    resolved = None if task is None else Task.load(task)
    found = list(examples(open_source(spec), resolved, lm.render, need_answer=True))
    places: dict[str, str] = {}
    doubles = 0
    for example in found:
        first = places.setdefault(example.id, example.where)
        if first != example.where and example.id != example.content:
            raise InputError(
                f"{example.where}: has the id {example.id!r}, as {first} has. Make the ids "
                "different, or drop the field."
            )
        doubles += first != example.where
    if doubles:
        warnings.warn(
            f"examples that stand in {spec} twice: {doubles}. Their gradients are alike, which "
            "raises CoS-Low. Drop the doubles.",
            LabelcastWarning,
            stacklevel=2,
        )
    return found


def save(run: Run, result: CosLow, *, labels: str | None = None) -> None:
    """Keep a result in a run: `coslow.json`, and the cosines [N,N] in `gram.npy`.

    Args:
        run: the run.
        result: measured on its labelled low-confidence examples.
        labels: digest of the labels it was measured on, where they may have changed meanwhile;
            None takes the labels as they are now.

    Raises:
        RunError: the folder cannot be written.
    """
    buffer = io.BytesIO()
    np.save(buffer, result.cosines, allow_pickle=False)
    with run.locked():
        write_with(run.file("gram.npy"), lambda part: _write(part, buffer))
        write_json(run.file("coslow.json"), result.to_dict())
        facts: dict[str, Any] = {"method": result.method, "rank": result.rank, "seed": result.seed}
        facts |= {"labels": labels or run.labels_digest("low"), "batch_size": result.batch_size}
        facts |= {"threads": threads(), "gram": hashlib.sha256(buffer.getvalue()).hexdigest()[:16]}
        run.finish("coslow", **facts, seconds=result.seconds)


def _write(path: Any, buffer: io.BytesIO) -> None:
    path.write_bytes(buffer.getvalue())
