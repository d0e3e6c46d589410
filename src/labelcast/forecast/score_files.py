"""Scores measured elsewhere, read from a CSV or a JSON Lines file."""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from labelcast.errors import InputError
from labelcast.files.untrusted import read_small
from labelcast.forecast.scale import GivenScore, Scale, checked_entry

COLUMNS: dict[str, tuple[str, ...]] = {
    "labels": ("n", "budget", "labels"),
    "score": ("score",),
    "sd": ("sd",),
    "size": ("size", "test_size"),
}
"""Names of the columns of what is read; other columns are ignored."""

EXPECTED = (
    "expected the columns n (or budget, or labels) and score, and where known sd (of all noise of "
    "the score) or size (of its test set)"
)

_Row = tuple[str, Mapping[str, Any]]
"""Where a row is, and its values by lower-case column."""


def read_scores(path: str | Path, scale: Scale | None = None) -> list[GivenScore]:
    """Read observed scores, one a row: a CSV file with a header, or JSON Lines.

    Args:
        path: ends in .csv, or in .jsonl or .ndjson.
        scale: of the scores; 0 to 1 by default.

    Raises:
        InputError: the file cannot be read, has other columns, or holds a wrong value; the message
            names file, line and field.
    """
    path = Path(path)
    reader = {".csv": _csv_rows, ".jsonl": _json_rows, ".ndjson": _json_rows}.get(
        path.suffix.lower()
    )
    if reader is None:
        raise InputError(f"--scores {path}: the name of a file of scores ends in .csv or .jsonl.")
    on = scale or Scale()
    entries = [_entry(where, row, on) for where, row in reader(path.name, _text(path))]
    if not entries:
        raise InputError(f"--scores {path}: no scores in it; {EXPECTED}.")
    return entries


def _text(path: Path) -> str:
    try:
        return read_small(path).removeprefix("\ufeff")
    except IsADirectoryError:
        raise InputError(f"--scores {path}: a folder, where a file is needed.") from None
    except OSError as error:
        raise InputError(f"--scores {path}: cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise InputError(f"--scores {path}: not UTF-8 text. Save the file as UTF-8.") from None


def _names(where: str, row: Mapping[str, Any]) -> dict[str, str]:
    """Return the column of each value that a row has."""
    names = {}
    for what, known in COLUMNS.items():
        found = [name for name in known if name in row]
        if len(found) > 1:
            raise InputError(f"{where}: {found[0]!r} and {found[1]!r} mean the same; keep one.")
        if found:
            names[what] = found[0]
    for what in ("labels", "score"):
        if what not in names:
            has = ", ".join(list(row)[:8])[:200] or "nothing"
            raise InputError(f"{where}: no column of the {what}: {EXPECTED}; it has {has}.")
    return names


def _entry(where: str, row: Mapping[str, Any], scale: Scale) -> GivenScore:
    names = _names(where, row)
    values: list[int | float | None] = []
    for what in COLUMNS:
        name = names.get(what)
        value = None if name is None else _number(f"{where}: {name!r}", row[name])
        if value is None and what in ("labels", "score"):
            raise InputError(f"{where}: {name!r} is empty.")
        values.append(value)
    n, score, sd, size = values
    return checked_entry(where, (_whole(n), score, sd, _whole(size)), scale)


def _number(where: str, value: Any) -> int | float | None:
    """Return a value of a file as a number; None where it is empty."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    elif isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise InputError(f"{where}: expected a number, not {value!r:.60}.")


def _whole(value: float | None) -> float | None:
    """Return 50.0, as many programs write a count, as 50."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _csv_rows(name: str, text: str) -> Iterator[_Row]:
    rows = csv.reader(text.splitlines(keepends=True), strict=True)
    header: list[str] | None = None
    try:
        for row in rows:
            where = f"{name} line {rows.line_num}"
            values = [value.strip() for value in row]
            if not any(values):
                continue
            if header is None:
                header = _header(where, values)
            elif len(values) != len(header):
                raise InputError(
                    f"{where}: {len(values)} values where the header has {len(header)}."
                )
            else:
                yield where, dict(zip(header, values, strict=True))
    except csv.Error as error:
        raise InputError(f"{name} line {rows.line_num}: not valid CSV: {error}.") from None


def _header(where: str, values: list[str]) -> list[str]:
    header = [value.casefold() for value in values]
    if len(header) == 1 and (found := set(header[0]) & set(";\t")):
        raise InputError(f"{where}: columns are separated by {min(found)!r}; save it with commas.")
    doubles = [name for name, count in Counter(header).items() if count > 1]
    if doubles:
        raise InputError(f"{where}: column {doubles[0]!r:.60} appears twice.")
    _names(where, dict.fromkeys(header))
    return header


def _json_rows(name: str, text: str) -> Iterator[_Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{name} line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            fault = getattr(error, "msg", None) or "a value is too long or nested too deep"
            raise InputError(f"{where}: not valid JSON: {fault}.") from None
        if not isinstance(row, dict):
            raise InputError(f'{where}: expected an object such as {{"n": 50, "score": 0.7}}.')
        yield where, {key.casefold(): value for key, value in row.items()}
