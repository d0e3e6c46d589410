"""Score a pool: the model's confidence on every example, and which examples to label."""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelcast.errors import InputError, LabelcastWarning
from labelcast.execution.pool_engines import Engine, LocalEngine
from labelcast.files.json_files import write_jsonl, write_with
from labelcast.models.choices import choose_batch, threads
from labelcast.models.confidence import MAX_NEW_TOKENS, score_confidence
from labelcast.models.loading import AnyModel, check_gradients, load_any
from labelcast.runs.label_store import (
    DrawnExample,
    check_names,
    draws_intact,
    draws_so_far,
    restore_draws,
    surviving_draws,
)
from labelcast.runs.pool import (
    Survey,
    fetch,
    pickable,
    read_column,
    read_share_allowed,
    score_pool,
    survey,
)
from labelcast.runs.records import ModelPart, RunFacts, RunQuestion
from labelcast.runs.run import Run
from labelcast.selection.coslow_draws import pick_low_confidence
from labelcast.tasks.prompts import examples, flat_row, input_names
from labelcast.tasks.sources import Record, Source, open_source
from labelcast.tasks.task import Task

TRANSFORMERS = "transformers"
"""The runtime of a run that does not name another one."""


@dataclass(frozen=True)
class ScoredExample:
    """One example of a pool with the model's answer.

    Attributes:
        id: the record's own ``id`` if it has one, else the hash of its content.
        index: position in the pool, from 0.
        confidence: in [0, 1]; NaN if the prompt does not fit the model's context.
        perplexity: perplexity of the answer, at least 1; NaN like `confidence`.
        flag: empty, ``too_long``, ``no_counted_token`` (see `Confidence`) or ``duplicate`` (its
            content occurs earlier in the pool).
    """

    id: str
    index: int
    confidence: float
    perplexity: float
    answer: str
    flag: str


def score(
    pool: str | Path | Source | Iterable[str | Mapping[str, Any]],
    *,
    model: str | AnyModel = "smollm2",
    task: str | Path | Task | None = None,
    batch_size: int | None = None,
    max_new_tokens: int = MAX_NEW_TOKENS,
    progress: Callable[[int], None] = lambda done: None,
) -> list[ScoredExample]:
    """Score the model's confidence on every example of a pool, in memory.

    `labelcast score` and `score_run` score into a run folder, and can resume.

    Args:
        pool: records or texts, or a source (a file, ``hub:OWNER/NAME``, `open_source`). A text is
            the task's one input field; without a task, a rendered prompt.
        model: a name as `load_model` takes it, or a loaded model.
        task: a task, a task file, or the name of a task in the catalogue; None if the records are
            already rendered (``input_text``).
        batch_size: prompts that run at once; None chooses for the device.
        max_new_tokens: where an answer is cut off; not used if the task has `constrain`.
        progress: called with the number of examples done since the last call.

    Returns:
        One `ScoredExample` per record, in the pool's order.

    Raises:
        InputError: an empty pool, a broken record, or no such model or task.

    Source: paper, section 4 (confidence).

    Examples:
        >>> found = score(["One, two, three,", "A, b, c,"], max_new_tokens=2)
        >>> [(example.index, example.answer) for example in found]
        [(0, 'four,'), (1, 'd,')]
        >>> 0 < found[0].confidence < 1
        True
    """
    task = task if task is None or isinstance(task, Task) else Task.load(task)
    source = as_source(pool, task)
    lm = load_any(model) if isinstance(model, str) else model
    found = list(examples(source, task, lm.render))
    prompts = (example.prompt for example in found)
    allowed = () if task is None else task.answers
    scored = score_confidence(
        lm.for_answers(allowed),
        prompts,
        batch_size=batch_size,
        max_new_tokens=max_new_tokens,
        progress=progress,
        allowed=() if task is None else task.decoded,
    )
    seen: set[str] = set()
    results = []
    for example, value in zip(found, scored, strict=True):
        flag = value.flag or ("duplicate" if example.content in seen else "")
        seen.add(example.content)
        numbers = (value.confidence, value.perplexity)
        results.append(ScoredExample(example.id, example.index, *numbers, value.answer, flag))
    return results


