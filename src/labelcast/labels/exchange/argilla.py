"""Argilla 2: records and the settings of their data set out; records, nested or flat, in.

Records are what ``Record.to_dict`` gives and ``Record.from_dict`` takes. ``to_json`` leaves out
whether a response was submitted; ``to_list(flatten=True)`` says it. Both are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from labelcast.errors import InputError
from labelcast.labels.exchange.sheet import (
    Row,
    Sheet,
    expect,
    objects,
    one_answer,
    own_key,
    refuse_nul,
    renamed,
    safe_names,
)

_SUBMITTED = "submitted"
# A response must have a user. This one is nobody; who logs the records takes it over.
_NOBODY = "00000000-0000-0000-0000-000000000000"
# What the server takes.
_NAME = re.compile(r"(?=.*[a-z0-9])[a-z0-9_-]{1,200}")
_LABELS = range(2, 501)
_LABEL, _TITLE, _GUIDELINES = 200, 500, 10_000
# The parts of a record, which its flat form puts beside the fields or takes away.
_THEIRS = (
    *("id", "status", "score", "_server_id"),
    *("fields", "metadata", "vectors", "responses", "suggestions"),
)


def names(sheet: Sheet) -> dict[str, str]:
    """Argilla's name of each input field and of the answer field."""
    return safe_names(sheet.names, _NAME, (*_own(sheet), *_THEIRS))


def _own(sheet: Sheet) -> tuple[str, str]:
    """The keys of the example's id and set, which tell a record that was exported from here."""
    return own_key("labelcast_id", sheet), own_key("labelcast_set", sheet)


def pack(rows: Sequence[Row], sheet: Sheet) -> list[dict[str, Any]]:
    """Records in the form of `Record.to_dict`; a known answer is a submitted response.

    Raises:
        InputError: a text has a null character.
    """
    refuse_nul(rows, sheet, "Argilla")
    safe = names(sheet)
    return [_record(row, sheet, safe) for row in rows]


def _record(row: Row, sheet: Sheet, safe: Mapping[str, str]) -> dict[str, Any]:
    answer, (own, group) = row[sheet.answer], _own(sheet)
    response = {"value": answer, "user_id": _NOBODY, "status": _SUBMITTED}
    return {
        "id": row["id"],
        "fields": {safe[name]: row[name] for name in sheet.fields},
        "metadata": {own: row["id"], group: row["set"]},
        "suggestions": {},
        "responses": {safe[sheet.answer]: [response]} if answer else {},
        "vectors": {},
        "status": "completed" if answer else "pending",
    }


def settings(sheet: Sheet) -> str:
    """The settings of the data set, as `Settings.from_json` reads them."""
    safe = names(sheet)
    fields = [
        _named(safe[name], title) | {"settings": {"type": "text", "use_markdown": False}}
        for name, title in sheet.titled
    ]
    parts = {
        "guidelines": sheet.instruction[:_GUIDELINES],
        "fields": fields,
        "questions": [_named(safe[sheet.answer], sheet.answer) | {"settings": _question(sheet)}],
        "vectors": [],
        "metadata": [],
        "allow_extra_metadata": True,
        "distribution": {"strategy": "overlap", "min_submitted": 1},
        "mapping": None,
    }
    return json.dumps(parts, indent=1) + "\n"


def _named(name: str, title: str) -> dict[str, Any]:
    return {"name": name, "title": title[:_TITLE] or name, "required": True}


def _question(sheet: Sheet) -> dict[str, Any]:
    """A choice of labels, or a text where any is allowed or the labels are none that it takes."""
    if len(sheet.answers) in _LABELS and all(0 < len(text) <= _LABEL for text in sheet.answers):
        options = [{"value": text, "text": text} for text in sheet.answers]
        return {"type": "label_selection", "options": options, "visible_options": None}
    return {"type": "text", "use_markdown": False}


def is_ours(values: Mapping[str, Any], sheet: Sheet) -> bool:
    """Whether a record is one that was exported from here."""
    own, metadata = _own(sheet)[0], values.get("metadata")
    return (isinstance(metadata, dict) and own in metadata) or {own, "_server_id"} <= values.keys()


def is_theirs(values: Mapping[str, Any]) -> bool:
    """Whether a record has the shape of Argilla's."""
    fields, flat = values.get("fields"), any(str(key).endswith(".responses") for key in values)
    return (isinstance(fields, dict) and "responses" in values) or (flat and "status" in values)


def unpack(values: Mapping[str, Any], sheet: Sheet, where: str) -> dict[str, Any]:
    """Id, input fields and answer of a record; blank where no response is submitted.

    Raises:
        InputError: its shape is not Argilla's, or users gave different answers.
    """
    safe, key = names(sheet), _own(sheet)[0]
    question = safe[sheet.answer]
    if isinstance(values.get("fields"), dict) or isinstance(values.get("responses"), dict):
        fields = expect(values, "fields", dict, where)
        own = expect(values, "metadata", dict, where).get(key)
        given = _nested(values, question, where)
    else:
        fields, own = values, values.get(key)
        given = _flat(values, question, where)
    place = f"{where}, response to {question!r}"
    answer = one_answer((value for value in given if value is not None), place)
    own = values.get("id") if own is None else own
    return {"id": own, **renamed(fields, sheet, safe), sheet.answer: answer}


def _nested(values: Mapping[str, Any], question: str, where: str) -> list[Any]:
    """Responses as in `Record.to_dict`.

    Without a status of their own they count where the record's says that it is completed, or
    where it has not been on a server, which alone sets it.
    """
    responses = objects(expect(values, "responses", dict, where), question, where)
    done = values.get("status") in (None, "completed") or values.get("_server_id") is None
    return [
        item.get("value")
        for _, item in responses
        if item.get("status") == _SUBMITTED or (item.get("status") is None and done)
    ]


def _flat(values: Mapping[str, Any], question: str, where: str) -> list[Any]:
    """Responses as in `to_list(flatten=True)`: a list of values and a list of their states."""
    key = f"{question}.responses"
    given, states = (expect(values, name, list, where) for name in (key, f"{key}.status"))
    if len(given) != len(states):
        raise InputError(f"{where}, field {key!r}: {len(given)} values and {len(states)} states.")
    return [value for value, state in zip(given, states, strict=True) if state == _SUBMITTED]
