"""Readers of data files: the records of JSON, CSV, Parquet, Arrow and Excel files and folders."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal

from labelcast.errors import InputError, LabelcastWarning, brief
from labelcast.files.untrusted import refuse_special
from labelcast.tasks.json_records import records_of

FORMATS = (
    "JSON (.jsonl, .json), CSV (.csv, .tsv), Parquet (.parquet), Arrow (.arrow), Excel (.xlsx), "
    "a folder of datasets' save_to_disk, - (standard input) or hub:OWNER/NAME; JSON and CSV also "
    "as .gz or .zst"
)
Places = Iterator[tuple[str, object]]
"""Each record's place in its file, and its value."""
Reader = Callable[[Path], Places]
_LONGEST_FIELD = 2**31 - 1
_BATCH = 256
_SNIFFED = 20
"""Rows that decide which character separates the columns of a CSV file."""
_URL = re.compile(r"[a-z][a-z0-9+.-]+:/")  # a path has lost the second slash
_DELIMITERS = ",;\t"
_EXCELS_OWN = re.compile(r'"?sep=(.?)"?\s*')  # a first line for Excel alone
_COMPRESSED = {".gz": "gzip", ".zst": "zstd"}
_PACKED = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst"}
_FIRST_BYTES = {
    **{b"PAR1": ".parquet", b"ARROW1": ".arrow", b"PK\x03\x04": ".xlsx"},
    **{b"[": ".json", b"{": ".json"},
}


def reader_of(path: Path, ending: str | None = None) -> Reader:
    """The reader of a file or folder, by its ending or, if given, by another one.

    Raises:
        InputError: it is missing, empty, or in no known format.
    """
    refuse_special(path)
    if _URL.match(str(path)):
        spelled = str(path).replace(":/", "://", 1)
        raise InputError(f"{spelled}: a URL. Download the file, and give its path.")
    if not path.exists():
        raise InputError(f"{path}: no such file. A data file is {FORMATS}.")
    if path.is_dir():
        if any((path / name).is_file() for name in ("state.json", "dataset_dict.json")):
            return _read_saved
        raise InputError(f"{path}: a folder, but a data file is needed: {FORMATS}.")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty.")
    reader = _READERS.get(ending or ending_of(path))
    if reader is None:
        raise InputError(f"{path}: unknown ending {path.suffix!r}. A data file is {FORMATS}.")
    return reader


def ending_by_content(path: Path) -> str:
    """The ending that fits a file's first bytes; that of CSV if no other one does."""
    with path.open("rb") as stream:
        start = stream.read(4)
    packed = next((end for first, end in _PACKED.items() if start.startswith(first)), "")
    with _open(path, packed) as stream:
        start = stream.read(256).lstrip(codecs.BOM_UTF8 + codecs.BOM_UTF16 + b"\0 \t\r\n")
    found = (end for first, end in _FIRST_BYTES.items() if start.startswith(first))
    return next(found, ".csv") + packed


def ending_of(path: Path) -> str:
    """The ending that names the format, without that of a compressed file."""
    return Path(path.stem if path.suffix.lower() in _COMPRESSED else path).suffix.lower()


def _open(path: Path, ending: str | None = None) -> IO[bytes]:
    """A file's bytes, decompressed as its ending or a given one says."""
    codec = _COMPRESSED.get(path.suffix.lower() if ending is None else ending)
    if codec is None:
        return path.open("rb")
    import pyarrow

    stream: IO[bytes] = pyarrow.input_stream(str(path.absolute()), compression=codec)
    return stream


def _open_text(path: Path, encoding: str) -> IO[str]:
    return io.TextIOWrapper(_open(path), encoding, newline="")


def _encoding(path: Path) -> str:
    """UTF-16 if the file begins with its byte order mark, else UTF-8."""
    with _open(path) as stream:
        mark = stream.read(2)
    return "utf-16" if mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _read_jsonl(path: Path) -> Places:
    with _open_text(path, _encoding(path)) as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield f"line {number}", _parse_json(line, f"{path.name} line {number}")


