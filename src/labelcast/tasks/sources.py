"""Where records come from: JSONL, a JSON array, CSV, Parquet, the hub, a task that has its own.

Every source streams: one record at a time, with the place it came from for error messages. Nothing
read here is executed or unpickled.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, NoReturn

from labelcast.errors import InputError, brief, is_out_of_memory
from labelcast.files.untrusted import refuse_special
from labelcast.tasks import generated
from labelcast.tasks.json_stream import JsonStream, StreamFault
from labelcast.tasks.parquet_size import refuse_bomb, rows_at_once
from labelcast.tasks.task import ROLES, Role, Task
from labelcast.tasks.values import as_text

FORMATS = "JSONL (.jsonl), a JSON array (.json), CSV (.csv), Parquet (.parquet), hub:OWNER/NAME"
GENERATED_SIZE = 8000
_MAX_FIELD = 2**31 - 1


@dataclass(frozen=True)
class Record:
    """One record: its position in the source from 0, where it stands, and its fields."""

    index: int
    where: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Source:
    """A readable source of records; `records` may be called any number of times.

    Attributes:
        spec: what the user gave, with a file's path made absolute.
        records: starts a fresh pass over the records.
    """

    spec: str
    records: Callable[[], Iterator[Record]]


def open_source(spec: str | Path, *, ending: str | None = None) -> Source:
    """A source from a path, or from a name with a colon in it.

    The names: ``hub:OWNER/NAME[:CONFIG][:SPLIT]``; ``generated:NAME:SIZE[:SEED]``; and
    ``task:NAME[:ROLE]``, the data of a catalogue task, with the role train, valid or test, or the
    first 8,000 records of a generated one. `ending` reads a file as if its name ended so.

    Raises:
        InputError: no such file, a folder, an empty file or an unknown ending; a name that is
            not of these forms, or a task without data of its own.
    """
    text = str(spec)
    if text.startswith("hub:"):
        return _hub(text)
    if text.startswith("generated:"):
        return _generated(text)
    if text.startswith("task:"):
        return _of_task(text)
    path = Path(text)
    check_file(path)
    reader = _READERS.get(ending or path.suffix.lower())
    if reader is None:
        raise InputError(f"{text}: unknown ending {path.suffix!r}. A data file is {FORMATS}.")
    return Source(str(path.resolve()), lambda: _numbered(path, reader))


def open_csv(path: Path, delimiter: str, encoding: str) -> Source:
    """A CSV file whose columns are separated by `delimiter`, as spreadsheets also write them.

    Raises:
        InputError: as `open_source`.
    """
    check_file(path)
    reader = partial(_read_csv, delimiter=delimiter, encoding=encoding)
    return Source(str(path.resolve()), lambda: _numbered(path, reader))


def check_file(path: Path) -> None:
    """Refuse a path that is no file with something in it.

    Raises:
        InputError: no such file, a folder, a pipe or a device, or an empty file.
    """
    refuse_special(path)
    if not path.exists():
        raise InputError(f"{path}: no such file. A data file is {FORMATS}.")
    if path.is_dir():
        raise InputError(f"{path}: a folder, where a data file is needed: {FORMATS}.")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty.")


def _numbered(path: Path, reader: Callable[[Path], Iterator[tuple[str, Any]]]) -> Iterator[Record]:
    """Records with their numbers, and the errors that every file format shares."""
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


def parse_json(text: str | bytes, where: str) -> Any:
    """JSON without NaN or Infinity.

    Raises:
        InputError: names the place and the fault.
    """
    try:
        return json.loads(
            text,
            parse_constant=lambda name: _no_constant(name, where),
            object_pairs_hook=lambda pairs: _no_key_twice(pairs, where),
        )
    except json.JSONDecodeError as error:
        raise InputError(
            f"{where}: not valid JSON: {error.msg.removesuffix(' at')} (column {error.colno})."
        ) from None
    except (InputError, UnicodeDecodeError):
        raise
    except ValueError as error:  # a whole number of thousands of digits
        raise InputError(f"{where}: not valid JSON: {str(error).split(';')[0]}.") from None
    except RecursionError:
        raise InputError(f"{where}: nested too deep.") from None


def _no_constant(name: str, where: str) -> NoReturn:
    raise InputError(f"{where}: {name} is not a value that a field may have.")


def _no_key_twice(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        key = next(key for key, many in Counter(key for key, _ in pairs).items() if many > 1)
        raise InputError(f"{where}: the field {key[:80]!r} stands there twice. Keep one.")
    return found


class _Keys(dict[str, Any]):
    """An object of a JSON array, which remembers a key that stands in it twice.

    It is not refused here: an error within the parser's own calls comes out anywhere later.
    """

    twice: str | None = None

    def __setitem__(self, key: str, value: Any) -> None:
        if key in self:
            self.twice = key
        super().__setitem__(key, value)


def _key_twice(value: Any) -> str | None:
    """A key that appears twice in one of the objects of a value."""
    if isinstance(value, _Keys) and value.twice is not None:
        return value.twice
    parts = value.values() if isinstance(value, dict) else value
    found = (_key_twice(part) for part in parts if isinstance(part, dict | list))
    return next((key for key in found if key is not None), None)


def _read_jsonl(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield f"line {number}", parse_json(line, f"{path.name} line {number}")


def _read_json(path: Path) -> Iterator[tuple[str, Any]]:
    import ijson

    number = 0
    with path.open("rb") as stream:
        if stream.read(3) != b"\xef\xbb\xbf":
            stream.seek(0)
        if not _is_array(stream):
            raise InputError(f"{path.name}: no JSON array. For one object a line use .jsonl")
        try:
            items = ijson.items(JsonStream(stream), "item", use_float=True, map_type=_Keys)
            for number, item in enumerate(items, 1):
                twice = _key_twice(item) if isinstance(item, dict) else None
                if twice is not None:
                    raise InputError(
                        f"{path.name} record {number}: the field {twice[:80]!r} stands there "
                        "twice. Keep one."
                    )
                yield f"record {number}", item
        except StreamFault as error:  # the parser reads some records ahead
            raise InputError(f"{path.name} after record {number}: {error}") from None
        except ijson.JSONError as error:
            place, fault = f"{path.name} after record {number}", brief(error, 2000)
            if "UTF8" in fault:
                raise InputError(f"{place}: not UTF-8 text. Save the file as UTF-8.") from None
            raise InputError(f"{place}: not a valid JSON array ({fault[:120]}).") from None


def _is_array(stream: IO[bytes]) -> bool:
    """Whether the first character that is no space opens an array; moves to it."""
    while (byte := stream.read(1)).isspace():
        pass
    stream.seek(-len(byte), 1)
    return byte == b"["


def _read_csv(
    path: Path, delimiter: str = ",", encoding: str = "utf-8-sig"
) -> Iterator[tuple[str, Any]]:
    csv.field_size_limit(_MAX_FIELD)
    with path.open(encoding=encoding, newline="") as stream:
        rows = csv.reader(stream, strict=True, delimiter=delimiter)
        try:
            header = next(rows, None)
            if header and any("\0" in name for name in header):
                raise InputError(f"{path.name} line 1: not UTF-8 text. Save the file as UTF-8.")
            if not header or not any(name.strip() for name in header):
                raise InputError(f"{path.name} line 1: no header with the names of the columns.")
            if len(header) == 1 and (found := set(header[0]) & set(";\t")):
                raise InputError(
                    f"{path.name} line 1: columns are separated by {min(found)!r}. Save the file "
                    "with commas."
                )
            doubles = [name for name, count in Counter(header).items() if count > 1]
            if doubles:
                raise InputError(f"{path.name} line 1: column {min(doubles)!r} stands there twice.")
            for row in rows:
                if not row:
                    continue
                if len(row) != len(header):
                    raise InputError(
                        f"{path.name} line {rows.line_num}: {len(row)} values where the header "
                        f"has {len(header)}. Quote a value that holds a comma."
                    )
                yield f"line {rows.line_num}", dict(zip(header, row, strict=True))
        except csv.Error as error:
            raise InputError(f"{path.name} line {rows.line_num}: not valid CSV: {error}.") from None


def _read_parquet(path: Path) -> Iterator[tuple[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        # Of a relative path Arrow would take a colon for the end of a scheme, as in `s3:`.
        with pyarrow.parquet.ParquetFile(path.absolute()) as table:
            refuse_bomb(table.metadata, path)
            number = 0
            for batch in table.iter_batches(batch_size=rows_at_once(table.metadata)):
                for values in batch.to_pylist():
                    number += 1
                    yield f"row {number}", values
    except (pyarrow.ArrowException, OSError, OverflowError) as error:
        if is_out_of_memory(error):
            raise MemoryError(f"for {path}") from None
        fault = brief(error)
        raise InputError(f"{path}: not a readable Parquet file ({fault}).") from None


def _hub(spec: str) -> Source:
    name, *rest = spec.removeprefix("hub:").split(":")
    if not name or len(rest) > 2:
        raise InputError(f"{spec}: expected hub:OWNER/NAME[:CONFIG][:SPLIT].")
    config = rest[0] if len(rest) == 2 else None
    split = rest[-1] if rest else "train"

    def load() -> Any:
        import datasets

        datasets.disable_progress_bars()
        try:
            return datasets.load_dataset(name, config, split=split)
        except Exception as error:  # the library raises a dozen unrelated kinds
            raise InputError(
                f"{spec}: the hub's data set could not be loaded: "
                f"{' '.join(str(error).split())[:300]}"
            ) from None

    def records() -> Iterator[Record]:
        for index, values in enumerate(load()):
            yield Record(index, f"{spec} row {index + 1}", dict(values))

    return Source(spec, records)


def _generated(spec: str) -> Source:
    parts = spec.split(":")[1:]
    if not 2 <= len(parts) <= 3 or not all(part.isdigit() for part in parts[1:]):
        raise InputError(
            f"{spec}: expected generated:NAME:SIZE[:SEED] with NAME one of "
            f"{', '.join(generated.NAMES)}."
        )
    name, size, seed = parts[0], int(parts[1]), int(parts[2]) if len(parts) == 3 else 0

    def records() -> Iterator[Record]:
        for index, values in enumerate(generated.generate(name, size, seed)):
            yield Record(index, f"{spec} record {index + 1}", dict(values))

    next(generated.generate(name, size, seed))
    return Source(spec, records)


def _of_task(spec: str) -> Source:
    name, _, given = spec.removeprefix("task:").partition(":")
    role: Role | None = next((role for role in ROLES if role == (given or "train")), None)
    if role is None:
        raise InputError(f"{spec}: expected task:NAME[:ROLE] with ROLE train, valid or test.")
    task = Task.load(name)
    if Path(name).is_file():
        spec = f"task:{Path(name).resolve()}:{role}"
    if task.hub is not None:
        return _labelled(open_source(task.hub.spec(role)), task, spec)
    if task.data is None:
        note = f" {task.note}" if task.note else ""
        raise InputError(f"{spec}: the task has no data of its own; give a data file.{note}")
    if task.data.startswith("task:"):
        raise InputError(f"{spec}: its 'data' is {task.data}; a task's data cannot be a task.")
    if role != "train":
        raise InputError(f"{spec}: the task has one set of examples and no split for {role!r}.")
    size = f":{GENERATED_SIZE}" if task.kind == "generated" and task.data.count(":") == 1 else ""
    return Source(spec, open_source(task.data + size).records)


def _labelled(source: Source, task: Task, spec: str) -> Source:
    """The source without the records that its publisher left unlabelled."""
    blank = None if task.hub is None else task.hub.unlabelled
    if blank is None:
        return Source(spec, source.records)

    def records() -> Iterator[Record]:
        index = 0
        for record in source.records():
            value = record.values.get(task.answer, "")
            if value is not None and as_text(value, record.where) != blank:
                yield Record(index, record.where, record.values)
                index += 1

    return Source(spec, records)


_READERS: dict[str, Callable[[Path], Iterator[tuple[str, Any]]]] = {
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
