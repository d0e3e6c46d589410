"""Prodigy: tasks for its ``choice`` or ``text_input`` interface; reads what ``db-out`` writes.

Texts are in ``text``, which Prodigy shows as plain text. The input fields are also under a key of
our own, which Prodigy keeps and does not show.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from labelcast.errors import InputError
from labelcast.labels.exchange import foreign
from labelcast.labels.exchange.foreign import ForeignRecord, JsonObject, Row
from labelcast.labels.label_task import LabelTask

_OURS = "labelcast"
_TEXT_KEY = "labelcast_answer"
_DECISIONS = ("accept", "reject", "ignore")


class _Option(ForeignRecord):
    id: Any = None
    text: Any = None


class _Ours(ForeignRecord):
    id: Any = None
    fields: JsonObject


class _Task(ForeignRecord):
    meta: JsonObject | None = None
    options: list[_Option] | None = None
    accept: list[Any] | None = None
    answer: Any = None
    field_id: Any = None


def pack(rows: Sequence[Row], task: LabelTask) -> list[JsonObject]:
    """Tasks for Prodigy; a known answer is already accepted."""
    return [_packed(row, task) for row in rows]


def _packed(row: Row, task: LabelTask) -> JsonObject:
    fields, answer = {name: row[name] for name in task.fields}, row[task.answer]
    lines = [f"{title}: {fields[name]}" for name, title in task.titles.items()]
    own = {"id": row["id"], "set": row["set"]}
    packed: JsonObject = {
        "text": "\n".join(lines if len(lines) > 1 else fields.values()),
        "meta": own,
        foreign.own_key(_OURS, task): own | {"fields": fields},
    }
    if task.answers:
        packed["options"] = [{"id": text, "text": text} for text in task.answers]
    else:
        packed |= {"field_id": _TEXT_KEY, "field_label": task.answer, "field_rows": 3}
    known = {"accept": [answer]} if task.answers else {_TEXT_KEY: answer}
    return packed | (known | {"answer": "accept"} if answer else {})


def is_ours(values: JsonObject, task: LabelTask) -> bool:
    """Whether a record was exported by labelcast."""
    ours = values.get(foreign.own_key(_OURS, task))
    return isinstance(ours, dict) and "fields" in ours


def unpack(values: JsonObject, task: LabelTask, where: str) -> JsonObject:
    """Id, input fields and answer of a task; blank if it was rejected or ignored."""
    theirs = foreign.parse(_Task, values, where)
    if is_ours(values, task):
        key = foreign.own_key(_OURS, task)
        ours = foreign.parse(_Ours, values[key], f"{where}, field {key!r}")
        found = {"id": ours.id, **{n: ours.fields[n] for n in task.fields if n in ours.fields}}
    else:
        found = {n: values[n] for n in task.fields if n in values}
        if len(task.fields) == 1 and "text" in values:
            found = {task.fields[0]: values["text"], **found}
        found["id"] = (theirs.meta or {}).get("id", values.get("id"))
    return found | {task.answer: _answer(theirs, values, where)}


def _answer(theirs: _Task, values: JsonObject, where: str) -> str | None:
    if theirs.answer not in (None, *_DECISIONS):
        raise InputError(f"{where}, field 'answer': must be one of {', '.join(_DECISIONS)}.")
    if theirs.answer != "accept":
        return None
    if "accept" in values or "options" in values:
        place = f"{where}, field 'accept'"
        chosen = [_chosen(key, theirs.options or [], place) for key in theirs.accept or []]
        return foreign.one_answer(chosen, place)
    keys = (_TEXT_KEY, theirs.field_id, "user_input")
    key = next((key for key in keys if isinstance(key, str) and key in values), _TEXT_KEY)
    return foreign.one_answer([values.get(key)], f"{where}, field {key!r}")


def _chosen(key: Any, options: Sequence[_Option], where: str) -> Any:
    """The text of an accepted option, whose id may be a number."""
    if not isinstance(key, str | int):
        raise InputError(f"{where}: must list the ids of options.")
    text = next((option.text for option in options if option.id == key), None)
    return text if isinstance(key, int) and isinstance(text, str) else key
