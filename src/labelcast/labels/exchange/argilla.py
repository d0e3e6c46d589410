"""Argilla 2: writes records and dataset settings; reads records.

It reads nested records from ``Record.to_dict`` and flat ones from ``to_list(flatten=True)``.
``to_json`` leaves out whether a response was submitted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from labelcast.errors import InputError
from labelcast.labels.exchange import foreign
from labelcast.labels.exchange.foreign import ForeignRecord, JsonObject, Names, Row
from labelcast.labels.label_task import LabelTask

_SUBMITTED = "submitted"
_TEXT = {"type": "text", "use_markdown": False}
# A response needs a user. This one does not exist; Argilla puts in the user who logs the records.
_NOBODY = "00000000-0000-0000-0000-000000000000"
# Limits of the server.
_NAME = re.compile(r"(?=.*[a-z0-9])[a-z0-9_-]{1,200}")
_LABELS = range(2, 501)
_LABEL, _TITLE, _GUIDELINES = 200, 500, 10_000
# Names that the flat form of a record uses beside the fields.
_THEIRS = (
    *("id", "status", "score", "_server_id"),
    *("fields", "metadata", "vectors", "responses", "suggestions"),
)


class _Response(ForeignRecord):
    value: Any = None
    status: Any = None


class _Record(ForeignRecord):
    fields: JsonObject | None = None
    metadata: JsonObject | None = None
    responses: dict[str, list[_Response] | None] | None = None


def _names(task: LabelTask) -> Names:
    return Names.of(task, _NAME, _THEIRS)


def pack(rows: Sequence[Row], task: LabelTask) -> list[JsonObject]:
    """Records for `Record.from_dict`; a known answer is a submitted response."""
    names = _names(task)
    packed = []
    for row in rows:
        answer = row[task.answer]
        response = {"value": answer, "user_id": _NOBODY, "status": _SUBMITTED}
        packed.append(
            {
                "id": row["id"],
                "fields": names.inputs(row),
                "metadata": names.own(row),
                "suggestions": {},
                "responses": {names.answer: [response]} if answer else {},
                "vectors": {},
                "status": "completed" if answer else "pending",
            }
        )
    return packed


def settings(task: LabelTask) -> str:
    """The settings of the dataset, for `Settings.from_json`."""
    names = _names(task)
    parts = {
        "guidelines": task.guidelines[:_GUIDELINES],
        "fields": [_named(names.safe[name], title, _TEXT) for name, title in task.titles.items()],
        "questions": [_named(names.answer, task.answer, _question(task))],
        "vectors": [],
        "metadata": [],
        "allow_extra_metadata": True,
        "distribution": {"strategy": "overlap", "min_submitted": 1},
        "mapping": None,
    }
    return json.dumps(parts, indent=1) + "\n"


def _named(name: str, title: str, settings: JsonObject) -> JsonObject:
    return {"name": name, "title": title[:_TITLE] or name, "required": True, "settings": settings}


def _question(task: LabelTask) -> JsonObject:
    """A choice of labels, or free text if the server does not accept the labels."""
    if len(task.answers) in _LABELS and all(0 < len(text) <= _LABEL for text in task.answers):
        options = [{"value": text, "text": text} for text in task.answers]
        return {"type": "label_selection", "options": options, "visible_options": None}
    return _TEXT


def unpack(values: JsonObject, task: LabelTask, where: str) -> JsonObject:
    """Id, input fields and answer of a record; blank if no response is submitted."""
    names = _names(task)
    if isinstance(values.get("fields"), dict) or isinstance(values.get("responses"), dict):
        record = foreign.parse(_Record, values, where)
        fields, own = record.fields or {}, (record.metadata or {}).get(names.id)
        given = _nested(record, values, names.answer)
    else:
        fields, own = values, values.get(names.id)
        given = _flat(values, names.answer, where)
    answer = foreign.one_answer(given, f"{where}, response to {names.answer!r}")
    return names.unpacked(fields, values.get("id") if own is None else own, answer)


def _nested(record: _Record, values: JsonObject, question: str) -> list[Any]:
    """Submitted answers of a nested record.

    A response without a status counts if the record is completed or was never on a server, which
    is what sets the status.
    """
    done = values.get("status") in (None, "completed") or values.get("_server_id") is None
    return [
        response.value
        for response in (record.responses or {}).get(question) or []
        if response.status == _SUBMITTED or (response.status is None and done)
    ]


def _flat(values: JsonObject, question: str, where: str) -> list[Any]:
    """Submitted answers of a flat record: a list of values beside a list of their statuses."""
    key = f"{question}.responses"
    given, statuses = values.get(key) or [], values.get(f"{key}.status") or []
    if not isinstance(given, list) or not isinstance(statuses, list):
        raise InputError(f"{where}, fields {key!r} and '{key}.status': both must be lists.")
    if len(given) != len(statuses):
        raise InputError(
            f"{where}, field {key!r}: {len(given)} values and {len(statuses)} statuses."
        )
    return [value for value, status in zip(given, statuses, strict=True) if status == _SUBMITTED]
