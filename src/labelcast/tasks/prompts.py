"""From records to examples: the rendered prompt, the answer, and the id that names each.

A model enters only as a function that renders an instruction and a user text through its chat
template.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from labelcast.errors import InputError
from labelcast.tasks.sources import Record, Source
from labelcast.tasks.task import Task
from labelcast.tasks.values import as_text, content_hash

Render = Callable[[str, str], str]
PROMPT_FIELD = "input_text"
ANSWER_FIELD = "ground_truth"


@dataclass(frozen=True)
class Example:
    """One example of a pool or of a labelled set.

    Attributes:
        id: the record's own ``id`` where it has one, else its content hash.
        index: position in its source, from 0.
        where: file and line, for messages.
        fields: the text of each input field.
        prompt: what the model reads, rendered.
        answer: the answer as text, or None where there is none.
        content: hash of the input fields, the same whatever the order or the file format.
    """

    id: str
    index: int
    where: str
    fields: dict[str, str]
    prompt: str
    answer: str | None
    content: str


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
        source: where the records come from.
        task: how to read them; None where they are already rendered (``input_text``).
        render: instruction and user text to prompt (`LanguageModel.render`); needed with a task.
        need_answer: refuse a record without an answer, and check it against the allowed ones.
        wanted: which positions are asked for; the other records are read past, not rendered.

    Raises:
        InputError: a record lacks a field, or some records have an ``id`` and others none.
    """
    for record in _same_form(source):
        if wanted is None or wanted(record.index):
            yield _example(record, task, render, need_answer)


def rendered_example(values: Mapping[str, Any], index: int) -> Example:
    """One example from a record that is already rendered: ``input_text`` and ``ground_truth``.

    Raises:
        InputError: a field is missing or empty.
    """
    return _example(Record(index, f"example {index + 1}", dict(values)), None, None, True)


def content_id(source: Source, task: Task | None) -> Iterator[tuple[str, str | None]]:
    """Content hash and own ``id`` (None where it has none) of every record, without rendering.

    Raises:
        InputError: as `examples`.
    """
    for record in _same_form(source):
        fields = read_fields(record.values, task, record.where)
        own = record.values.get("id")
        name = None if own is None else as_text(own, f"{record.where}, field 'id'")
        yield content_hash(fields), name


def _same_form(source: Source) -> Iterator[Record]:
    """The records of a source, all of them with an ``id`` or none."""
    with_id: bool | None = None
    for record in source.records():
        has_id = record.values.get("id") is not None
        if with_id is not None and has_id != with_id:
            raise InputError(
                f"{record.where}: {'has' if has_id else 'lacks'} an 'id' where the records before "
                f"it {'lack' if has_id else 'have'} one. Give every record one, or none."
            )
        with_id = has_id
        yield record


def input_names(task: Task | None) -> list[str]:
    """The names of the input fields, in order."""
    return [PROMPT_FIELD] if task is None else [item.field for item in task.inputs]


def answer_name(task: Task | None) -> str:
    """The name of the answer field."""
    return ANSWER_FIELD if task is None else task.answer


def flat_row(fields: Mapping[str, str], task: Task | None, answer: str | None) -> dict[str, str]:
    """A record as people read and fill it in: the input fields in order, then the answer field."""
    row = {name: fields[name] for name in input_names(task)}
    return row | {answer_name(task): answer or ""}


def read_fields(values: Mapping[str, Any], task: Task | None, where: str) -> dict[str, str]:
    """The input fields of a record as text.

    Raises:
        InputError: a field is absent, or the record is not rendered and there is no task.
    """
    if task is not None:
        return task.input_fields(values, where)
    if PROMPT_FIELD not in values:
        raise InputError(
            f"{where}: no field 'input_text', so the record is not rendered yet. Give a task "
            "with --task (`labelcast init DATA` writes one from the columns of a data file)."
        )
    text = as_text(values[PROMPT_FIELD], f"{where}, field 'input_text'")
    if not text.strip():
        raise InputError(f"{where}, field 'input_text': the prompt is empty.")
    return {PROMPT_FIELD: text}


def read_answer(value: Any, task: Task | None, where: str) -> str:
    """An answer as text, checked against the task.

    Raises:
        InputError: it is missing, empty or not allowed.
    """
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
    if task is None:
        prompt = fields[PROMPT_FIELD]
    elif render is None:
        raise TypeError("a task needs `render`, the model's chat template")
    else:
        prompt = render(task.instruction.strip(), task.user_text(values, where))
    name = answer_name(task)
    value = values.get(name)
    if need_answer and name not in values:
        raise InputError(f"{where}: no answer field {name!r}, and labelled examples are needed.")
    answer = read_answer(value, task, f"{where}, field {name!r}") if need_answer else None
    content = content_hash(fields)
    own = values.get("id")
    example_id = content if own is None else as_text(own, f"{where}, field 'id'")
    return Example(example_id, record.index, where, fields, prompt, answer, content)
