"""Sources of records: a data file, a dataset on the hub, generated data, or a task's own data."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from labelcast.errors import InputError, brief
from labelcast.tasks import generated
from labelcast.tasks.readers import Reader, ending_by_content, reader_of
from labelcast.tasks.task import ROLES, Task
from labelcast.tasks.values import as_text, field_or

GENERATED_SIZE = 8000


@dataclass(frozen=True)
class Record:
    """One record of a source.

    Attributes:
        index: position from 0; where blank records are skipped, among those that are left.
        where: its place, for messages.
        values: its fields.
        row: position from 0 among all records, where `index` leaves some out.
    """

    index: int
    where: str
    values: dict[str, Any]
    row: int | None = None


@dataclass(frozen=True)
class Source:
    """A source of records.

    Attributes:
        spec: the user's text, with a file's path made absolute.
        records: starts a new pass over the records.
        copy: the file that holds standard input as long as the process runs; else None.
    """

    spec: str
    records: Callable[[], Iterator[Record]]
    copy: Path | None = None


def open_source(spec: str | Path, *, ending: str | None = None) -> Source:
    """Open a data file or a named source.

    Args:
        spec: a path, ``hub:OWNER/NAME[:CONFIG][:SPLIT]``, ``generated:NAME:SIZE[:SEED]``, or
            ``task:NAME[:ROLE]``: the data of a catalogue task for the role train, valid or test,
            or the first 8,000 records of a generated task; ``-`` is standard input, whose format is
            recognised by its first bytes.
        ending: read a file as if its name ended like this.

    Raises:
        InputError: no readable data there.
    """
    text = str(spec)
    named = {"hub": _hub, "generated": _generated, "task": _task_data}
    kind, colon, _ = text.partition(":")
    if colon and kind in named:
        return named[kind](text)
    path = _standard_input() if text == "-" else Path(text)
    reader = reader_of(path, ending)
    copy = path if text == "-" else None
    return Source(str(path.resolve()), lambda: _numbered(path, reader), copy)


@cache
def _standard_input() -> Path:
    """A file with what standard input holds; deleted when the process ends."""
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError("-: nothing on standard input. Pipe the data in: cat FILE | labelcast ...")
    folder = Path(tempfile.mkdtemp(prefix="labelcast-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "stdin"
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    if path.stat().st_size == 0:
        raise InputError("-: standard input is empty.")
    return path.rename(folder / f"stdin{ending_by_content(path)}")


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
        after = f" after record {index + 1}" if index >= 0 else ""
        raise InputError(
            f"{path}: not UTF-8 text{after} ({error.reason}). Save the file as UTF-8."
        ) from None
    except PermissionError:
        raise InputError(f"{path}: no permission to read it.") from None
    except OSError as error:  # a damaged archive
        raise InputError(f"{path}: cannot be read ({brief(error)}).") from None
    if index < 0:
        raise InputError(f"{path}: no records in it.")


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
        value = field_or(record.values, answer, "")
        if blank is None or (value is not None and as_text(value, record.where) != blank):
            yield replace(record, index=index)
            index += 1
