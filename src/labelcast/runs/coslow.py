"""CoS-Low of a run or a file: its labelled examples, and where a run saves the result."""

from __future__ import annotations

import hashlib
import io
import warnings

import numpy as np

from labelcast.errors import InputError, LabelcastWarning
from labelcast.files.json_files import write_json, write_with
from labelcast.models.choices import threads
from labelcast.models.coslow import CosLow
from labelcast.models.loading import AnyModel, LanguageModel
from labelcast.runs.label_store import labelled_examples
from labelcast.runs.run import PATIENCE, Run
from labelcast.tasks.prompts import Example, examples
from labelcast.tasks.sources import open_source
from labelcast.tasks.task import Task


def check_model(run: Run, lm: AnyModel) -> None:
    """Raise InputError for a model other than the one that scored the run's pool."""
    if lm.identity.fingerprint != run.model.fingerprint:
        raise InputError(
            f"{run.path}: its pool was scored with model {run.model.name}, which is not "
            f"{lm.name}. Give --model {run.model.name}."
        )


def run_examples(run: Run, lm: LanguageModel) -> list[Example]:
    """The labelled low-confidence examples of a run; refuses another model, or too few labels."""
    check_model(run, lm)
    return labelled_examples(run, "low", lm.render)


def file_examples(spec: str, task: str | None, lm: LanguageModel) -> list[Example]:
    """The labelled examples of a file.

    Raises InputError also where two records with different content have the same `id`.
    """
    resolved = None if task is None else Task.load(task)
    found = list(examples(open_source(spec), resolved, lm.render, need_answer=True))
    places: dict[str, str] = {}
    for example in found:
        first = places.setdefault(example.id, example.where)
        if first != example.where and example.id != example.content:
            raise InputError(
                f"{example.where}: the id {example.id!r} is also that of {first}. Make the ids "
                "different, or drop the field."
            )
    duplicates = len(found) - len(places)
    if duplicates:
        warnings.warn(
            f"{spec}: {duplicates} examples are duplicates. Their gradients are equal, which "
            "raises CoS-Low. Remove the duplicates.",
            LabelcastWarning,
            stacklevel=2,
        )
    return found


def save(run: Run, result: CosLow, *, labels: str | None = None) -> None:
    """Save a result in a run: `coslow.json`, and the cosines [N,N] in `gram.npy`.

    `labels` is the digest of the labels it was measured on; None takes the current labels.
    """
    buffer = io.BytesIO()
    np.save(buffer, result.cosines, allow_pickle=False)
    gram = buffer.getvalue()
    with run.locked(wait=PATIENCE):  # minutes of work are not lost to a label that is saved
        write_with(run.file("gram.npy"), lambda part: part.write_bytes(gram))
        write_json(run.file("coslow.json"), result.to_dict())
        run.finish(
            "coslow",
            method=result.method,
            rank=result.rank,
            seed=result.seed,
            seeds=len(result.per_seed),
            labels=labels or run.labels_digest("low"),
            batch_size=result.batch_size,
            threads=threads(),
            gram=hashlib.sha256(gram).hexdigest()[:16],
            seconds=result.seconds,
        )
