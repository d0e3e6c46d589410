"""Flat label files: JSONL for programs, CSV for spreadsheets.

A spreadsheet runs a cell that begins with ``=``, ``+``, ``-`` or ``@`` as a formula. So such a cell
is written with an apostrophe before it, which is removed when the file is read. Files that
labelcast wrote are recognised by their column ``set``; other files are read unchanged.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from labelcast.labels.exchange.foreign import Row
from labelcast.tasks.sources import Record, check_file, open_csv, open_source

_OWN_COLUMN = "set"
_DELIMITERS = ",;\t"
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def csv_text(rows: Sequence[Row]) -> str:
    """Rows for a spreadsheet, with a byte order mark, so that it reads them as UTF-8."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow([_guarded(name) for name in rows[0]])
    table.writerows([_guarded(cell) for cell in row.values()] for row in rows)
    return "\ufeff" + text.getvalue()


def records(path: Path, file_format: str | None, names: Collection[str]) -> Iterator[Record]:
    """The records of a file, unchanged.

    The format, else the ending, else the first character decides how it is read. `names` helps to
    find the separator of a CSV file: one of them is in its header.
    """
    check_file(path)
    ending = _ending(path, file_format)
    if ending == ".csv":
        yield from _csv_records(path, names)
    else:
        yield from open_source(path, ending=ending).records()


def _ending(path: Path, file_format: str | None) -> str:
    ending = path.suffix.lower()
    if file_format == "csv":
        return ".csv"
    if ending in (".csv", ".json", ".parquet") and file_format != "jsonl":
        return ending
    if file_format is None and ending not in (".jsonl", ".ndjson"):
        return ending
    return ".json" if _is_array(path) else ".jsonl"


def _is_array(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            head = stream.read(4096)
    except OSError:
        return False  # the reader reports it
    return head.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"["


def _csv_records(path: Path, names: Collection[str]) -> Iterator[Record]:
    encoding, delimiter = _dialect(path, names)
    for record in open_csv(path, delimiter, encoding).records():
        if _OWN_COLUMN in record.values:
            plain = {_plain(name): _plain(cell) for name, cell in record.values.items()}
            yield Record(record.index, record.where, plain)
        else:
            yield record


def _dialect(path: Path, names: Collection[str]) -> tuple[str, str]:
    """Encoding and separator; spreadsheets also write semicolons, and UTF-16 with tabs."""
    encoding = "utf-8-sig"
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
        pass  # the reader reports it, with the place
    return encoding, _DELIMITERS[0]


def _guarded(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _plain(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