def as_source(pool: str | Path | Source | Iterable[Any], task: Task | None) -> Source:
    """A source of records; a text in a list is the task's one input field."""
    if isinstance(pool, Source):
        return pool
    if isinstance(pool, str | Path):
        return open_source(pool)
    if isinstance(pool, Mapping) or hasattr(pool, "columns"):
        raise InputError("pool: expected a list of records, such as df.to_dict('records').")
    names = input_names(task)
    records = []
    for index, entry in enumerate(pool):
        where = f"pool, record {index + 1}"
        if isinstance(entry, str) and len(names) > 1:
            raise InputError(
                f"{where}: a text, but the task has several input fields ({', '.join(names)}). "
                "Give a record with these fields."
            )
        if not isinstance(entry, str | Mapping):
            raise InputError(f"{where}: expected a text or a record, not {entry!r:.60}.")
        values = {names[0]: entry} if isinstance(entry, str) else dict(entry)
        records.append(Record(index, where, values))
    if not records:
        raise InputError("pool: empty.")
    return Source("pool", lambda: iter(records))


@dataclass(frozen=True)
class ScoredRun:
    """A pool scored into a run folder."""

    run: Run
    size: int
    duplicates: int  # examples whose content occurs earlier in the pool; never picked
    skipped: int  # prompts that do not fit the model's context; never picked
    picked: tuple[str, ...]  # ids of the examples to label
    mean_confidence: float  # over the pool, without skipped prompts
    allowed: float | None  # how often the free answer is an allowed one; None if not measured
    reused: bool  # whether the folder already had the result


def check_pool(source: Source, task: Task | None, n_label: int = 32) -> Survey:
    """Read and check a pool once, before a model is loaded.

    Raises InputError also for fewer than `n_label` examples, or for a field name that the run
    folder uses itself.
    """
    check_names(task)
    found = survey(source, task)
    if found.duplicates:
        warnings.warn(
            f"{len(found.duplicates)} examples of the pool are duplicates; each is labelled once.",
            LabelcastWarning,
            stacklevel=2,
        )
    with warnings.catch_warnings(action="ignore"):
        pick_low_confidence(np.zeros(found.size - len(found.duplicates)), n_label)
    return found


def score_run(
    source: Source,
    lm: AnyModel,
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
) -> ScoredRun:
    """Score a pool into a run folder and pick the examples to label.

    After a kill the same call resumes; once it has finished it changes nothing.

    Args:
        source: the pool.
        lm: the model; without its weights if `engine` runs it elsewhere.
        out: the run folder.
        task: how to read the records; None if they are already rendered.
        found: the result of `check_pool`; None calls it.
        engine: what runs the model (`open_engine`); None runs `lm` in this process.
        n_label: how many examples to pick.
        seed: seed of the draw.
        batch_size: prompts that run at once; None takes the run's own, else one for the device.
        max_new_tokens: where an answer is cut off.
        progress: called with the number of examples done since the last call.

    Raises:
        InputError: bad records, a pool that is too small, or a folder of another question.
        RunError: the folder cannot be written, or another process is using it.
    """
    begin = time.perf_counter()
    found = found or check_pool(source, task, n_label)
    _check_answer_length(lm, max_new_tokens)
    check_gradients(lm)  # before anyone labels
    lm.for_answers(() if task is None else task.answers)
    if task is not None:
        lm.render(task.instruction.strip(), "text")  # without a chat template, create no folder
    engine = engine or LocalEngine(lm)
    if task is not None and task.constrain and engine.runtime != TRANSFORMERS:
        raise InputError(f"task {task.name}: 'constrain' needs --engine local or ray.")
    question = RunQuestion(
        task=task,
        pool_digest=found.digest,
        model_fingerprint=lm.identity.fingerprint,
        dtype=str(lm.dtype.value),
        n_label=n_label,
        seed=seed,
        max_new_tokens=max_new_tokens,
        **({} if engine.runtime == TRANSFORMERS else {"runtime": engine.runtime}),
    )
    earlier = Run(out)
    if earlier.exists():
        _check_runtime(earlier, engine)
        batch_size = earlier.facts.batch_size if batch_size is None else batch_size
    batch_size = engine.batch_size if batch_size is None else batch_size
    chosen = choose_batch(batch_size, lm.device.value, "confidence")
    # Standard input is kept in the run, for the commands that draw more of it.
    kept = source.copy and Path(out).resolve() / f"pool{''.join(source.copy.suffixes)}"
    facts = RunFacts(
        pool=str(kept or source.spec),
        size=found.size,
        model=ModelPart(**asdict(lm.identity)),
        device=lm.device.value,
        engine=engine.name,
        batch_size=chosen.value,
    )
    run = Run.create(out, question, facts)
    with run.locked():
        if source.copy is not None and kept is not None and not kept.exists():
            write_with(kept, lambda path: shutil.copyfile(str(source.copy), path))
        reused = _is_finished(run)
        limits = {"batch_size": chosen.value, "max_new_tokens": max_new_tokens}
        table = score_pool(run, engine, source, found, task, **limits, progress=progress)
        _draw_low(run, source, pickable(table))
        allowed = read_share_allowed(table, task)
        if not reused:
            share = {} if allowed is None else {"allowed": round(allowed, 4)}
            timing = {"threads": threads(), "seconds": round(time.perf_counter() - begin, 3)}
            run.finish("score", **question.to_dict(), **facts.to_dict(), **timing, **share)
    confidence = read_column(table, "confidence").astype(float)
    return ScoredRun(
        run=run,
        size=found.size,
        duplicates=len(found.duplicates),
        skipped=int(np.isnan(confidence).sum()),
        picked=tuple(row["id"] for row in run.rows("to_label.jsonl")),
        mean_confidence=float(confidence[~np.isnan(confidence)].mean()),
        allowed=allowed,
        reused=reused,
    )


