"""Label Studio: tasks and a labelling configuration out; its JSON, JSON-MIN and CSV in.

A field's key in the data is a name that the configuration can refer to as ``$key``. Answers are
annotations, never predictions; predictions that come back are not read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
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

# Label Studio reads a name that says true or false as no name.
_NAME = re.compile(r"(?!(?i:true|false)$)[A-Za-z_][A-Za-z0-9_]*")
# What JSON-MIN and CSV put beside the data, and so over a field of such a name; what is no name
# to the page; what tells a record of Argilla.
_THEIRS = (
    *("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement"),
    *("true", "false", "__proto__", "_server_id"),
)
_HOTKEYS = "1234567890"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}
_ESCAPES |= {"\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
# Label Studio puts data in the place of ``$name`` in any text; this keeps the two apart, unseen.
_DOLLAR = "$\u2060"


def names(sheet: Sheet) -> dict[str, str]:
    """Label Studio's name of each input field and of the answer field."""
    return safe_names(sheet.names, _NAME, (*_own(sheet), *_THEIRS))


def _own(sheet: Sheet) -> tuple[str, str]:
    """The keys of the example's id and set, which tell a record that was exported from here."""
    return own_key("labelcast_id", sheet), own_key("labelcast_set", sheet)


def pack(rows: Sequence[Row], sheet: Sheet) -> list[dict[str, Any]]:
    """Tasks that Label Studio imports; a known answer is an annotation.

    Raises:
        InputError: a text has a null character.
    """
    refuse_nul(rows, sheet, "Label Studio")
    safe, (own, group) = names(sheet), _own(sheet)
    kind = "choices" if sheet.answers else "textarea"
    found = []
    for row in rows:
        data = {own: row["id"], group: row["set"]}
        task: dict[str, Any] = {"data": data | {safe[name]: row[name] for name in sheet.fields}}
        if row[sheet.answer]:
            key = "choices" if sheet.answers else "text"
            result: dict[str, Any] = {
                "from_name": safe[sheet.answer],
                "to_name": safe[sheet.fields[0]],
            }
            result |= {"type": kind, "value": {key: [row[sheet.answer]]}}
            task["annotations"] = [{"result": [result]}]
        found.append(task)
    return found


def config(sheet: Sheet) -> str:
    """The labelling configuration to which the tasks belong.

    Raises:
        InputError: an allowed answer has a character that XML cannot hold.
    """
    safe = names(sheet)
    lines = [
        _tag("Header", value=_shown(sheet.instruction), size="4", style="white-space: pre-wrap")
    ]
    for name, title in sheet.titled:
        lines.append(_tag("Header", value=_shown(title), size="5"))
        lines.append(_tag("Text", name=safe[name], value=f"${safe[name]}", valueType="text"))
    answer = {"name": safe[sheet.answer], "toName": safe[sheet.fields[0]], "required": "true"}
    lines.append(_tag("Header", value=_shown(sheet.answer), size="5"))
    if sheet.answers:
        lines.append(_tag("Choices", close=">", **answer, choice="single-radio", showInline="true"))
        lines += [f"  {_choice(text, n)}" for n, text in enumerate(sheet.answers)]
        lines.append("</Choices>")
    else:
        lines.append(_tag("TextArea", **answer, rows="3", editable="true", maxSubmissions="1"))
    return "\n".join(["<View>", *(f"  {line}" for line in lines), "</View>"]) + "\n"


def _choice(text: str, number: int) -> str:
    if _NOT_XML.search(text):
        raise InputError(
            f"allowed answer {text!r}: has a character that Label Studio's configuration (XML) "
            "cannot hold. Export as jsonl."
        )
    shown = _shown(text)
    keys = {"value": shown} | ({"alias": text} if shown != text else {})
    if number < len(_HOTKEYS):
        keys["hotkey"] = _HOTKEYS[number]
    return _tag("Choice", **keys)


def _shown(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text).replace("$", _DOLLAR)


def _tag(tag: str, close: str = "/>", **keys: str) -> str:
    # Always with double quotes: Label Studio looks for names with a pattern that knows no others.
    escaped = {key: "".join(_ESCAPES.get(c, c) for c in text) for key, text in keys.items()}
    return " ".join([f"<{tag}", *(f'{key}="{text}"' for key, text in escaped.items())]) + close


def is_ours(values: Mapping[str, Any], sheet: Sheet) -> bool:
    """Whether a record is one that was exported from here."""
    own, data = _own(sheet)[0], values.get("data")
    return own in values or (isinstance(data, dict) and own in data)


def is_theirs(values: Mapping[str, Any]) -> bool:
    """Whether a record has the shape of Label Studio's exports."""
    return isinstance(values.get("data"), dict) or {"annotation_id", "lead_time"} <= values.keys()


def unpack(values: Mapping[str, Any], sheet: Sheet, where: str) -> dict[str, Any]:
    """Id, input fields and answer of a record.

    Raises:
        InputError: its shape is not Label Studio's, or people gave different answers.
    """
    safe, key = names(sheet), _own(sheet)[0]
    if "data" in values and key not in values:
        data = expect(values, "data", dict, where)
        answer = _annotated(values, {safe[sheet.answer], sheet.answer}, where)
    else:
        data = values
        name = safe[sheet.answer] if safe[sheet.answer] in values else sheet.answer
        answer = one_answer(_given(values.get(name), where), f"{where}, field {name!r}")
    own = data.get(key, data.get("id"))
    return {"id": own, **renamed(data, sheet, safe), sheet.answer: answer}


def _annotated(values: Mapping[str, Any], wanted: Collection[Any], where: str) -> str | None:
    """The answer in a task's annotations; the one marked as ground truth goes before the rest."""
    key = "annotations" if values.get("annotations") is not None else "completions"
    found = [
        (place, item)
        for place, item in objects(values, key, where)
        if not item.get("was_cancelled") and not item.get("skipped")
    ]
    found = [pair for pair in found if pair[1].get("ground_truth") is True] or found
    results = [pair for place, item in found for pair in objects(item, "result", place)]
    # Where the configuration is ours, other controls hold other things, such as notes.
    named = [pair for pair in results if isinstance(pair[1].get("from_name"), str)]
    results = [pair for pair in named if pair[1]["from_name"] in wanted] or results
    answers: list[Any] = []
    for place, result in results:
        if result.get("type") != "relation":
            answers += _given(expect(result, "value", dict, place), place)
    return one_answer(answers, where)


def _given(value: Any, where: str) -> list[Any]:
    """The answers in a value: a choice, a text, a number, or several of them."""
    if isinstance(value, dict):
        return [a for key in ("choices", "text", "number") for a in _given(value.get(key), where)]
    if isinstance(value, list):
        return [answer for item in value for answer in _given(item, where)]
    return [] if value is None else [value]
