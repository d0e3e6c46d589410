"""Scores as a user gives them: their scale, their checks, and files of them."""

import csv
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

from labelcast.errors import InputError
from labelcast.files.untrusted import read_small
from labelcast.forecast.evaluation_logs import LOG_ENDINGS, chosen, logged_scores, read_log
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
    "labels": (
        *("n", "budget", "labels", "n_labels", "train_size", "n_train", "num_train"),
        *("train_examples", "num_train_examples", "training_examples", "examples", "n_examples"),
    ),
    "score": (
        *("score", "accuracy", "acc", "f1", "macro_f1", "exact_match", "eval_accuracy", "eval_f1"),
        *("test_accuracy", "test_score", "test_f1", "rouge_l", "value"),
    ),
    "sd": ("sd",),
    "size": ("size", "test_size", "n_test", "num_test", "test_examples", "num_samples"),
    "error": ("standard_error", "stderr", "se"),
}
"""Names of the columns of what is read; other columns are ignored."""

EXPECTED = (
    "expected the columns n (or budget, labels, train_size) and score, and where known sd (of all "
    "noise of the score), standard_error or size (of its test set)"
)
LARGEST_LOSS = 3.0
"""Larger losses are scaled down to this one."""

_ONE_OF = ("metric", "task")
"""Columns that must have one value, since scores of several cannot be compared."""

_Row = tuple[str, Mapping[str, Any]]
"""Where a row is, and its values by lower-case column."""


@dataclass(frozen=True)
class Scale:
    """The scale on which the user's scores are, and its way to 0 to 1, higher is better.

    Attributes:
        metric: what kind of score it is.
        top: the largest value of a score or an error rate, such as 1 or 100.
        unit: of a loss, which becomes exp(-loss / unit): one where the largest loss is of a size
            that the prior knows, 0.5 to `LARGEST_LOSS`.
    """

    metric: Metric = "score"
    top: float = 1.0
    unit: float = 1.0

    def for_losses(self, values: Sequence[float]) -> "Scale":
        """Return the scale with a unit that suits these losses."""
        largest = max(values, default=0.0)
        if self.metric != "loss" or largest <= 0:
            return self
        return replace(self, unit=largest / min(max(largest, 0.5), LARGEST_LOSS))

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


def read_scores(
    path: str | Path,
    scale: Scale | float | None = None,
    *,
    at: int | None = None,
    which: str | None = None,
) -> list[GivenScore]:
    """Read scores that were measured elsewhere, as `labelcast.forecast` takes them.

    A standard error becomes the size of a test set that gives it, since a score also varies with
    the training seed.

    Args:
        path: a CSV file with a header, JSON Lines or an array, one score a row; or the log of an
            evaluation: the results of lm-evaluation-harness, an Inspect log, or a record of Every
            Eval Ever.
        scale: of the scores, or its largest value, such as 100; 0 to 1 by default.
        at: the labels behind the model of an evaluation log.
        which: the score to take from a log with several: TASK, METRIC or TASK/METRIC.

    Raises:
        InputError: the file cannot be read, has other columns, or holds a wrong value; the message
            names file, line and field.
    """
    path, on = Path(path), Scale("score", scale) if isinstance(scale, int | float) else scale
    on = on or Scale()
    ending = path.suffix.lower()
    if ending in LOG_ENDINGS:
        rows = _log_rows(path, on, at, which)
    elif ending in (".csv", ".jsonl", ".ndjson"):
        rows = (_csv_rows if ending == ".csv" else _json_rows)(path.name, _text(path))
    else:
        raise InputError(
            f"--scores {path}: the name of a file of scores ends in .csv or .jsonl, that of an "
            f"evaluation log in {' or '.join(LOG_ENDINGS)}."
        )
    found, kinds = [], {name: dict[str, None]() for name in _ONE_OF}
    column = ""
    for where, row in rows:
        found.append(_entry(where, row, on))
        name = _names(where, row)["score"]
        if name != (column := column or name):
            raise InputError(f"{where}: its score is {name!r}, that of the first row {column!r}.")
        for name, values in kinds.items():
            values |= {str(row[name]): None} if row.get(name) not in (None, "") else {}
    for name, values in kinds.items():
        if len(values) > 1:
            shown = ", ".join(values)[:200]
            raise InputError(f"--scores {path}: several values of {name} ({shown}). Keep one.")
    if not found:
        raise InputError(f"--scores {path}: no scores in it; {EXPECTED}.")
    return found


def is_log(path: str | Path) -> bool:
    """Whether a file is the log of an evaluation, which needs `at`."""
    path = Path(path)
    return path.suffix.lower() in LOG_ENDINGS and bool(logged_scores(read_log(path)))


def _log_rows(path: Path, on: Scale, at: int | None, which: str | None) -> Iterator[_Row]:
    """The row of an evaluation log, or the rows of a JSON file with one array of them."""
    content = read_log(path)
    logged = logged_scores(content)
    if not logged:
        rows = content if isinstance(content, list) else [content]
        yield from _json_rows(path.name, "\n".join(map(json.dumps, rows)))
        return
    if at is None:
        raise InputError(f"--scores {path}: an evaluation log; say of how many labels: --at N.")
    one = chosen(logged, which, f"--scores {path}")
    if one.falls is not None and one.falls != on.falls:
        raise InputError(
            f"--scores {path}: {'lower' if one.falls else 'higher'} is better for {one.name}; "
            f"{'give' if one.falls else 'leave out'} --lower-is-better."
        )
    values = {"n": at, "score": one.score, "size": one.size, "standard_error": one.standard_error}
    yield f"{path.name}, {one.name}", values


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
        found = ["score"] if what == "score" and "score" in found else found
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
    n, score, sd, size, error = values
    entry = checked_entry(where, (_whole(n), score, sd, _whole(size)), scale)
    if error is None or sd is not None:
        return entry
    return _with_error(entry, checked_sd(f"{where}: the standard error", error) or 0.0, scale)


def _with_error(entry: GivenScore, error: float, scale: Scale) -> GivenScore:
    """A score with the size of a test set that gives this standard error, if there is one."""
    if scale.metric == "loss":
        return entry._replace(sd=error or None)
    share, own = entry.score / scale.top, error / scale.top
    if not 0 < share < 1 or own == 0:
        return entry
    return entry._replace(size=min(max(round(share * (1 - share) / own**2), 1), LARGEST_SIZE))


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
    header = [_column(value) for value in values]
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
        yield where, {_column(key): value for key, value in row.items()}


def _column(name: str) -> str:
    """The name of a column in one form: ``Train size`` is ``train_size``."""
    return re.sub(r"[\s\-]+", "_", name.strip().casefold())
