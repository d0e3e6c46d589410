"""Scores in files: tables with a row for each training run, and logs of evaluation tools."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from labelcast.errors import InputError
from labelcast.files.untrusted import read_small
from labelcast.forecast.evaluation_logs import (
    LOG_ENDINGS,
    LoggedScore,
    chosen,
    logged_scores,
    read_log,
)
from labelcast.forecast.given_scores import GivenScore, Scale, checked_entry, scale_of
from labelcast.forecast.options import Metric
from labelcast.forecast.score_tables import THOUSANDS, Row, Table, column_name, with_error


def read_scores(
    path: str | Path,
    scale: Scale | float | None = None,
    *,
    at: int | None = None,
    which: str | None = None,
    lower_is_better: bool = False,
    metric: Metric | None = None,
) -> list[GivenScore]:
    """Read scores that were measured elsewhere, as `labelcast.forecast` takes them.

    A standard error becomes the size of a test set that gives it, since a score also varies with
    the training seed.

    Args:
        path: a CSV, TSV or Excel file with a header, JSON Lines or an array, one score a row; or
            the log of an evaluation: the results of lm-evaluation-harness, an Inspect log, or a
            record of Every Eval Ever.
        scale: the largest value of a score, such as 100; 1 by default. With it go the options of
            `labelcast.forecast` of this name and of the last two: give both the same. A `Scale`
            replaces all three.
        at: the labels behind the model of an evaluation log.
        which: the score to take from several: of a table, the name of a column, or a value in its
            column metric, task, dataset or split, or both as VALUE/COLUMN; of a log, TASK,
            METRIC or TASK/METRIC.
        lower_is_better: the scores are losses, or with `scale` error rates.
        metric: "score", "error" or "loss", where the two above do not decide it.

    Raises:
        InputError: the file cannot be read, has other columns, or holds a wrong value; the message
            names file, line and field.
    """
    if not isinstance(scale, Scale):
        scale = scale_of({"scale": scale, "lower_is_better": lower_is_better, "metric": metric})
    return read_files([(path, at)], scale, which)


def read_files(
    files: Sequence[tuple[str | Path, int | None]], on: Scale, which: str | None = None
) -> list[GivenScore]:
    """Read the scores of several files, all of which must lie on one curve.

    Args:
        files: each with the labels behind it if it is an evaluation log.
        on: scale of the scores.
        which: as in `read_scores`.

    Raises:
        InputError: one cannot be read, or they do not lie on one curve.
    """
    table, tables, logged, names = Table(on, which), [], [], dict[str, Path]()
    for given, at in files:
        path = Path(given)
        content = read_log(path) if path.suffix.lower() in LOG_ENDINGS else None
        if scores := logged_scores(content):
            one = chosen(scores, which, f"--scores {path}")
            logged.append(_logged(path, one, on, at))
            names.setdefault(one.name, path)
        else:
            tables.append((path, _rows(path, content, table)))
    if len(names) > 1:
        raise InputError(
            f"--scores: {', '.join(f'{path} has {name}' for name, path in names.items())}, whose "
            "scores do not lie on one curve; keep the logs of one task and metric."
        )
    return logged + table.scores(tables)


def _rows(path: Path, content: object, table: Table) -> Iterator[Row]:
    """Rows of a table; `content` is that of a JSON file."""
    ending = path.suffix.lower()
    if ending in LOG_ENDINGS:
        rows = content if isinstance(content, list) else [content]
        return (_record(f"{path.name} line {n}", row) for n, row in enumerate(rows, 1))
    if ending in (".csv", ".tsv"):
        return _csv_rows(path.name, _text(path), table)
    if ending in (".jsonl", ".ndjson"):
        return _json_rows(path.name, _text(path))
    if ending == ".xlsx":
        from labelcast.tasks.readers import reader_of

        return (_record(f"{path.name} {place}", row) for place, row in reader_of(path)(path))
    raise InputError(
        f"--scores {path}: the name of a file of scores ends in .csv, .tsv, .xlsx or .jsonl, that "
        f"of an evaluation log in {' or '.join(LOG_ENDINGS)}."
    )


def is_log(path: str | Path) -> bool:
    """Whether a file is the log of an evaluation, which needs `at`."""
    path = Path(path)
    return path.suffix.lower() in LOG_ENDINGS and bool(logged_scores(read_log(path)))


def _logged(path: Path, one: LoggedScore, on: Scale, at: int | None) -> GivenScore:
    """The score of an evaluation log."""
    if at is None:
        raise InputError(f"--scores {path}: an evaluation log; say of how many labels: --at N.")
    if one.falls is not None and one.falls != on.falls:
        raise InputError(
            f"--scores {path}: {'lower' if one.falls else 'higher'} is better for {one.name}; "
            f"{'give' if one.falls else 'leave out'} --lower-is-better."
        )
    where = f"{path.name}, {one.name}"
    entry = checked_entry(where, (at, one.score, None, one.size), on)
    return with_error(where, entry, one.standard_error, on)


def _text(path: Path) -> str:
    try:
        return read_small(path).removeprefix("\ufeff")
    except IsADirectoryError:
        raise InputError(f"--scores {path}: a folder, where a file is needed.") from None
    except OSError as error:
        raise InputError(f"--scores {path}: cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise InputError(f"--scores {path}: not UTF-8 text. Save the file as UTF-8.") from None


def _csv_rows(name: str, text: str, table: Table) -> Iterator[Row]:
    lines = text.splitlines(keepends=True)
    if lines and lines[0].startswith(("sep=", '"sep=')):  # for Excel alone
        lines[0] = "\n"
    first = next((line for line in lines if line.strip()), "")
    mark = max(",;\t|", key=first.count)
    rows = csv.reader(lines, strict=True, delimiter=mark)
    header: list[str] | None = None
    try:
        for row in rows:
            where = f"{name} line {rows.line_num}"
            values = [value.strip() for value in row]
            if not any(values):
                continue
            if header is None:
                header = _columns(where, values)
                if table.which is None:  # else only rows tell which column and values it names
                    table.names(where, dict.fromkeys(header))
                continue
            if len(values) != len(header):
                raise InputError(
                    f"{where}: {len(values)} values where the header has {len(header)}."
                )
            points = values if mark == "," else [_with_point(value) for value in values]
            if points != values and (found := next(filter(THOUSANDS.fullmatch, values), None)):
                raise InputError(
                    f"{where}: {found!r} beside decimal commas; write it without a point."
                )
            yield where, dict(zip(header, points, strict=True))
    except csv.Error as error:
        raise InputError(f"{name} line {rows.line_num}: not valid CSV: {error}.") from None


def _with_point(value: str) -> str:
    """Return a decimal comma as a point; 1,000 may be a thousand, and stays as it is.

    >>> _with_point("0,71"), _with_point("0,705"), _with_point("1,000")
    ('0.71', '0.705', '1,000')
    """
    decimal = re.fullmatch(r"-?(0,\d+|\d+,(?!\d{3}$)\d+)", value)
    return value.replace(",", ".") if decimal else value


def _columns(where: str, names: Iterable[str]) -> list[str]:
    columns = [column_name(name) for name in names]
    doubles = [name for name, count in Counter(columns).items() if count > 1 and name]
    if doubles:
        raise InputError(f"{where}: column {doubles[0]!r:.60} appears twice.")
    return columns


def _record(where: str, row: object) -> Row:
    if not isinstance(row, dict):
        raise InputError(f'{where}: expected an object such as {{"n": 50, "score": 0.7}}.')
    return where, dict(zip(_columns(where, row), row.values(), strict=True))


def _json_rows(name: str, text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{name} line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            fault = getattr(error, "msg", None) or "a value is too long or nested too deep"
            raise InputError(f"{where}: not valid JSON: {fault}.") from None
        yield _record(where, row)
