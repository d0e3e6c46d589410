"""Label Studio: writes tasks and a labelling configuration; reads its JSON, JSON-MIN and CSV.

The configuration refers to each field of the data as ``$name``. Answers are annotations;
predictions are not used.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from labelcast.errors import InputError
from labelcast.labels.exchange import foreign
from labelcast.labels.exchange.foreign import ForeignRecord, JsonObject, Row
from labelcast.labels.label_task import LabelTask

# Label Studio does not accept `true` or `false` as a name.
_NAME = re.compile(r"(?!(?i:true|false)$)[A-Za-z_][A-Za-z0-9_]*")
# Keys that JSON-MIN and CSV put beside the data, replacing a field of the same name; names that
# the page cannot use; a key that marks a record of Argilla.
_THEIRS = (
    *("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement"),
    *("true", "false", "__proto__", "_server_id"),
)
_HOTKEYS = "1234567890"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}
_ESCAPES |= {"\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
# Label Studio replaces ``$name`` by data in any text; an invisible character prevents that.
_DOLLAR = "$\u2060"


class _Result(ForeignRecord):
    from_name: Any = None
    type: Any = None
    value: JsonObject | None = None


class _Annotation(ForeignRecord):
    was_cancelled: Any = False
    ground_truth: Any = None
    result: list[_Result] | None = None


class _Task(ForeignRecord):
    data: JsonObject | None = None
    annotations: list[_Annotation] | None = None


def names(task: LabelTask) -> dict[str, str]:
    """Label Studio's name of each input field and of the answer field."""
    return foreign.safe_names(task.names, _NAME, (*foreign.own_keys(task), *_THEIRS))


def pack(rows: Sequence[Row], task: LabelTask) -> list[JsonObject]:
    """Tasks for Label Studio to import; a known answer is an annotation."""
    safe, (own, group) = names(task), foreign.own_keys(task)
    kind, key = ("choices", "choices") if task.answers else ("textarea", "text")
    found = []
    for row in rows:
        data = {own: row["id"], group: row["set"]} | {safe[name]: row[name] for name in task.fields}
        result = {
            "from_name": safe[task.answer],
            "to_name": safe[task.fields[0]],
            "type": kind,
            "value": {key: [row[task.answer]]},
        }
        known = {"annotations": [{"result": [result]}]} if row[task.answer] else {}
        found.append({"data": data, **known})
    return found


def config(task: LabelTask) -> str:
    """The labelling configuration of the tasks."""
    safe = names(task)
    lines = [_tag("Header", value=_shown(task.guidelines), size="4", style="white-space: pre-wrap")]
    for name, title in task.titled:
        lines.append(_tag("Header", value=_shown(title), size="5"))
        lines.append(_tag("Text", name=safe[name], value=f"${safe[name]}", valueType="text"))
    answer = {"name": safe[task.answer], "toName": safe[task.fields[0]], "required": "true"}
    lines.append(_tag("Header", value=_shown(task.answer), size="5"))
    if task.answers:
        lines.append(_tag("Choices", close=">", **answer, choice="single-radio", showInline="true"))
        lines += [f"  {_choice(text, n)}" for n, text in enumerate(task.answers)]
        lines.append("</Choices>")
    else:
        lines.append(_tag("TextArea", **answer, rows="3", editable="true", maxSubmissions="1"))
    return "\n".join(["<View>", *(f"  {line}" for line in lines), "</View>"]) + "\n"


def _choice(text: str, number: int) -> str:
    if _NOT_XML.search(text):
        raise InputError(
            f"allowed answer {text!r}: has a character that Label Studio's configuration (XML) "
            "cannot contain. Export as jsonl."
        )
    shown = _shown(text)
    keys = {"value": shown} | ({"alias": text} if shown != text else {})
    if number < len(_HOTKEYS):
        keys["hotkey"] = _HOTKEYS[number]
    return _tag("Choice", **keys)


def _shown(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text).replace("$", _DOLLAR)


def _tag(tag: str, close: str = "/>", **keys: str) -> str:
    # Always double quotes: Label Studio finds names with a pattern that matches no others.
    escaped = {key: "".join(_ESCAPES.get(c, c) for c in text) for key, text in keys.items()}
    return " ".join([f"<{tag}", *(f'{key}="{text}"' for key, text in escaped.items())]) + close


def is_ours(values: JsonObject, task: LabelTask) -> bool:
    """Whether a record was exported by labelcast."""
    own, data = foreign.own_keys(task)[0], values.get("data")
    return own in values or (isinstance(data, dict) and own in data)


def is_theirs(values: JsonObject) -> bool:
    """Whether a record looks like one of Label Studio's exports."""
    return isinstance(values.get("data"), dict) or {"annotation_id", "lead_time"} <= values.keys()


def unpack(values: JsonObject, task: LabelTask, where: str) -> JsonObject:
    """Id, input fields and answer of a record."""
    safe, key = names(task), foreign.own_keys(task)[0]
    if "data" in values and key not in values:
        theirs = foreign.parse(_Task, values, where)
        data = theirs.data or {}
        answer = foreign.one_answer(_annotated(theirs, (safe[task.answer], task.answer)), where)
    else:
        data = values
        name = safe[task.answer] if safe[task.answer] in values else task.answer
        answer = foreign.one_answer(_given(values.get(name)), f"{where}, field {name!r}")
    own = data.get(key, data.get("id"))
    return {"id": own, **foreign.renamed(data, task, safe), task.answer: answer}


def _annotated(theirs: _Task, wanted: tuple[str, str]) -> list[Any]:
    """The answers in a task's annotations; those marked as ground truth take precedence."""
    found = [one for one in theirs.annotations or [] if not one.was_cancelled]
    found = [one for one in found if one.ground_truth is True] or found
    results = [result for one in found for result in one.result or []]
    # In our own configuration, other controls have other content, such as notes.
    results = [result for result in results if result.from_name in wanted] or results
    return [
        answer for result in results if result.type != "relation" for answer in _given(result.value)
    ]


def _given(value: Any) -> list[Any]:
    """The answers in a value: a choice, a text, a number, or several of them."""
    if isinstance(value, dict):
        return _given([value.get(key) for key in ("choices", "text", "number")])
    if isinstance(value, list):
        return [answer for item in value for answer in _given(item)]
    return [] if value is None else [value]
