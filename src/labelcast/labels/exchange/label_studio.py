"""Label Studio: writes tasks and a labelling configuration; reads its JSON, JSON-MIN and CSV.

The configuration refers to each field of the data as ``$name``. Answers are annotations;
predictions are not used.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from labelcast.errors import InputError
from labelcast.labels.exchange import foreign
from labelcast.labels.exchange.foreign import ForeignRecord, JsonObject, Names, Row
from labelcast.labels.label_task import LabelTask

# Label Studio does not accept `true` or `false` as a name.
_NAME = re.compile(r"(?!(?i:true|false)$)[A-Za-z_][A-Za-z0-9_]*")
# Keys that JSON-MIN and CSV put beside the data, replacing a field of the same name; names that
# the page cannot use; a key that marks a record of Argilla.
_THEIRS = (
    *("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement"),
    *("true", "false", "__proto__", "_server_id"),
)
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
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


def names(task: LabelTask) -> Names:
    """Label Studio's names of the fields of a task."""
    return Names.of(task, _NAME, _THEIRS)


def pack(rows: Sequence[Row], task: LabelTask) -> list[JsonObject]:
    """Tasks for Label Studio to import; a known answer is an annotation."""
    named = names(task)
    kind, key = ("choices", "choices") if task.answers else ("textarea", "text")
    control = {"from_name": named.answer, "to_name": named.safe[task.fields[0]], "type": kind}
    found = []
    for row in rows:
        result = control | {"value": {key: [row[task.answer]]}}
        known = {"annotations": [{"result": [result]}]} if row[task.answer] else {}
        found.append({"data": named.own(row) | named.inputs(row), **known})
    return found


def config(task: LabelTask) -> str:
    """The labelling configuration of the tasks."""
    named, view = names(task), Element("View")

    def header(text: str, **keys: str) -> None:
        SubElement(view, "Header", {"value": _shown(text), **keys})

    header(task.guidelines, size="4", style="white-space: pre-wrap")
    for name, title in task.titles.items():
        header(title, size="5")
        safe = named.safe[name]
        SubElement(view, "Text", name=safe, value=f"${safe}", valueType="text")
    header(task.answer, size="5")
    answer = {"name": named.answer, "toName": named.safe[task.fields[0]], "required": "true"}
    if task.answers:
        answer |= {"choice": "single-radio", "showInline": "true"}
        choices = SubElement(view, "Choices", answer)
        # An answer that is one digit has its own key.
        free = [digit for digit in "1234567890" if digit not in task.answers]
        for text in task.answers:
            key = text if text in [*"1234567890"] else free.pop(0) if free else None
            SubElement(choices, "Choice", _choice(text, key))
    else:
        answer |= {"rows": "3", "editable": "true", "maxSubmissions": "1"}
        SubElement(view, "TextArea", answer)
    indent(view)
    return tostring(view, encoding="unicode") + "\n"


def _choice(text: str, key: str | None) -> dict[str, str]:
    if _NOT_XML.search(text):
        raise InputError(
            f"allowed answer {text!r}: has a character that Label Studio's configuration (XML) "
            "cannot contain. Export as jsonl."
        )
    shown = _shown(text)
    keys = {"value": shown} | ({"alias": text} if shown != text else {})
    return keys | ({"hotkey": key} if key else {})


def _shown(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text).replace("$", _DOLLAR)


def unpack(values: JsonObject, task: LabelTask, where: str) -> JsonObject:
    """Id, input fields and answer of a record."""
    named = names(task)
    if "data" in values and named.id not in values:
        theirs = foreign.parse(_Task, values, where)
        data = theirs.data or {}
        answer = foreign.one_answer(_annotated(theirs, (named.answer, task.answer)), where)
    else:
        data = values
        name = named.answer if named.answer in values else task.answer
        answer = foreign.one_answer(_given(values.get(name)), f"{where}, field {name!r}")
    return named.unpacked(data, data.get(named.id, data.get("id")), answer)


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
