"""Sources of records: JSONL, a JSON array, CSV, Parquet, the hub, or a task's own data."""

from __future__ import annotations

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from labelcast.errors import InputError, brief
from labelcast.files.untrusted import refuse_special
from labelcast.tasks import generated
from labelcast.tasks.task import ROLES, Task
from labelcast.tasks.values import as_text

FORMATS = "JSONL (.jsonl), a JSON array (.json), CSV (.csv), Parquet (.parquet), hub:OWNER/NAME"
GENERATED_SIZE = 8000
Places = Iterator[tuple[str, object]]
"""Each record's place in its file, and its value."""
Reader = Callable[[Path], Places]
_LONGEST_FIELD = 2**31 - 1
_PARQUET_ROWS = 256
_URL = re.compile(r"[a-z][a-z0-9+.-]+:/")  # a path has lost the second slash


@dataclass(frozen=True)
class Record:
    """One record: its position in the source from 0, its place for messages, and its fields."""

    index: int
    where: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Source:
    """A source of records.

    Attributes:
        spec: the user's text, with a file's path made absolute.
        records: starts a new pass over the records.
    """

    spec: str
    records: Callable[[], Iterator[Record]]


def open_source(spec: str | Path, *, ending: str | None = None) -> Source:
    """Open a data file or a named source.

    Args:
        spec: a path, ``hub:OWNER/NAME[:CONFIG][:SPLIT]``, ``generated:NAME:SIZE[:SEED]``, or
            ``task:NAME[:ROLE]``: the data of a catalogue task for the role train, valid or test,
            or the first 8,000 records of a generated task.
        ending: read a file as if its name ended like this.

    Raises:
        InputError: no readable data there.
    """
    text = str(spec)
    named = {"hub": _hub, "generated": _generated, "task": _task_data}
    kind, colon, _ = text.partition(":")
    if colon and kind in named:
        return named[kind](text)
    path = Path(text)
    check_file(path)
    reader = _READERS.get(ending or path.suffix.lower())
    if reader is None:
        raise InputError(f"{text}: unknown ending {path.suffix!r}. A data file is {FORMATS}.")
    return Source(str(path.resolve()), lambda: _numbered(path, reader))


def open_csv(path: Path, delimiter: str, encoding: str) -> Source:
    """Open a CSV file with another delimiter or encoding, as spreadsheets write them."""
    check_file(path)
    reader = partial(_read_csv, delimiter=delimiter, encoding=encoding)
    return Source(str(path.resolve()), lambda: _numbered(path, reader))


def check_file(path: Path) -> None:
    """Refuse a path that is not a readable, non-empty file."""
    refuse_special(path)
    if _URL.match(str(path)):
        spelled = str(path).replace(":/", "://", 1)
        raise InputError(f"{spelled}: an address on the web. Download the file, and give its path.")
    if not path.exists():
        raise InputError(f"{path}: no such file. A data file is {FORMATS}.")
    if path.is_dir():
        raise InputError(f"{path}: a folder, but a data file is needed: {FORMATS}.")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty.")


def _numbered(path: Path, reader: Reader) -> Iterator[Record]:
    """Number the records, and raise the errors that all file formats share."""
    index = -1
    try:
        for index, (place, values) in enumerate(reader(path)):
            where = f"{path.name} {place}"
            if not isinstance(values, dict):
                raise InputError(f"{where}: a record must be an object with named fields.")
            yield Record(index, where, values)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not UTF-8 text after record {index + 1} ({error.reason}). "
            "Save the file as UTF-8."
        ) from None
    except PermissionError:
        raise InputError(f"{path}: no permission to read it.") from None
    if index < 0:
        raise InputError(f"{path}: no records in it.")


def _parse_json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        fault = f"{error.msg.removesuffix(' at')} ({line}column {error.colno})"
    except ValueError as error:  # an integer with thousands of digits
        fault = str(error).split(";")[0]
    except RecursionError:
        fault = "nested too deep"
    raise InputError(f"{where}: not valid JSON: {fault}.")


def _read_jsonl(path: Path) -> Places:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield f"line {number}", _parse_json(line, f"{path.name} line {number}")


def _read_json(path: Path) -> Places:
    text = path.read_text("utf-8-sig")
    if not text.lstrip().startswith("["):
        raise InputError(f"{path.name}: not a JSON array. For one object per line use .jsonl")
    for number, item in enumerate(_parse_json(text, path.name), 1):
        yield f"record {number}", item


def _read_csv(path: Path, delimiter: str = ",", encoding: str = "utf-8-sig") -> Places:
    csv.field_size_limit(_LONGEST_FIELD)
    with path.open(encoding=encoding, newline="") as stream:
        rows = csv.reader(stream, strict=True, delimiter=delimiter)
        try:
            header = next(rows, None) or []
            _check_header(header, f"{path.name} line 1")
            for row in rows:
                if row and len(row) != len(header):
                    raise InputError(
                        f"{path.name} line {rows.line_num}: {len(row)} values, but the header "
                        f"has {len(header)}. Quote a value that contains a comma."
                    )
                if row:
                    yield f"line {rows.line_num}", dict(zip(header, row, strict=True))
        except csv.Error as error:
            raise InputError(f"{path.name} line {rows.line_num}: not valid CSV: {error}.") from None


