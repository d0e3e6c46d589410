"""The first step of a run: score a pool and pick what to label."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from labelcast.errors import InputError, LabelcastWarning
from labelcast.execution.pool_engines import Engine, LocalEngine
from labelcast.files.json_files import disk_faults, write_jsonl
from labelcast.labels.store import DrawnExample, check_names, save_draws
from labelcast.models.choices import choose_batch, threads
from labelcast.models.confidence import MAX_NEW_TOKENS
from labelcast.models.loading import LanguageModel
from labelcast.runs.pool import Survey, fetch, pickable, read_column, score_pool, survey
from labelcast.runs.run import Run
from labelcast.selection.low_confidence import pick_low_confidence
from labelcast.tasks.prompts import flat_row
from labelcast.tasks.sources import Source
from labelcast.tasks.task import Task

TRANSFORMERS = "transformers"
"""What computed the values of a run that names nothing else."""


@dataclass(frozen=True)
class Scored:
    """A scored pool.

    Attributes:
        run: its run folder.
        size: examples in the pool.
        duplicates: examples that stood before them already (never picked).
        skipped: prompts that do not fit the context (never picked).
        picked: ids of the examples to label.
        mean_confidence: over the pool.
        reused: whether everything was there already.
    """

    run: Run
    size: int
    duplicates: int
    skipped: int
    picked: tuple[str, ...]
    mean_confidence: float
    reused: bool


def check_pool(source: Source, task: Task | None, n_label: int = 32) -> Survey:
    """Read a pool once, before any model is loaded, and say what is wrong with it.

    Raises:
        InputError: a broken record, two records with one id, fewer than `n_label` examples, or a
            field with a name that the run folder needs for itself.
    """
    check_names(task)
    found = survey(source, task)
    if found.duplicates:
        warnings.warn(
            f"{len(found.duplicates)} examples stand in the pool twice; each is labelled once.",
            LabelcastWarning,
            stacklevel=2,
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pick_low_confidence(np.zeros(found.size - len(found.duplicates)), n_label)
    return found


def score(
    source: Source,
    lm: LanguageModel,
    out: str | Path,
    *,
    task: Task | None = None,
    found: Survey | None = None,
    engine: Engine | None = None,
    n_label: int = 32,
    seed: int = 0,
    batch_size: int | None = None,
    max_new_tokens: int = MAX_NEW_TOKENS,
    progress: Callable[[int], None] = lambda done: None,
) -> Scored:
    """Score a pool into a run folder and pick the examples to label.

    The same call after a kill goes on where it was; after the end it changes nothing.

    Args:
        source: the pool.
        lm: the model; without its weights where `engine` runs it elsewhere.
        out: the run folder.
        task: how to read the records; None where they are already rendered.
        found: what `check_pool` found; None reads the pool for it.
        engine: what runs the model (`open_engine`); None runs `lm` in this process.
        n_label: how many to pick.
        seed: of the draw.
        batch_size: prompts run at once; None takes the run's own, else one for the device.
        max_new_tokens: where an answer is cut off.
        progress: called with the number of examples done.

    Raises:
        InputError: bad records, too small a pool, or a folder of another question.
        RunError: the folder cannot be written, or another process is at it.
    """
    begin = time.perf_counter()
    found = found or check_pool(source, task, n_label)
    if max_new_tokens < 1:
        raise InputError(f"--max-new-tokens {max_new_tokens}: must be at least 1.")
    if max_new_tokens >= lm.context:
        raise InputError(
            f"--max-new-tokens {max_new_tokens}: {lm.name} reads {lm.context} tokens at most, "
            "prompt and answer together; no prompt would fit."
        )
    if task is not None:
        lm.render(task.instruction.strip(), "text")  # a model without a template leaves no folder
    engine = engine or LocalEngine(lm)
    question: dict[str, Any] = {
        "task": None if task is None else task.model_dump(mode="json"),
        "pool_digest": found.digest,
        "model_fingerprint": lm.identity.fingerprint,
        "dtype": str(lm.dtype.value),
        "n_label": n_label,
        "seed": seed,
        "max_new_tokens": max_new_tokens,
    }
    if engine.runtime != TRANSFORMERS:
        question["runtime"] = engine.runtime
    earlier = Run(out)
    if earlier.file("run.json").exists():
        _check_runtime(earlier, engine)
        if batch_size is None:
            batch_size = earlier.facts.get("batch_size")
    if batch_size is None:
        batch_size = engine.batch_size
    size = choose_batch(batch_size, lm.device.value, "confidence").value
    facts = {
        "pool": source.spec,
        "size": found.size,
        "model": asdict(lm.identity),
        "device": lm.device.value,
        "engine": engine.name,
        "batch_size": size,
    }
    run = Run.create(out, question, facts)
    with run.locked():
        reused = _is_whole(run)
        table = score_pool(
            run,
            engine,
            source,
            found,
            task,
            batch_size=size,
            max_new_tokens=max_new_tokens,
            progress=progress,
        )
        confidence = pickable(table)
        if not run.file("draws.jsonl").exists():
            positions = pick_low_confidence(confidence, n_label, seed=seed).tolist()
            drawn = fetch(source, task, positions)
            save_draws(run, [DrawnExample.of(e, "low", 0) for e in drawn])
            with disk_faults(run.file("to_label.jsonl")):
                run.file("to_label.jsonl").unlink(missing_ok=True)
        if not run.file("to_label.jsonl").exists():
            _write_to_label(run)
        if not reused:
            seconds = round(time.perf_counter() - begin, 3)
            run.finish("score", **question, **facts, threads=threads(), seconds=seconds)
    scored = read_column(table, "confidence").astype(float)
    return Scored(
        run=run,
        size=found.size,
        duplicates=len(found.duplicates),
        skipped=int((scored != scored).sum()),
        picked=tuple(row["id"] for row in run.rows("to_label.jsonl")),
        mean_confidence=float(scored[scored == scored].mean()),
        reused=reused,
    )


def _check_runtime(run: Run, engine: Engine) -> None:
    """Refuse to go on where other code computed the run's values.

    Raises:
        InputError: says which engines may go on.
    """
    before = run.question.get("runtime", TRANSFORMERS)
    if before != engine.runtime:
        allowed = "--engine local or ray" if before == TRANSFORMERS else f"--engine {before}"
        raise InputError(
            f"{run.path}: its values come from {before}, those of --engine {engine.name} would "
            f"differ by more than rounding. Go on with {allowed}, or choose another --out."
        )


def _is_whole(run: Run) -> bool:
    """Whether the step has finished here, and its manifest can be read."""
    try:
        return run.is_done("score") and bool(run.manifest("score"))
    except InputError:
        return False


def _write_to_label(run: Run) -> None:
    """Write the low-confidence draw as a file to fill in."""
    task = run.task
    low = [row for row in run.rows("draws.jsonl") if row["set"] == "low"]
    rows = [{"id": row["id"]} | flat_row(row, task, None) for row in low]
    write_jsonl(run.file("to_label.jsonl"), rows)
