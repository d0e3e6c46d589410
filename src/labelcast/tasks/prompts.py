"""From records to examples: the rendered prompt, the answer, and the id of each."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from labelcast.errors import InputError, LabelcastWarning
from labelcast.tasks.conversations import Turn
from labelcast.tasks.sources import Record, Source
from labelcast.tasks.task import Task
from labelcast.tasks.values import as_text, content_hash, field_or, has_field, need_field

Render = Callable[[str, Any], str]
"""Instruction, and user text or turns, to prompt: the `render` of a model."""
PROMPT_FIELD = "input_text"
ANSWER_FIELD = "ground_truth"


@dataclass(frozen=True)
class Example:
    """One example of a pool or of a labelled set.

    Attributes:
        id: the record's ``id``, or its content hash if it has none.
        index: position in its source, from 0, without the blank records.
        where: file and line, for messages.
        fields: the text of each input field.
        prompt: the rendered text that the model reads.
        answer: the answer as text, or None.
        content: hash of the input fields, the same in any order and file format.
        turns: turns of the conversation that is its input; empty if the input is text.
        row: position in its source with the blank records; None if it is the same.
    """

    id: str
    index: int
    where: str
    fields: dict[str, str]
    prompt: str
    answer: str | None
    content: str
    turns: tuple[Turn, ...] = ()
    row: int | None = None


def examples(
    source: Source,
    task: Task | None = None,
    render: Render | None = None,
    *,
    need_answer: bool = False,
    wanted: Callable[[int], bool] | None = None,
) -> Iterator[Example]:
    """The examples of a source, one at a time.

    Args:
        source: source of the records.
        task: how to read them; None if they are already rendered (``input_text``).
        render: the model's `render`; needed with a task.
        need_answer: refuse a record without an answer or with one that is not allowed.
        wanted: which positions to return; other records are not rendered.

    Raises:
        InputError: a record lacks a field, or only some records have an ``id``.
    """
    for record in usable_records(source, task, warn=need_answer):
        if wanted is None or wanted(record.index):
            yield _example(record, task, render, need_answer)


def rendered_example(values: Mapping[str, object], index: int) -> Example:
    """An example from a rendered record: ``input_text`` and ``ground_truth``."""
    return _example(Record(index, f"example {index + 1}", dict(values)), None, None, True)


def content_id(source: Source, task: Task | None) -> Iterator[tuple[str, str | None]]:
    """Content hash and own ``id`` (or None) of every record, without rendering."""
    for record in usable_records(source, task, warn=True):
        fields = read_fields(record.values, task, record.where)
        yield content_hash(fields), _own_id(record)


def usable_records(source: Source, task: Task | None, *, warn: bool = False) -> Iterator[Record]:
    """The records of a source that have some text; either all or none have an ``id``.

    Positions count these records alone. `warn` says how many others there were.
    """
    with_id: bool | None = None
    index = blank = 0
    for record in source.records():
        if _is_blank(record.values, task):
            blank += 1
            continue
        has_id = record.values.get("id") is not None
        if with_id is not None and has_id != with_id:
            raise InputError(
                f"{record.where}: {'has' if has_id else 'lacks'} an 'id', but the records before "
                f"it {'lack' if has_id else 'have'} one. Give every record one, or none."
            )
        with_id = has_id
        yield replace(record, index=index, row=record.index if blank else None)
        index += 1
    if not index and blank:
        raise InputError(f"{source.spec}: every record is blank in {', '.join(input_names(task))}.")
    if blank and warn:
        warnings.warn(
            f"{source.spec}: {blank:,} of {index + blank:,} records have no text and are skipped.",
            LabelcastWarning,
            stacklevel=2,
        )


def groups(
    source: Source,
    task: Task | None,
    field: str,
    wanted: Callable[[int], bool] = lambda index: True,
    *,
    needed: bool = True,
) -> dict[int, str] | None:
    """The group of each usable record that is wanted, by position: the value of a field.

    None if the field is not `needed` and the first record lacks it.

    Raises:
        InputError: a record lacks the field, or its value is no text or is blank.
    """
    found: dict[int, str] = {}
    for record in usable_records(source, task):
        if not wanted(record.index):
            continue
        if not needed and not found and not has_field(record.values, field):
            return None
        value = need_field(record.values, field, f"--group-by: {record.where}")
        where = f"--group-by: {record.where}, field {field!r}"
        found[record.index] = as_text(value, where)
        if not found[record.index].strip():
            raise InputError(f"{where}: blank. Give every record a value there.")
    return found


def _is_blank(values: Mapping[str, object], task: Task | None) -> bool:
    """Whether every input field of a record is empty, white space or null."""
    optional = () if task is None else [item.field for item in task.inputs if item.optional]
    names = input_names(task)
    if not all(name in optional or has_field(values, name) for name in names):
        return False  # reported where the field is read
    found = [field_or(values, name) for name in names]
    return all(value is None or (isinstance(value, str) and not value.strip()) for value in found)


def _own_id(record: Record) -> str | None:
    own = record.values.get("id")
    return None if own is None else as_text(own, f"{record.where}, field 'id'")


def input_names(task: Task | None) -> list[str]:
    """The names of the input fields, in order."""
    return [PROMPT_FIELD] if task is None else [item.field for item in task.inputs]


def answer_name(task: Task | None) -> str:
    """The name of the answer field."""
    return ANSWER_FIELD if task is None else task.answer


def flat_row(fields: Mapping[str, str], task: Task | None, answer: str | None) -> dict[str, str]:
    """A record for people to fill in: the input fields in order, then the answer field.

    An answer with a name is written as the value that the data has for it.
    """
    value = answer if answer is None or task is None else task.value_of(answer)
    return {n: fields[n] for n in input_names(task)} | {answer_name(task): value or ""}


def read_fields(values: Mapping[str, object], task: Task | None, where: str) -> dict[str, str]:
    """The input fields of a record as text."""
    if task is not None:
        return task.input_fields(values, where)
    if PROMPT_FIELD not in values:
        raise InputError(
            f"{where}: no field 'input_text', so the record is not rendered yet. Give a task: "
            "--task FILE, or task=... in Python (`labelcast init DATA` writes one)."
        )
    text = as_text(values[PROMPT_FIELD], f"{where}, field 'input_text'")
    if not text.strip():
        raise InputError(f"{where}, field 'input_text': the prompt is empty.")
    return {PROMPT_FIELD: text}


def read_answer(value: object, task: Task | None, where: str) -> str:
    """An answer as text, checked against the task."""
    if task is not None:
        return task.check_answer(value, where)
    text = as_text(value, where)
    if not text.strip():
        raise InputError(f"{where}: the answer is empty.")
    return text


def _example(
    record: Record, task: Task | None, render: Render | None, need_answer: bool
) -> Example:
    values, where = record.values, record.where
    fields = read_fields(values, task, where)
    turns: tuple[Turn, ...] = ()
    if task is None:
        prompt = fields[PROMPT_FIELD]
    elif render is None:
        raise TypeError("a task needs `render`, the model's own")
    else:
        user = task.user_part(values, where)
        prompt = render(task.instruction.strip(), user)
        turns = tuple(user) if isinstance(user, list) else ()
    answer = None
    if need_answer:
        field = answer_name(task)
        value = need_field(values, field, where, " Labelled examples are needed.")
        answer = read_answer(value, task, f"{where}, field {field!r}")
    content, own = content_hash(fields), _own_id(record)
    name = content if own is None else own
    return Example(name, record.index, where, fields, prompt, answer, content, turns, record.row)
