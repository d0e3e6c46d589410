"""Flat label files: JSONL for programs, CSV for spreadsheets.

A spreadsheet program runs a cell that begins with ``=``, ``+``, ``-`` or ``@`` as a formula, and
would write its result over the text. Such a cell gets an apostrophe before it, one more where it
begins with some already, and loses it again when it is read, so every text comes back exactly. A
file is known to be written here by its column ``set``; cells of others are taken as they are.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from labelcast.files.json_files import write_text
from labelcast.labels.exchange.sheet import Row
from labelcast.tasks.sources import Record, check_file, open_csv, open_source

_MARK = "set"
_DELIMITERS = ",;\t"
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_CSV, _ARRAY, _LINES = ".csv", ".json", (".jsonl", ".ndjson")


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write rows for a spreadsheet: with a byte order mark, so that it reads them as UTF-8."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow([_guarded(name) for name in rows[0]])
    table.writerows([_guarded(cell) for cell in row.values()] for row in rows)
    write_text(path, "\ufeff" + text.getvalue())


def records(path: Path, form: str | None, names: Collection[str]) -> Iterator[Record]:
    """The records of a file as they stand there.

    Args:
        path: of the file; its ending says how it is written, else its first character does.
        form: ``csv`` or ``jsonl`` say it too, before the ending.
        names: one of these is in the header of a CSV file, whatever separates its columns.

    Raises:
        InputError: the file is missing, broken or empty.
    """
    ending = _ending(path, form)
    if ending == _CSV:
        yield from _csv_records(path, names)
    else:
        yield from open_source(path, ending=ending).records()


def _ending(path: Path, form: str | None) -> str:
    """The ending that a file's way of writing would have."""
    check_file(path)
    ending = path.suffix.lower()
    if form == "csv":
        return _CSV
    if ending in (_CSV, _ARRAY, ".parquet") and form != "jsonl":
        return ending
    if form is None and ending not in _LINES:
        return ending
    return _ARRAY if _is_array(path) else _LINES[0]


def _is_array(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            head = stream.read(4096)
    except OSError:
        return False  # the reader meets it again and says so
    return head.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"["


def _csv_records(path: Path, names: Collection[str]) -> Iterator[Record]:
    check_file(path)
    encoding, delimiter = _dialect(path, names)
    for record in open_csv(path, delimiter, encoding).records():
        if _MARK in record.values:
            plain = {_plain(name): _plain(cell) for name, cell in record.values.items()}
            yield Record(record.index, record.where, plain)
        else:
            yield record


def _dialect(path: Path, names: Collection[str]) -> tuple[str, str]:
    """Encoding and separator; spreadsheets also write semicolons, and UTF-16 with tabs."""
    encoding, found = "utf-8-sig", _DELIMITERS[0]
    try:
        with path.open("rb") as stream:
            if stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                encoding = "utf-16"
        for delimiter in _DELIMITERS:
            with path.open(encoding=encoding, newline="") as text:
                header = next(csv.reader(text, delimiter=delimiter), [])
            if {_plain(name) for name in header} & {*names}:
                return encoding, delimiter
    except (OSError, UnicodeError, csv.Error):
        pass  # the reader meets it again and says where
    return encoding, found


def _guarded(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _plain(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