def _read_json(path: Path) -> Places:
    """One object per line, an array of objects, or an object with one such array."""
    with _open_text(path, _encoding(path)) as stream:
        lines = (line for line in stream if line.strip())
        first, more = next(lines, ""), next(lines, None)
    is_array = first.lstrip().startswith("[")
    if not is_array and (ending_of(path) != ".json" or (more and _is_object(first))):
        yield from _read_jsonl(path)
        return
    with _open_text(path, _encoding(path)) as stream:
        content = _parse_json(stream.read(), path.name)
    for number, item in enumerate(content if is_array else records_of(content, path.name), 1):
        yield f"record {number}", item


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


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


def _read_csv(path: Path) -> Places:
    csv.field_size_limit(_LONGEST_FIELD)
    encoding = _csv_encoding(path, path.stat().st_mtime_ns)
    delimiter = _delimiter(path, encoding)
    unquoted = delimiter == "\t" and _quotes_are_text(path, encoding)
    lines = _csv_lines(path, encoding)
    quoting: Literal[0, 3] = csv.QUOTE_NONE if unquoted else csv.QUOTE_MINIMAL
    spaced = _is_spaced(path, encoding, delimiter)
    rows = csv.reader(
        lines, strict=True, delimiter=delimiter, quoting=quoting, skipinitialspace=spaced
    )
    try:
        header = next(rows, []) or next(rows, [])
        if spaced:
            header = [name.strip() for name in header]
        while header and not header[-1]:  # Excel writes columns that are empty
            header.pop()
        _check_header(header, f"{path.name} line {rows.line_num if header else 1}")
        for row in rows:
            if len(row) == 1 < len(header) and not row[0].strip():
                continue
            if not any(value.strip() for value in row[len(header) :]):
                row = row[: len(header)]
            if row and len(row) != len(header):
                raise InputError(
                    f"{path.name} line {rows.line_num}: {len(row)} values, but the header has "
                    f"{len(header)}. Quote a value that contains {_named(delimiter)}."
                )
            if row:
                yield f"line {rows.line_num}", dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise InputError(f"{path.name} line {rows.line_num}: not valid CSV: {error}.") from None


def _csv_lines(path: Path, encoding: str) -> Iterator[str]:
    """The lines of a CSV file; one that names the delimiter to Excel comes out empty."""
    with _open_text(path, encoding) as stream:
        first = stream.readline()
        yield "\n" if _EXCELS_OWN.fullmatch(first) else first
        yield from stream


def _is_spaced(path: Path, encoding: str, delimiter: str) -> bool:
    """Whether every name of the header but the first begins with a space: ``text, label``."""
    rows = csv.reader(_csv_lines(path, encoding), delimiter=delimiter)
    names = next(filter(None, rows), [])[1:]
    return any(map(str.strip, names)) and all(name.startswith(" ") for name in names)


def _quotes_are_text(path: Path, encoding: str) -> bool:
    """Whether every line of a TSV fits the header, and with quotes around values fewer rows do."""
    tabs = [line.count("\t") for line in _csv_lines(path, encoding) if line.strip("\r\n")]
    if len(set(tabs)) != 1:
        return False
    try:
        rows = csv.reader(_csv_lines(path, encoding), strict=True, delimiter="\t")
        return sum(len(row) == tabs[0] + 1 for row in rows) < len(tabs)
    except csv.Error:
        return True


def _named(delimiter: str) -> str:
    return {",": "a comma", ";": "a semicolon", "\t": "a tab"}.get(delimiter, repr(delimiter))


@lru_cache
def _csv_encoding(path: Path, changed: int) -> str:
    """The encoding of a file; Windows-1252 if it is not Unicode. Warns once for a file."""
    encoding = _encoding(path)
    try:
        with _open_text(path, encoding) as stream:
            while stream.read(2**20):
                pass
    except UnicodeDecodeError:
        if encoding == "utf-16":
            raise
        warnings.warn(
            f"{path}: not UTF-8, so it is read as Windows-1252. If letters with accents come out "
            "wrong, save it as UTF-8.",
            LabelcastWarning,
            stacklevel=2,
        )
        return "cp1252"
    return encoding


