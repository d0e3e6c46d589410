"""Choose examples of a pool or of a scored run with a selection method."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from labelcast.errors import InputError, LabelcastWarning
from labelcast.files.json_files import read_jsonl, write_jsonl
from labelcast.files.untrusted import refuse_run_file, refuse_target
from labelcast.models.identity import absolute
from labelcast.models.loading import AnyModel, LanguageModel, load_any
from labelcast.runs.coslow import check_model
from labelcast.runs.label_store import SET_NAME
from labelcast.runs.pool import fetch, open_pool, pickable, read_column, survey
from labelcast.runs.records import Finite, Form, Natural, parse_rows
from labelcast.runs.run import Run
from labelcast.runs.score import as_source
from labelcast.selection import selector as selection
from labelcast.selection.pool import LazyExamples, Need, Pool
from labelcast.selection.registry import selector
from labelcast.selection.selector import Selector
from labelcast.selection.signals import OnSignal, SignalStore
from labelcast.tasks.conversations import Turn
from labelcast.tasks.prompts import Example, examples, groups
from labelcast.tasks.sources import Source
from labelcast.tasks.task import Task


@dataclass(frozen=True)
class SelectedExample:
    """A chosen example.

    Attributes:
        id: the record's own ``id`` if it has one, else the hash of its content.
        index: position in the pool's data, from 0, counting blank records too.
        rank: from 1, in order of preference.
        value: what the method gives it, in its own unit; NaN for a method without values.
    """

    id: str
    index: int
    rank: int
    value: float

    def to_dict(self) -> dict[str, Any]:
        """The row of a selection's file."""
        return asdict(self) | {"value": self.value if math.isfinite(self.value) else None}


@dataclass(frozen=True)
class Inputs:
    """What a method may use in addition to the pool; see `select`.

    Another model than the run's computes its own confidences.
    """

    model: str | AnyModel | None = None
    group_by: str | None = None
    target: str | Path | Source | None = None
    device: str = "auto"
    dtype: str = "auto"
    signals: str | Path | None = None
    on_signal: OnSignal = lambda name, count: lambda done: None


def select(
    pool: str | Path | Source | Run | Iterable[str | Mapping[str, Any]],
    n: int,
    *,
    method: str | Selector = "random",
    task: str | Path | Task | None = None,
    model: str | AnyModel | None = None,
    group_by: str | None = None,
    target: str | Path | Source | None = None,
    seed: int = 0,
    device: str = "auto",
    dtype: str = "auto",
    signals: str | Path | None = None,
    on_signal: OnSignal = lambda name, count: lambda done: None,
) -> list[SelectedExample]:
    """Choose which examples of a pool to label, or which of a labelled pool to train on.

    Examples with the same content are chosen once at most. What a model computes for a method is
    kept in `signals`, from which the same call resumes after a kill.

    Args:
        pool: records or texts, a source (a file, ``hub:OWNER/NAME``, `open_source`), or a run with
            its task, model and confidences; prompts that do not fit its model are never chosen.
        n: how many to choose, at most the different examples of the pool.
        method: a name in `labelcast.selection.registry`, or a `Selector`.
        task: as `score` takes it; a run has its own.
        model: a name as `load_model` takes it, or a loaded model, for the methods that use one;
            None takes a run's own.
        group_by: the field of the records that tells the pool's tasks apart.
        target: labelled examples of the task that the selection is for.
        seed: seed of the method.
        device: device of a model that is loaded by its name.
        dtype: dtype of that model.
        signals: a folder for what a model computes; None takes ``RUN/signals`` for a run, else
            keeps nothing.
        on_signal: called with the name and the examples to do of each signal that is computed;
            returns what is called with the number of examples done since the last call.

    Returns:
        The chosen examples, in order of preference.

    Raises:
        InputError: no such method, `n` out of range, a broken record, or something that the method
            needs is missing.

    Examples:
        >>> pool = [{"input_text": text} for text in ("a", "b", "c")]
        >>> [(found.rank, found.index) for found in select(pool, 2)]
        [(1, 2), (2, 0)]
    """
    chosen = selector(method) if isinstance(method, str) else method
    if isinstance(chosen, type) or not isinstance(chosen, Selector):
        raise InputError(f"method: a name or a `Selector` object is needed, not {chosen!r:.60}.")
    if signals is not None and Path(signals).exists() and not Path(signals).is_dir():
        raise InputError(f"--signals {signals}: a file, but a folder is needed.")
    inputs = Inputs(model, group_by, target, device, dtype, signals, on_signal)
    run = _as_run(pool)
    if run is not None:
        if task is not None:
            raise InputError(f"--task: the run {run.path} has a task of its own; leave it out.")
        found = _of_run(run, chosen, inputs)
    else:
        resolved = task if task is None or isinstance(task, Task) else Task.load(task)
        assert not isinstance(pool, Run)
        found = _of_file(as_source(pool, resolved), resolved, chosen, inputs)
    picked = selection.select(chosen, found.pool, n, seed=seed)
    positions = found.positions[picked.positions].tolist()
    rows = fetch(found.source, found.task, positions)
    return [
        SelectedExample(
            example.id, example.index if example.row is None else example.row, rank, float(value)
        )
        for rank, (example, value) in enumerate(zip(rows, picked.values, strict=True), 1)
    ]


