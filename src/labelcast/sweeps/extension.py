"""Extend a sweep by a rerun with more tasks, budgets, seeds, selectors or stages."""

from __future__ import annotations

import warnings
from pathlib import Path

from labelcast.errors import InputError, LabelcastWarning
from labelcast.runs.records import RANDOM
from labelcast.sweeps.records import SweepFile, TaskEntry


def extended(before: SweepFile, now: SweepFile, folder: Path) -> SweepFile:
    """The `sweep.json` of a folder after a rerun.

    Args:
        before: the file as it is.
        now: what the rerun asks for.
        folder: folder of the sweep, for messages.

    Raises:
        InputError: the rerun has another model, recipe, task, test set, target set, `group_by` or
            stage labels, so that its scores cannot be compared with those in the folder.
    """
    was = _shared(before)
    for name, (words, value) in _shared(now).items():
        if was[name][1] != value:
            raise InputError(
                f"{folder}: holds a sweep with another {name} ({was[name][0]}; now {words}). "
                f"Choose another --out{_same_model(before, now) if name == 'model' else ''}."
            )
    # `group_by` changes what some selectors choose, so it cannot follow selected labels.
    random_only = before.selectors == [RANDOM]
    tasks = {}
    for name, entry in now.tasks.items():
        known = before.tasks.get(name, entry)
        if other := _difference(known, entry, random_only=random_only):
            raise InputError(
                f"{folder}: holds scores of {name} with another {other}. Scores of the two cannot "
                "be compared: choose another --out."
            )
        if known.train_digest not in (None, entry.train_digest):
            warnings.warn(
                f"{folder}: the examples of {name} to train on have changed since its scores were "
                "measured, and a curve of old and new scores mixes both. For a curve of the new "
                "ones, choose another --out.",
                LabelcastWarning,
                stacklevel=2,
            )
        first = {"train_digest": known.train_digest or entry.train_digest}
        tasks[name] = _with_target_of(known, entry.model_copy(update=first))
    for name, stage in now.stage_tasks.items():
        stage_before = before.stage_tasks.get(name, stage)
        if (stage_before.labels_digest, stage_before.task.without_note()) != (
            stage.labels_digest,
            stage.task.without_note(),
        ):
            raise InputError(
                f"{folder}: holds a sweep with another task file or other labels of the stage "
                f"{name}. Choose another --out."
            )
    added = {
        "model": now.model,  # its folder may have moved
        "tasks": before.tasks | tasks,
        "budgets": sorted({*before.budgets, *now.budgets}),
        "seeds": sorted({*before.seeds, *now.seeds}),
        "selectors": [*dict.fromkeys([*before.selectors, *now.selectors])],
        "after_labelling": [*dict.fromkeys([*before.after_labelling, *now.after_labelling])],
        "stages": [*dict.fromkeys([*before.stages, *now.stages])],
        "stage_tasks": before.stage_tasks | now.stage_tasks,
    }
    return before.model_copy(update=added)


def _same_model(before: SweepFile, now: SweepFile) -> str:
    if before.model.fingerprint != now.model.fingerprint:
        return ""
    return f", or give the same model under its last name, {before.model.key[0]}"


def _difference(known: TaskEntry, entry: TaskEntry, *, random_only: bool) -> str:
    """What makes the scores of a task incomparable, in words; empty if nothing does."""
    if known.task.without_note() != entry.task.without_note():
        return "task file"
    if known.test_digest != entry.test_digest:
        return "test set"
    if known.group_by != entry.group_by and (known.group_by or not random_only):
        return "--group-by"
    if entry.target_digest is not None and known.target_digest not in (None, entry.target_digest):
        return "target set"
    return ""


def _with_target_of(known: TaskEntry, entry: TaskEntry) -> TaskEntry:
    """The task with the earlier target set, if the rerun gives none."""
    if entry.target_digest is not None:
        return entry
    target = {"target": known.target, "target_digest": known.target_digest}
    return entry.model_copy(update=target)


def _shared(content: SweepFile) -> dict[str, tuple[object, object]]:
    """What all jobs of a sweep share: its text in messages, and the value that is compared."""
    return {
        "model": (content.model.name, content.model.key),
        "recipe": (content.recipe.name, content.recipe_digest),
        "test size": (content.test_size, content.test_size),
        "answer length": (content.max_new_tokens, content.max_new_tokens),
    }
