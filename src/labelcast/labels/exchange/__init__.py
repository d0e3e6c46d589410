"""Label files of other tools, written and read: JSONL, CSV, Label Studio, Prodigy, Argilla.

A row has ``id``, ``set``, the input fields and the answer, all of them texts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from labelcast.errors import InputError
from labelcast.files.json_files import write_jsonl, write_text
from labelcast.labels.exchange import argilla, label_studio, prodigy, tables
from labelcast.labels.exchange.foreign import ForeignFormat, JsonObject, Row
from labelcast.labels.label_task import LabelTask
from labelcast.tasks.sources import Record

FORMATS = ("jsonl", "csv", "label-studio", "prodigy", "argilla")
# In the order in which a record is checked against them.
_FOREIGN: dict[str, ForeignFormat] = {
    "argilla": argilla,
    "prodigy": prodigy,
    "label-studio": label_studio,
}
_CONFIGS: dict[str, tuple[str, Callable[[LabelTask], str]]] = {
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


def config_file(path: Path, file_format: str, task: LabelTask) -> tuple[Path, str] | None:
    """The file that configures the tool for a task, and its text; None if it needs none."""
    ending, make = _CONFIGS.get(file_format, ("", None))
    return None if make is None else (path.with_suffix(ending), make(task))


def write(path: Path, file_format: str, rows: Sequence[Row], task: LabelTask) -> Path | None:
    """Write rows in one of `FORMATS`; returns the tool's configuration file, if it needs one.

    Raises:
        InputError: the format cannot hold a text.
        RunError: a file cannot be written.
    """
    config = config_file(path, file_format, task)
    nulls = [(row["id"], name) for row in rows for name in row if "\0" in row[name]]
    if config and nulls:
        raise InputError(
            f"example {nulls[0][0]}, field {nulls[0][1]!r}: has a null character, which "
            f"{file_format} cannot store. Export as jsonl."
        )
    foreign = _FOREIGN.get(file_format)
    records = foreign.pack(rows, task) if foreign else [dict(row) for row in rows]
    if config is not None:
        write_text(*config)
    if file_format == "csv":
        tables.write_csv(path, rows)
    # Prodigy reads by the ending: an array in .json, one task a line in .jsonl.
    elif config is not None or (file_format == "prodigy" and path.suffix.lower() == ".json"):
        # ASCII, since Argilla's library reads it in the machine's own encoding.
        write_text(path, json.dumps(records, indent=1) + "\n")
    else:
        write_jsonl(path, records)
    return config[0] if config else None


def read(path: Path, task: LabelTask, file_format: str | None = None) -> Iterator[Record]:
    """The records of a label file, with id, input fields and answer.

    Without a format, each record's is recognised.

    Raises:
        InputError: an unknown format, or the file is missing, broken, or in another format.
    """
    if file_format is not None:
        format_of(path, file_format)
    names = {task.answer, label_studio.names(task)[task.answer]}
    for record in tables.records(path, file_format, names):
        foreign = _FOREIGN.get(file_format) if file_format else _recognised(record.values, task)
        if foreign is None:
            yield record
        else:
            yield replace(record, values=foreign.unpack(record.values, task, record.where))


def _recognised(values: JsonObject, task: LabelTask) -> ForeignFormat | None:
    """The tool that a record comes from; None if it is flat."""
    for foreign in _FOREIGN.values():
        if foreign.is_ours(values, task):
            return foreign
    if all(name in values and _is_plain(values[name]) for name in task.names):
        return None
    return next((foreign for foreign in _FOREIGN.values() if foreign.is_theirs(values)), None)


def _is_plain(value: Any) -> bool:
    """Whether a flat record may have a value: text, a number, choices, or a list of texts."""
    if isinstance(value, Mapping):
        return set(value) == {"label", "text"}
    return not isinstance(value, list) or not any(isinstance(item, dict | list) for item in value)
