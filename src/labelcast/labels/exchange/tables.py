"""Flat label files: JSONL for programs, CSV for spreadsheets.

A spreadsheet runs a cell that begins with ``=``, ``+``, ``-`` or ``@`` as a formula. So such a cell
is written with an apostrophe before it, which is removed when the file is read. Files that
labelcast wrote are recognised by their column ``set``; other files are read unchanged.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from labelcast.labels.exchange.foreign import Row
from labelcast.tasks.readers import ENDINGS, ending_of
from labelcast.tasks.sources import Record, open_source

_OWN_COLUMN = "set"
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def csv_text(rows: Sequence[Row]) -> str:
    """Rows for a spreadsheet, with a byte order mark, so that it reads them as UTF-8."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow([_guarded(name) for name in rows[0]])
    table.writerows([_guarded(cell) for cell in row.values()] for row in rows)
    return "\ufeff" + text.getvalue()


def records(path: Path, file_format: str | None) -> Iterator[Record]:
    """The records of a file, unchanged; the format or else the ending decides how it is read."""
    ending = ending_of(path)
    if file_format in ("csv", "jsonl") or (file_format and ending not in ENDINGS):
        ending = ".csv" if file_format == "csv" else ".jsonl"
    for record in open_source(path, ending=ending).records():
        if _OWN_COLUMN in record.values and ending in (".csv", ".tsv", ".xlsx"):
            plain = {_plain(name): _plain(cell) for name, cell in record.values.items()}
            yield Record(record.index, record.where, plain)
        else:
            yield record


def _guarded(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _plain(cell: Any) -> Any:
    guarded = isinstance(cell, str) and cell.startswith("'") and _FORMULA.match(cell)
    return cell[1:] if guarded else cell