def _as_run(pool: object) -> Run | None:
    if isinstance(pool, str | Path) and (Path(pool) / "run.json").exists():
        return Run.open(pool)
    return pool if isinstance(pool, Run) else None


@dataclass(frozen=True)
class _Candidates:
    """What there is to choose from: a pool of different examples, and where they are.

    Attributes:
        pool: N examples and their signals.
        positions: positions of each example in the source, [N].
        source: source of the records.
        task: how to read them.
    """

    pool: Pool
    positions: NDArray[np.int64]
    source: Source
    task: Task | None


def _of_run(run: Run, method: Selector, inputs: Inputs) -> _Candidates:
    """What a method can choose from in a run: different examples that fit its model."""
    run.need_score()
    source, table = open_pool(run), run.file("confidence.parquet")
    positions = np.flatnonzero(np.isfinite(pickable(table)))
    own = inputs.model is None or _is_own(run, inputs.model)
    stored = {name: read_column(table, name)[positions] for name in ("confidence", "margin")}

    @cache
    def load() -> AnyModel:
        lm = _load(run.model.name if inputs.model is None else inputs.model, run.task, inputs)
        if own:
            check_model(run, lm)
        return lm

    folder = run.file("signals") if inputs.signals is None else Path(inputs.signals)
    return _candidates(
        source, run.task, positions, method, inputs, load, folder, stored if own else {}
    )


def _is_own(run: Run, model: str | AnyModel) -> bool:
    if isinstance(model, str):
        return absolute(model) == absolute(run.model.name)
    return model.identity.fingerprint == run.model.fingerprint


def _of_file(source: Source, task: Task | None, method: Selector, inputs: Inputs) -> _Candidates:
    found = survey(source, task)
    if found.duplicates:
        warnings.warn(
            f"{len(found.duplicates)} examples of the pool are duplicates; each is chosen once at "
            "most.",
            LabelcastWarning,
            stacklevel=3,
        )
    positions = np.setdiff1d(np.arange(found.size), [*found.duplicates])
    load = None
    if inputs.model is not None:
        load = cache(partial(_load, inputs.model, task, inputs))
    folder = None if inputs.signals is None else Path(inputs.signals)
    return _candidates(source, task, positions, method, inputs, load, folder, {})


def _load(model: str | AnyModel, task: Task | None, inputs: Inputs) -> AnyModel:
    lm = model
    if isinstance(lm, str):
        lm = load_any(lm, device=inputs.device, dtype=inputs.dtype)
    answers = () if task is None else task.answers
    # An encoder refuses a task without answers, which its embeddings do not need.
    return lm.for_answers(answers) if answers or isinstance(lm, LanguageModel) else lm


