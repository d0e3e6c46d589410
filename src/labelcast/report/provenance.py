"""Where a run's forecast comes from: task, pool, model, steps and versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from labelcast.report.formatting import Shown, shorten
from labelcast.runs.records import TunedScore
from labelcast.runs.run import Run

LONG, SHORT = 2000, 200
_SETTINGS = {
    "score": ("dtype", "device", "batch_size", "n_label", "seed", "max_new_tokens"),
    "coslow": ("method", "rank", "seed", "batch_size", "labels"),
    "forecast": ("calibration",),
}
"""The steps in order, and what the report shows of their manifests."""


@dataclass(frozen=True)
class Fact:
    """A name and its value."""

    name: str
    value: Shown


@dataclass(frozen=True)
class FinishedStep:
    """A finished step: when, how long in seconds (None if unknown), with which settings."""

    name: str
    finished: str
    seconds: float | None
    settings: Shown
    versions: Shown


@dataclass(frozen=True)
class Provenance:
    """Where a forecast comes from."""

    task: tuple[Fact, ...]
    pool: tuple[Fact, ...]
    model: tuple[Fact, ...]
    steps: tuple[FinishedStep, ...]
    tuned: tuple[TunedScore, ...]
    same_versions: bool


def read_provenance(run: Run) -> Provenance:
    """What a run's files record about how they were made.

    Raises:
        InputError: a manifest is damaged.
    """
    steps = tuple(_step(run, name) for name in _SETTINGS if run.is_done(name))
    question, facts, model = run.question, run.facts, run.model
    pool = {
        "Pool": facts.pool,
        "Examples": facts.size or None,
        "Hash of the pool": question.pool_digest,
    }
    of_model = {
        "Model": model.name,
        "Hub id": model.hub_id,
        "Fingerprint of config and tokenizer": model.fingerprint,
        "Precision": question.dtype,
        "Device": facts.device,
    }
    return Provenance(
        task=_task_facts(run),
        pool=_facts(pool),
        model=_facts(of_model),
        steps=steps,
        tuned=tuple(run.tuned_scores()),
        same_versions=len({step.versions for step in steps}) <= 1,
    )


def _task_facts(run: Run) -> tuple[Fact, ...]:
    task = run.task
    if task is None:
        return _facts({"Task": "none: the pool's prompts were already rendered"})
    ceiling = task.ceiling
    return _facts(
        {
            "Task": task.name,
            "Instruction": task.instruction.strip(),
            "Input fields": ", ".join(item.field for item in task.inputs),
            "Answer field": task.answer,
            "Allowed answers": ", ".join(task.answers) or "any text",
            "Metric": task.metric,
            "Ceiling": f"{ceiling.score:g} ({ceiling.source or 'no source'})" if ceiling else None,
        }
    )


def _facts(known: Mapping[str, str | int | None]) -> tuple[Fact, ...]:
    return tuple(
        Fact(name, shorten(str(value), LONG))
        for name, value in known.items()
        if value not in (None, "")
    )


def _step(run: Run, name: str) -> FinishedStep:
    manifest = run.manifest(name)
    values = manifest.to_dict()
    settings = [f"{key} {values[key]}" for key in _SETTINGS[name] if key in values]
    versions = [f"{package} {version}" for package, version in manifest.versions.items()]
    return FinishedStep(
        name=name,
        finished=manifest.finished,
        seconds=manifest.seconds,
        settings=shorten(", ".join(settings), SHORT),
        versions=shorten(", ".join(versions), SHORT),
    )