def _delimiter(path: Path, encoding: str) -> str:
    """The one named to Excel, or that gives the first rows several columns, as many in each."""
    with _open_text(path, encoding) as stream:
        named = _EXCELS_OWN.fullmatch(stream.readline())
    if named and named[1]:
        return named[1]
    found = []
    for delimiter in _DELIMITERS:
        read = csv.reader(_csv_lines(path, encoding), delimiter=delimiter)
        try:
            rows = list(islice(filter(None, read), _SNIFFED))
        except csv.Error:
            continue
        sizes = {len(row) for row in rows}
        if rows and len(rows[0]) > 1:
            found.append((len(sizes) == 1, len(rows[0]), delimiter))
    return max(found, key=lambda one: one[:2])[2] if found else ","


def _check_header(header: list[str], where: str) -> None:
    if any("\0" in name for name in header):  # UTF-16 without a byte order mark
        raise InputError(f"{where}: not UTF-8 text. Save the file as UTF-8.")
    if not any(name.strip() for name in header):
        raise InputError(f"{where}: no header with the names of the columns.")
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        raise InputError(f"{where}: column {min(repeated)!r} appears twice.")


def _read_parquet(path: Path) -> Places:
    import pyarrow
    import pyarrow.parquet

    try:
        # Arrow takes a colon in a relative path for the end of a scheme such as `s3:`.
        with pyarrow.parquet.ParquetFile(path.absolute()) as table:
            yield from _batches(table.iter_batches(batch_size=_BATCH))
    except (pyarrow.ArrowException, OSError, OverflowError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({brief(error)}).") from None


def _read_arrow(path: Path) -> Places:
    """An Arrow file, or a stream of batches as the datasets library caches them."""
    import pyarrow
    import pyarrow.ipc

    try:
        with path.open("rb") as stream:
            is_file = stream.read(6) == b"ARROW1"
        with pyarrow.OSFile(str(path.absolute())) as source:
            if is_file:
                table = pyarrow.ipc.open_file(source)
                numbers = range(table.num_record_batches)
                yield from _batches(table.get_batch(number) for number in numbers)
            else:
                yield from _batches(pyarrow.ipc.open_stream(source))
    except (pyarrow.ArrowException, OSError, OverflowError) as error:
        raise InputError(f"{path}: not a readable Arrow file ({brief(error)}).") from None


def _batches(batches: Iterator[Any]) -> Places:
    number = 0
    for batch in batches:
        for start in range(0, batch.num_rows, _BATCH):
            for values in batch.slice(start, _BATCH).to_pylist():
                number += 1
                yield f"row {number}", values


def _read_excel(path: Path) -> Places:
    """The first sheet of a workbook: names in its first row, then one record a row."""
    try:
        import openpyxl
    except ImportError:
        raise InputError(
            f"{path}: Excel files need openpyxl (pip install 'labelcast[excel]'), or save the "
            "sheet as CSV."
        ) from None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # of the archive, its XML or the library
        raise InputError(f"{path}: not a readable Excel file ({brief(error)}).") from None
    sheet = book.worksheets[0]
    sheet.reset_dimensions()  # some programs write a wrong one, which would cut rows off
    rows = sheet.iter_rows(values_only=True)
    header = ["" if name is None else str(name) for name in next(rows, ())]
    while header and not header[-1]:
        header.pop()
    _check_header(header, f"{path.name} row 1")
    for number, row in enumerate(rows, 2):
        if any(value is not None for value in row):
            yield f"row {number}", dict.fromkeys(header) | dict(zip(header, row, strict=False))
    book.close()


def _read_saved(path: Path) -> Places:
    """A folder that the datasets library saved: a dataset, or several splits with one `train`."""
    import datasets

    try:
        found = datasets.load_from_disk(path)
    except Exception as error:  # the library raises many unrelated types
        raise InputError(f"{path}: not a readable dataset ({brief(error)}).") from None
    if isinstance(found, datasets.DatasetDict):
        if "train" not in found and len(found) != 1:
            raise InputError(f"{path}: has the splits {', '.join(found)}. Name one: {path}/SPLIT.")
        found = found["train"] if "train" in found else next(iter(found.values()))
    for number, values in enumerate(found, 1):
        yield f"row {number}", dict(values)


_READERS: dict[str, Reader] = {
    ".jsonl": _read_json,
    ".ndjson": _read_json,
    ".json": _read_json,
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
    ".arrow": _read_arrow,
    ".xlsx": _read_excel,
}
ENDINGS = tuple(_READERS)
