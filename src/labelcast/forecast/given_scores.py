"""Scores as a user gives them: their scale, their checks, and files of them."""

import csv
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

from labelcast.errors import InputError
from labelcast.files.untrusted import read_small
from labelcast.forecast.options import (
    LARGEST_HORIZON,
    LARGEST_SIZE,
    Metric,
    Options,
    checked_count,
    checked_number,
    checked_sd,
)

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


@dataclass(frozen=True)
class Scale:
    """The scale on which the user's scores are, and its way to 0 to 1, higher is better.

    Attributes:
        metric: what kind of score it is.
        top: the largest value of a score or an error rate, such as 1 or 100.
        unit: of a loss, which becomes exp(-loss / unit): one where losses are of the size that the
            prior knows, 0.5 to 5.
    """

    metric: Metric = "score"
    top: float = 1.0
    unit: float = 1.0

    def for_losses(self, values: Sequence[float]) -> "Scale":
        """Return the scale with a unit that suits these losses."""
        largest = max(values, default=0.0)
        if self.metric != "loss" or largest <= 0:
            return self
        return replace(self, unit=largest / min(max(largest, 0.5), 5.0))

    @property
    def falls(self) -> bool:
        """Whether lower is better."""
        return self.metric != "score"

    def to_unit(self, value: float) -> float:
        """Return a value as a score from 0 to 1."""
        if self.metric == "loss":
            return math.exp(-value / self.unit)
        share = value / self.top
        return 1 - share if self.metric == "error" else share

    def from_unit(self, score: float) -> float:
        """Return a score from 0 to 1 on the user's scale."""
        if self.metric == "loss":
            return abs(math.log(max(score, 1e-300))) * self.unit
        return self.top * (1 - score if self.metric == "error" else score)

    def sd_to_unit(self, sd: float, value: float) -> float:
        """Return the sd of a value as that of a score from 0 to 1."""
        if self.metric == "loss":
            return sd / self.unit * math.exp(-value / self.unit)
        return sd / self.top

    def sd_from_unit(self, sd: float, score: float) -> float:
        """Return the sd of a score from 0 to 1 on the user's scale."""
        return sd / max(score, 1e-300) * self.unit if self.metric == "loss" else sd * self.top

    def check(self, option: str, value: Any) -> float:
        """Return a value of this scale.

        Raises:
            InputError: it is no finite number, or does not lie on the scale.
        """
        number = checked_number(option, value)
        if self.metric == "loss":
            if number < 0:
                raise InputError(f"{option}: a loss is 0 or more, not {number:g}")
            return number
        if not 0 <= number <= self.top:
            hint = ""
            if self.top == 1 and 1 < number <= 100:
                hint = f" (for {number:g}% give {number / 100:g}, or --scale 100)"
            raise InputError(
                f"{option}: a score lies between 0 and {self.top:g}, not {number:g}{hint}"
            )
        return number


class GivenScore(NamedTuple):
    """An observed score on the user's scale, with the sd of all its noise and its test size."""

    n: int
    score: float
    sd: float | None = None
    size: int | None = None


def scale_of(options: Options) -> Scale:
    """Return the scale that the options of a forecast describe.

    Raises:
        InputError: one is wrong, or contradicts another.
    """
    falls, metric = options.get("lower_is_better", False), options.get("metric")
    if not isinstance(falls, bool):
        raise InputError(f"--lower-is-better: expected true or false, not {falls!r}")
    if metric is not None and metric not in get_args(Metric):
        raise InputError(f"--metric: expected one of {', '.join(get_args(Metric))}, not {metric!r}")
    scale = options.get("scale")
    top = 1.0 if scale is None else checked_number("--scale", scale)
    if top <= 0:
        raise InputError(f"--scale: expected the largest value of a score, such as 100, not {top}")
    if metric is None and falls:
        metric = "loss" if scale is None else "error"
    if metric == "score" and falls:
        raise InputError("--metric score rises; with --lower-is-better give --metric error or loss")
    if metric == "loss" and scale is not None:
        raise InputError("--scale: a loss has no largest value; for an error rate: --metric error")
    return Scale(metric or "score", top)


def checked_entry(where: str, values: Sequence[Any], on: Scale) -> GivenScore:
    """Return an observed score on the user's scale.

    Args:
        where: it comes from, for the message.
        values: labels and score, and where known the sd of all its noise and its test size.
        on: the user's scale.

    Raises:
        InputError: one of the values is wrong.
    """
    n, score, sd, size = (*values, None, None)[:4]
    number = checked_count(f"{where}: the budget", n, 0, LARGEST_HORIZON)
    if number is None or score is None:
        raise InputError(f"{where}: expected a budget and a score, N=SCORE")
    return GivenScore(
        number,
        on.check(where, score),
        checked_sd(f"{where}: the sd", sd),
        checked_count(f"{where}: the test size", size, 1, LARGEST_SIZE),
    )


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