def _check_header(header: list[str], where: str) -> None:
    if any("\0" in name for name in header):  # UTF-16
        raise InputError(f"{where}: not UTF-8 text. Save the file as UTF-8.")
    if not any(name.strip() for name in header):
        raise InputError(f"{where}: no header with the names of the columns.")
    if len(header) == 1 and (found := set(header[0]) & set(";\t")):
        raise InputError(
            f"{where}: the columns are separated by {min(found)!r}. Save the file with commas."
        )
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        raise InputError(f"{where}: column {min(repeated)!r} appears twice.")


def _read_parquet(path: Path) -> Places:
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        # Arrow takes a colon in a relative path for the end of a scheme such as `s3:`.
        with pyarrow.parquet.ParquetFile(path.absolute()) as table:
            for batch in table.iter_batches(batch_size=_PARQUET_ROWS):
                for values in batch.to_pylist():
                    number += 1
                    yield f"row {number}", values
    except (pyarrow.ArrowException, OSError, OverflowError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({brief(error)}).") from None


def _hub(spec: str) -> Source:
    name, *rest = spec.removeprefix("hub:").split(":")
    if not name or len(rest) > 2:
        raise InputError(f"{spec}: expected hub:OWNER/NAME[:CONFIG][:SPLIT].")
    config = rest[0] if len(rest) == 2 else None
    split = rest[-1] if rest else "train"

    def records() -> Iterator[Record]:
        import datasets

        datasets.disable_progress_bars()
        try:
            if Path(name).is_dir():
                _refuse_outside(spec, Path(name), datasets.load_dataset_builder(name, config))
            rows = datasets.load_dataset(name, config, split=split)
        except InputError:
            raise
        except Exception as error:  # the library raises a dozen unrelated types
            raise InputError(
                f"{spec}: the hub's dataset could not be loaded: {brief(error, 300)}"
            ) from None
        for index, values in enumerate(rows):
            yield Record(index, f"{spec} row {index + 1}", dict(values))

    return Source(spec, records)


def _refuse_outside(spec: str, folder: Path, builder: Any) -> None:
    """Refuse a local copy of a data set whose README names files outside its folder."""
    inside = os.path.realpath(folder)
    for names in (builder.config.data_files or {}).values():
        for name in names:
            if not Path(os.path.realpath(name)).is_relative_to(inside):
                raise InputError(f"{spec}: it names {name!s:.200}, which is not in that folder.")


def _generated(spec: str) -> Source:
    parts = spec.split(":")[1:]
    if not 2 <= len(parts) <= 3 or not all(part.isdigit() for part in parts[1:]):
        raise InputError(
            f"{spec}: expected generated:NAME:SIZE[:SEED] with NAME one of "
            f"{', '.join(generated.NAMES)}."
        )
    name, (size, seed) = parts[0], map(int, [*parts[1:], "0"][:2])
    generated.generate(name, size, seed)  # refuses an unknown name before the first record

    def records() -> Iterator[Record]:
        for index, values in enumerate(generated.generate(name, size, seed)):
            yield Record(index, f"{spec} record {index + 1}", dict(values))

    return Source(spec, records)


def _task_data(spec: str) -> Source:
    name, _, given = spec.removeprefix("task:").partition(":")
    role = next((role for role in ROLES if role == (given or "train")), None)
    if role is None:
        raise InputError(f"{spec}: expected task:NAME[:ROLE] with ROLE train, valid or test.")
    task = Task.load(name)
    if Path(name).is_file():
        spec = f"task:{Path(name).resolve()}:{role}"
    if task.hub is not None:
        source, blank = open_source(task.hub.spec(role)), task.hub.unlabelled
        return Source(spec, lambda: _labelled(source, task.answer, blank))
    if task.data is None:
        note = f" {task.note}" if task.note else ""
        raise InputError(f"{spec}: the task has no data of its own; give a data file.{note}")
    if task.data.startswith("task:"):
        raise InputError(f"{spec}: its 'data' is {task.data}; a task's data cannot be a task.")
    if role != "train":
        raise InputError(f"{spec}: the task has one set of examples and no {role!r} split.")
    size = f":{GENERATED_SIZE}" if task.kind == "generated" and task.data.count(":") == 1 else ""
    return Source(spec, open_source(task.data + size).records)


def _labelled(source: Source, answer: str, blank: str | None) -> Iterator[Record]:
    """The records without those that the publisher left unlabelled, whose answer is `blank`."""
    index = 0
    for record in source.records():
        value = record.values.get(answer, "")
        if blank is None or (value is not None and as_text(value, record.where) != blank):
            yield replace(record, index=index)
            index += 1


_READERS: dict[str, Reader] = {
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
