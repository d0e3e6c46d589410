"""Label files of other tools, written and read: JSONL, CSV, Label Studio, Prodigy, Argilla.

A row has ``id``, ``set``, the input fields and the answer, all of them texts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from labelcast.errors import InputError
from labelcast.labels.exchange import argilla, foreign, label_studio, prodigy, tables
from labelcast.labels.exchange.foreign import ForeignFormat, JsonObject, Row
from labelcast.labels.label_task import LabelTask
from labelcast.tasks.sources import Record
from labelcast.tasks.values import field_or

_FOREIGN: dict[str, ForeignFormat] = {
    "label-studio": label_studio,
    "prodigy": prodigy,
    "argilla": argilla,
}
FORMATS = ("jsonl", "csv", *_FOREIGN)
_CONFIGS = {
    "label-studio": (".config.xml", label_studio.config),
    "argilla": (".settings.json", argilla.settings),
}
_ENDINGS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".json": "label-studio"}


def format_of(path: Path, wanted: str | None) -> str:
    """The format to write: the one given, else by the file's ending."""
    file_format = wanted or _ENDINGS.get(path.suffix.lower())
    if file_format not in FORMATS:
        raise InputError(
            f"{path}: in which format? Give --format {', '.join(FORMATS)}, "
            f"or a name that ends in {', '.join(_ENDINGS)}."
        )
    return file_format


def format_option(path: Path, file_format: str) -> list[str]:
    """The option that names the format of an exported file; empty if the ending says it."""
    return [] if _ENDINGS.get(path.suffix.lower()) == file_format else ["--format", file_format]


def config_path(path: Path, file_format: str) -> Path | None:
    """The file beside `path` that configures the tool; None if it needs none."""
    return path.with_suffix(_CONFIGS[file_format][0]) if file_format in _CONFIGS else None


def texts(path: Path, file_format: str, rows: Sequence[Row], task: LabelTask) -> dict[Path, str]:
    """Rows in one of `FORMATS`: the texts of `path` and of the tool's configuration, if any.

    Raises:
        InputError: the format cannot hold a text.
    """
    config = config_path(path, file_format)
    nulls = [(row["id"], name) for row in rows for name in row if "\0" in row[name]]
    if config and nulls:
        raise InputError(
            f"example {nulls[0][0]}, field {nulls[0][1]!r}: has a null character, which "
            f"{file_format} cannot store. Export as jsonl."
        )
    records = _FOREIGN[file_format].pack(rows, task) if file_format in _FOREIGN else rows
    if file_format == "csv":
        text = tables.csv_text(rows)
    # Prodigy reads by the ending: an array in .json, one task a line in .jsonl.
    elif config or (file_format == "prodigy" and path.suffix.lower() == ".json"):
        # ASCII, since Argilla's library reads it in the machine's own encoding.
        text = json.dumps(records, indent=1) + "\n"
    else:
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    return {path: text} | ({config: _CONFIGS[file_format][1](task)} if config else {})


def read(path: Path, task: LabelTask, file_format: str | None = None) -> Iterator[Record]:
    """The records of a label file, with id, input fields and answer.

    Without a format, each record's is recognised.

    Raises:
        InputError: an unknown format, or the file is missing, broken, or in another format.
    """
    if file_format is not None:
        format_of(path, file_format)
    for record in tables.records(path, file_format):
        tool = _FOREIGN.get(file_format) if file_format else _recognised(record.values, task)
        if tool is None:
            yield record
        else:
            yield replace(record, values=tool.unpack(record.values, task, record.where))


def _recognised(values: JsonObject, task: LabelTask) -> ForeignFormat | None:
    """The tool that a record comes from; None if it is flat."""
    keys, data = values.keys(), values.get("data")
    marked = foreign.is_marked(values, task)
    # First by our marks: a field of the task may be named like a key of a tool.
    if foreign.is_marked(values.get("metadata"), task) or (marked and "_server_id" in keys):
        return argilla
    if prodigy.is_ours(values, task):
        return prodigy
    if marked or foreign.is_marked(data, task):
        return label_studio
    # A part of a field may be missing, as an optional `options.B` is.
    known = all(name in values or name.partition(".")[0] in values for name in task.names)
    if known and all(_is_plain(field_or(values, name)) for name in task.names):
        return None
    flat = any(str(key).endswith(".responses") for key in keys)
    nested = isinstance(values.get("fields"), dict)
    if (nested and "responses" in keys) or (flat and "status" in keys):
        return argilla
    if {"_input_hash", "options", "accept", "field_id"} & keys:
        return prodigy
    if isinstance(data, dict) or {"annotation_id", "lead_time"} <= keys:
        return label_studio
    return None


def _is_plain(value: Any) -> bool:
    """Whether a flat record may have a value: text, a number, choices, or a list of texts."""
    if isinstance(value, Mapping):
        return set(value) == {"label", "text"}
    return not isinstance(value, list) or not any(isinstance(item, dict | list) for item in value)