def _check_answer_length(lm: AnyModel, max_new_tokens: int) -> None:
    if max_new_tokens < 1:
        raise InputError(f"--max-new-tokens {max_new_tokens}: must be at least 1.")
    if max_new_tokens >= lm.context:
        raise InputError(
            f"--max-new-tokens {max_new_tokens}: {lm.name} reads {lm.context} tokens at most, "
            "prompt and answer together; no prompt would fit."
        )


def _check_runtime(run: Run, engine: Engine) -> None:
    before = run.question.runtime
    if before != engine.runtime:
        allowed = "--engine local or ray" if before == TRANSFORMERS else f"--engine {before}"
        raise InputError(
            f"{run.path}: its values come from {before}; those of --engine {engine.name} would "
            f"differ by more than rounding. Continue with {allowed}, or choose another --out."
        )


def _is_finished(run: Run) -> bool:
    try:
        return run.is_done("score") and bool(run.manifest("score"))
    except InputError:
        return False


def _draw_low(run: Run, source: Source, confidence: NDArray[np.float64]) -> None:
    """Write `draws.jsonl` if it is missing or damaged, and `to_label.jsonl` if it is missing."""
    question, task, to_label = run.question, run.task, run.file("to_label.jsonl")
    if not draws_intact(run):
        # Low-confidence examples are for CoS-Low, which an encoder does not have.
        positions: list[int] = []
        if not run.model.is_encoder:
            picked = pick_low_confidence(confidence, question.n_label, seed=question.seed)
            positions = picked.tolist()
        low = fetch(source, task, positions)
        others = [draw for draw in surviving_draws(run) if draw.index < len(confidence)]
        found = fetch(source, task, [draw.index for draw in others]) if others else []
        # A row may be damaged and still be valid JSON.
        pairs = [(e, draw) for e, draw in zip(found, others, strict=True) if e.id == draw.id]
        draws = [DrawnExample.of(example, "low", 0) for example in low]
        draws += [DrawnExample.of(example, draw.set, draw.batch) for example, draw in pairs]
        restore_draws(run, draws)
    if not to_label.exists():
        shown = [draw for draw in draws_so_far(run) if draw.set == "low"]
        write_jsonl(to_label, [{"id": n.id} | flat_row(n.fields, task, None) for n in shown])
