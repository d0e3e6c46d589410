"""Where the answer comes from: task, pool, model, steps, versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labelcast.report.formatting import Shown, seconds_of, shorten
from labelcast.runs.forecast import observed_rows
from labelcast.runs.run import Run

LONG, SHORT = 2000, 200
_ORDER = ("score", "coslow", "forecast")
_SETTINGS = {
    "score": ("dtype", "device", "batch_size", "n_label", "seed", "max_new_tokens"),
    "coslow": ("method", "rank", "seed", "batch_size", "labels"),
    "forecast": ("calibration",),
}


@dataclass(frozen=True)
class Fact:
    """A name and what is known under it."""

    name: str
    value: Shown


@dataclass(frozen=True)
class FinishedStep:
    """A finished step: when, how long (seconds, None where unknown), with which settings."""

    name: str
    finished: str
    seconds: float | None
    settings: Shown
    versions: Shown


@dataclass(frozen=True)
class TunedRun:
    """A score that `labelcast tune` measured in the run."""

    budget: int
    score: float
    metric: str
    test_size: int
    recipe: Shown
    seed: str
    seconds: float | None


@dataclass(frozen=True)
class Provenance:
    """Where an answer comes from."""

    task: tuple[Fact, ...]
    pool: tuple[Fact, ...]
    model: tuple[Fact, ...]
    steps: tuple[FinishedStep, ...]
    tuned: tuple[TunedRun, ...]
    same_versions: bool


def read_provenance(run: Run) -> Provenance:
    """What a run's files say of their own making.

    Raises:
        InputError: a manifest is damaged.
    """
    steps = tuple(_step(run, name) for name in _ORDER if run.is_done(name))
    return Provenance(
        task=_task_facts(run),
        pool=_facts(
            {
                "Pool": run.facts.get("pool"),
                "Examples": run.facts.get("size"),
                "Hash of the pool": run.question.get("pool_digest"),
            }
        ),
        model=_facts(
            {
                "Model": run.model["name"],
                "Hub id": run.model["hub_id"],
                "Fingerprint of config and tokenizer": run.model["fingerprint"],
                "Precision": run.question.get("dtype"),
                "Device": run.facts.get("device"),
            }
        ),
        steps=steps,
        tuned=tuple(_tuned(row) for row in observed_rows(run)),
        same_versions=len({step.versions for step in steps}) <= 1,
    )


def _task_facts(run: Run) -> tuple[Fact, ...]:
    task = run.task
    if task is None:
        return _facts({"Task": "none: the pool's prompts were rendered already"})
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


def _facts(known: Mapping[str, Any]) -> tuple[Fact, ...]:
    return tuple(
        Fact(name, shorten(str(value), LONG))
        for name, value in known.items()
        if value not in (None, "")
    )


def _step(run: Run, name: str) -> FinishedStep:
    manifest = run.manifest(name)
    versions = manifest.get("versions")
    settings = [f"{key} {manifest[key]}" for key in _SETTINGS[name] if key in manifest]
    known = versions.items() if isinstance(versions, dict) else ()
    return FinishedStep(
        name=name,
        finished=str(manifest.get("finished", "")),
        seconds=seconds_of(manifest.get("seconds")),
        settings=shorten(", ".join(settings), SHORT),
        versions=shorten(", ".join(f"{key} {value}" for key, value in known), SHORT),
    )


def _tuned(row: Mapping[str, Any]) -> TunedRun:
    return TunedRun(
        budget=int(row["budget"]),
        score=float(row["score"]),
        metric=str(row.get("metric", "")),
        test_size=int(row["test_size"]),
        recipe=shorten(str(row["recipe"]), SHORT),
        seed=str(row.get("seed", "")),
        seconds=seconds_of(row.get("seconds")),
    )