def _candidates(
    source: Source,
    task: Task | None,
    positions: NDArray[np.int64],
    method: Selector,
    inputs: Inputs,
    load: Callable[[], AnyModel] | None,
    folder: Path | None,
    stored: Mapping[str, NDArray[Any]],
) -> _Candidates:
    """Read what may be wrong in the data; prompts are rendered once a signal needs them."""
    used = method.needs | getattr(method, "uses", frozenset())
    for option, given, need in (
        ("--group-by", inputs.group_by, Need.TASK_IDS),
        ("--target", inputs.target, Need.TARGET),
    ):
        if given is not None and need not in used:
            raise InputError(f"{option}: the method {method.name} does not use it. Leave it out.")
    wanted = frozenset(positions.tolist())
    labelled = Need.ANSWERS in method.needs
    if labelled:
        _count_labelled(source, task)
    read = partial(_read, load, task)
    target: Sequence[Example] = ()
    target_ids = None
    if inputs.target is not None:
        given = as_source(inputs.target, task)
        target = LazyExamples(_count_labelled(given, task), partial(read, given, labelled=True))
        if inputs.group_by is not None:
            of_target = groups(given, task, inputs.group_by, needed=False)
            target_ids = None if of_target is None else [*of_target.values()]
    task_ids = None
    if inputs.group_by is not None:
        found = groups(source, task, inputs.group_by, wanted.__contains__)
        task_ids = None if found is None else [found[place] for place in positions.tolist()]
    in_pool = partial(read, source, labelled=labelled, wanted=wanted.__contains__)
    pool = Pool(
        LazyExamples(len(positions), in_pool),
        model=load,
        task_ids=task_ids,
        target=target,
        target_ids=target_ids,
        allowed=() if task is None else task.decoded,
        metric="exact_match" if task is None else task.metric,
        store=SignalStore(folder, inputs.on_signal),
        confidence=stored.get("confidence"),
        margin=stored.get("margin"),
    )
    return _Candidates(pool, positions, source, task)


def _plain(instruction: str, user: str | Sequence[Turn]) -> str:
    return user if isinstance(user, str) else "\n".join(turn["content"] for turn in user)


def _count_labelled(source: Source, task: Task | None) -> int:
    """Check that every record has an answer, before a model is loaded."""
    return sum(1 for _ in examples(source, task, _plain, need_answer=True))


def _read(
    load: Callable[[], AnyModel] | None,
    task: Task | None,
    source: Source,
    *,
    labelled: bool,
    wanted: Callable[[int], bool] | None = None,
) -> list[Example]:
    render = _plain if load is None else load().render
    with warnings.catch_warnings(action="ignore", category=LabelcastWarning):  # given already
        return list(examples(source, task, render, need_answer=labelled, wanted=wanted))


class _Row(Form):
    """A row of a selection's file; `of` shows whether rows were deleted."""

    model_config = ConfigDict(extra="forbid")

    id: str
    index: Natural
    rank: Natural
    of: Natural
    value: Finite | None


def write_selection(path: Path, found: Sequence[SelectedExample], *, force: bool = False) -> None:
    """Write a selection as JSONL; arguments and errors as `check_selection_file`."""
    check_selection_file(path, force=force)
    write_jsonl(path, [example.to_dict() | {"of": len(found)} for example in found])


def check_selection_file(path: Path, *, force: bool = False) -> None:
    """Refuse a folder, a run's own file, or, without `force`, a file that is not a selection.

    Raises:
        InputError: says what is in the way.
    """
    refuse_target(path)
    if not path.exists():
        refuse_run_file(path)
        return
    if not force and not _is_selection(path):
        raise InputError(
            f"--out {path}: already exists and is not a selection, or was edited. Choose another "
            "name, or replace it with --force."
        )


def _is_selection(path: Path) -> bool:
    with suppress(InputError):
        rows = parse_rows(_Row, read_jsonl(path), path)
        complete = [(rank, len(rows)) for rank in range(1, len(rows) + 1)]
        return bool(rows) and [(row.rank, row.of) for row in rows] == complete
    return False


def choose_more(
    run: Run,
    method: str,
    n: int,
    *,
    taken: Collection[int],
    chosen: Collection[int],
    seed: int,
    inputs: Inputs,
) -> list[int]:
    """Choose n more examples of a run's pool, none of those at the positions `taken`.

    Of these, the method knows `chosen`, the examples of the set that it adds to.

    Returns:
        Positions in the pool, in order of preference.

    Raises:
        InputError: too few examples are left, or as `select`.
    """
    if n < 1:
        raise InputError(f"--more {n}: at least 1 example must be drawn.")
    chooses = selector(method, "--select")
    if not re.match(SET_NAME, method):
        raise InputError(
            f"--select {method}: the set would have this name; a method for it is named in "
            "lower-case letters, digits, - and _, at most 40."
        )
    found = _of_run(run, chooses, inputs)
    before = np.isin(found.positions, [*chosen])
    rows = np.flatnonzero(before | ~np.isin(found.positions, [*taken]))
    left = len(rows) - int(before.sum())
    if left < n:
        raise InputError(f"{n} more examples asked for, but the pool has {left} left.")
    part = found.pool.part(rows.tolist(), chosen=np.flatnonzero(before).tolist())
    picked = selection.select(chooses, part, n, seed=seed)
    positions: list[int] = found.positions[rows[picked.positions]].tolist()
    return positions
