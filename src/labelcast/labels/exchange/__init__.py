"""Label files of other tools, out and in: JSONL, CSV, Label Studio, Prodigy, Argilla.

A row holds ``id``, ``set``, the input fields and the answer, all of them texts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from labelcast.errors import InputError
from labelcast.files.json_files import write_jsonl, write_text
from labelcast.labels.exchange import argilla, label_studio, prodigy, tables
from labelcast.labels.exchange.sheet import Row, Sheet, texts
from labelcast.tasks.sources import Record
from labelcast.tasks.values import as_text

__all__ = ["FORMS", "Sheet", "companion", "form_of", "read", "write"]

FORMS = ("jsonl", "csv", "label-studio", "prodigy", "argilla")
# In the order in which they are asked whether a record is theirs.
_NESTED: dict[str, ModuleType] = {
    "argilla": argilla,
    "prodigy": prodigy,
    "label-studio": label_studio,
}
_SECOND: dict[str, tuple[str, Callable[[Sheet], str]]] = {
    "label-studio": (".config.xml", label_studio.config),
    "argilla": (".settings.json", argilla.settings),
}
_ENDINGS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".json": "label-studio"}


def form_of(path: Path, wanted: str | None) -> str:
    """The form to write: the one named, else by the file's ending.

    Raises:
        InputError: an unknown form or ending.
    """
    form = wanted or _ENDINGS.get(path.suffix.lower())
    if form not in FORMS:
        raise InputError(
            f"{path}: in which form? Give --format {', '.join(FORMS)}, "
            f"or a name that ends in {', '.join(_ENDINGS)}."
        )
    return form


def companion(path: Path, form: str, sheet: Sheet) -> tuple[Path, str] | None:
    """The second file that a form needs, with its text: how its tool is to show the examples.

    Raises:
        InputError: the form cannot hold the task.
    """
    if form not in _SECOND:
        return None
    ending, make = _SECOND[form]
    return path.with_suffix(ending), make(sheet)


def write(path: Path, form: str, rows: Sequence[Row], sheet: Sheet) -> Path | None:
    """Write rows in a form of `FORMS`.

    Returns:
        The second file, where the form has one.

    Raises:
        InputError: the form cannot hold a text.
        RunError: a file cannot be written.
    """
    for place, text in texts(rows, sheet):
        as_text(text, place)
    second = companion(path, form, sheet)
    records = _NESTED[form].pack(rows, sheet) if form in _NESTED else [dict(row) for row in rows]
    if second is not None:
        write_text(*second)
    if form == "csv":
        tables.write_csv(path, rows)
    # Prodigy goes by the ending: an array in .json, one task a line in .jsonl.
    elif form in _SECOND or (form == "prodigy" and path.suffix.lower() == ".json"):
        # As ASCII, since Argilla's library reads it in whatever encoding the machine has.
        write_text(path, json.dumps(records, indent=1) + "\n")
    else:
        write_jsonl(path, records)
    return second[0] if second else None


def read(path: Path, sheet: Sheet, form: str | None = None) -> Iterator[Record]:
    """The records of a label file, each with id, input fields and answer, whatever its form.

    Args:
        path: of the file.
        sheet: what was asked; the names of its fields go first in telling the forms apart.
        form: one of `FORMS`; told from each record where it is not given.

    Raises:
        InputError: an unknown form, or the file is missing, broken, or not of the form.
    """
    if form is not None:
        form_of(path, form)
    names = {sheet.answer, label_studio.names(sheet)[sheet.answer]}
    for record in tables.records(path, form, names):
        nested = _NESTED.get(form) if form else _told(record.values, sheet)
        if nested is None:
            yield record
        else:
            yield replace(record, values=nested.unpack(record.values, sheet, record.where))


def _told(values: Mapping[str, Any], sheet: Sheet) -> ModuleType | None:
    """The module of a record's form; None where it is flat."""
    for nested in _NESTED.values():
        if nested.is_ours(values, sheet):
            return nested
    if all(name in values and _is_plain(values[name]) for name in sheet.names):
        return None
    return next((nested for nested in _NESTED.values() if nested.is_theirs(values)), None)


def _is_plain(value: Any) -> bool:
    """Whether a value may stand in a flat record: a text, a number, choices, or a list of texts."""
    if isinstance(value, Mapping):
        return set(value) == {"label", "text"}
    return not isinstance(value, list) or not any(isinstance(item, dict | list) for item in value)
