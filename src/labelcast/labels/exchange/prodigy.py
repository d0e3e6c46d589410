"""Prodigy: tasks for its ``choice`` or ``text_input`` interface out, what ``db-out`` writes in.

Texts go into ``text``, which Prodigy shows as plain text, and never into ``html``. The input
fields travel whole under a key of our own, which Prodigy keeps and does not show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from labelcast.errors import InputError
from labelcast.labels.exchange.sheet import Row, Sheet, expect, objects, one_answer, own_key

_OURS = "labelcast"
_TEXT_KEY = "labelcast_answer"
_DECISIONS = ("accept", "reject", "ignore")


def pack(rows: Sequence[Row], sheet: Sheet) -> list[dict[str, Any]]:
    """Tasks in Prodigy's form; a known answer is accepted already."""
    return [_task(row, sheet) for row in rows]


def _task(row: Row, sheet: Sheet) -> dict[str, Any]:
    fields = {name: row[name] for name in sheet.fields}
    task: dict[str, Any] = {
        "text": "\n".join(f"{title}: {fields[name]}" for name, title in sheet.titled)
        if len(fields) > 1
        else next(iter(fields.values())),
        "meta": {"id": row["id"], "set": row["set"]},
        own_key(_OURS, sheet): {"id": row["id"], "set": row["set"], "fields": fields},
    }
    answer = row[sheet.answer]
    if sheet.answers:
        task["options"] = [{"id": text, "text": text} for text in sheet.answers]
        known: dict[str, Any] = {"accept": [answer]}
    else:
        task |= {"field_id": _TEXT_KEY, "field_label": sheet.answer, "field_rows": 3}
        known = {_TEXT_KEY: answer}
    return task | (known | {"answer": "accept"} if answer else {})


def is_ours(values: Mapping[str, Any], sheet: Sheet) -> bool:
    """Whether a record is one that was exported from here."""
    ours = values.get(own_key(_OURS, sheet))
    return isinstance(ours, dict) and "fields" in ours


def is_theirs(values: Mapping[str, Any]) -> bool:
    """Whether a record has the shape of Prodigy's tasks."""
    options = values.get("options")
    return (
        {"_input_hash", "_task_hash"} <= values.keys()
        or "field_id" in values
        or (isinstance(options, list) and any(isinstance(item, dict) for item in options))
        or (isinstance(values.get("accept"), list) and values.get("answer") in _DECISIONS)
    )


def unpack(values: Mapping[str, Any], sheet: Sheet, where: str) -> dict[str, Any]:
    """Id, input fields and answer of a record; blank where it was rejected or ignored.

    Raises:
        InputError: its shape is not Prodigy's, or several options are accepted.
    """
    if is_ours(values, sheet):
        key = own_key(_OURS, sheet)
        ours = values[key]
        fields = expect(ours, "fields", dict, f"{where}, field {key!r}")
        found = {"id": ours.get("id"), **{n: fields[n] for n in sheet.fields if n in fields}}
    else:
        found = {n: values[n] for n in sheet.fields if n in values}
        if len(sheet.fields) == 1 and "text" in values:
            found = {sheet.fields[0]: values["text"], **found}
        found["id"] = expect(values, "meta", dict, where).get("id", values.get("id"))
    return found | {sheet.answer: _answer(values, where)}


def _answer(values: Mapping[str, Any], where: str) -> str | None:
    decision = values.get("answer")
    if decision is not None and decision not in _DECISIONS:
        raise InputError(
            f"{where}, field 'answer': {str(decision)[:40]!r} is none of {', '.join(_DECISIONS)}."
        )
    if decision != "accept":
        return None
    if "accept" in values or "options" in values:
        texts = {
            item["id"]: item.get("text")
            for _, item in objects(values, "options", where)
            if isinstance(item.get("id"), str | int)
        }
        chosen = expect(values, "accept", list, where)
        return one_answer(
            (_chosen(key, texts, where) for key in chosen), f"{where}, field 'accept'"
        )
    keys = (_TEXT_KEY, values.get("field_id"), "user_input")
    key = next((key for key in keys if isinstance(key, str) and key in values), _TEXT_KEY)
    value = values.get(key)
    return None if value is None else one_answer([value], f"{where}, field {key!r}")


def _chosen(key: Any, texts: Mapping[Any, Any], where: str) -> Any:
    """What an accepted option stands for: its id is a number where people numbered them."""
    if isinstance(key, int) and isinstance(texts.get(key), str):
        return texts[key]
    if not isinstance(key, str | int):
        raise InputError(f"{where}, field 'accept': the ids of options must stand here.")
    return key
