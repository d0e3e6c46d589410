"""Scores in files: tables with a row for each training run, and logs of evaluation tools."""

import csv
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from labelcast.errors import InputError
from labelcast.files.untrusted import read_small
from labelcast.forecast.evaluation_logs import LOG_ENDINGS, chosen, logged_scores, read_log
from labelcast.forecast.given_scores import GivenScore, Scale, checked_entry
from labelcast.forecast.options import LARGEST_SIZE, checked_amount

COLUMNS: dict[str, tuple[str, ...]] = {
    "labels": (
        *("n", "budget", "labels", "n_labels", "num_labels", "labelled", "labeled", "train_size"),
        *("training_size", "training_set_size", "n_train", "num_train", "n_samples"),
        *("train_samples", "train_examples", "num_train_examples", "training_examples"),
        *("examples", "n_examples"),
    ),
    "sd": ("sd", "std", "score_std", "accuracy_std"),
    "size": (
        *("size", "test_size", "n_test", "num_test", "test_examples", "test_samples"),
        *("eval_samples", "num_samples"),
    ),
    "error": ("standard_error", "stderr", "se"),
}
"""Names of the columns of what is read beside the score."""

RISING: tuple[str, ...] = (
    *("accuracy", "acc", "f1", "f1_score", "macro_f1", "micro_f1", "exact_match", "eval_accuracy"),
    *("eval_f1", "test_accuracy", "test_acc", "test_f1", "auc", "roc_auc", "rouge_l", "bleu"),
)
FALLING: tuple[str, ...] = (
    *("loss", "eval_loss", "test_loss", "error", "error_rate", "test_error", "wer", "cer"),
    *("perplexity", "mse", "rmse", "mae"),
)
EITHER: tuple[str, ...] = ("score", "test_score", "eval_score", "value")
"""Names of the column of the score: as a model gets better it rises, falls, or may do either."""

_ONE_OF = ("metric", "task", "dataset", "split")
_REPEATED = ("model", "recipe", "method", "selector")
"""Columns that must have one value, since scores of several do not lie on one curve; of the second
kind several are allowed if no two rows share one, as with a name for each trained model."""

_EMPTY = "no scores in it; give a header such as n,score and a row for each score"
_LARGEST_ERROR = 0.5
"""The largest standard error of a score from 0 to 1, with one test example."""

_THOUSANDS = re.compile(r"[1-9]\d{0,2}(\.\d{3})+")

_Row = tuple[str, Mapping[str, Any]]
"""Where a row is, and its values by lower-case column."""


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
        path: a CSV, TSV or Excel file with a header, JSON Lines or an array, one score a row; or
            the log of an evaluation: the results of lm-evaluation-harness, an Inspect log, or a
            record of Every Eval Ever.
        scale: scale of the scores, or its largest value, such as 100; 0 to 1 by default.
        at: the labels behind the model of an evaluation log.
        which: the score to take from several: of a table, the name of a column, or a value in its
            column metric, task, dataset or split; of a log, TASK, METRIC or TASK/METRIC.

    Raises:
        InputError: the file cannot be read, has other columns, or holds a wrong value; the message
            names file, line and field.
    """
    path, on = Path(path), Scale("score", scale) if isinstance(scale, int | float) else scale
    on = on or Scale()
    table = _Table(path, on, which)
    ending = path.suffix.lower()
    if ending in LOG_ENDINGS:
        content = read_log(path)
        if logged_scores(content):
            return [_logged(path, content, on, at, which)]
        lines = content if isinstance(content, list) else [content]
        return table.scores(_json_rows(path.name, "\n".join(map(json.dumps, lines))))
    if ending in (".csv", ".tsv"):
        return table.scores(_csv_rows(path.name, _text(path), table))
    if ending in (".jsonl", ".ndjson"):
        return table.scores(_json_rows(path.name, _text(path)))
    if ending == ".xlsx":
        return table.scores(_excel_rows(path))
    raise InputError(
        f"--scores {path}: the name of a file of scores ends in .csv, .tsv, .xlsx or .jsonl, that "
        f"of an evaluation log in {' or '.join(LOG_ENDINGS)}."
    )


def is_log(path: str | Path) -> bool:
    """Whether a file is the log of an evaluation, which needs `at`."""
    path = Path(path)
    return path.suffix.lower() in LOG_ENDINGS and bool(logged_scores(read_log(path)))


def _logged(
    path: Path, content: object, on: Scale, at: int | None, which: str | None
) -> GivenScore:
    """The score of an evaluation log."""
    if at is None:
        raise InputError(f"--scores {path}: an evaluation log; say of how many labels: --at N.")
    one = chosen(logged_scores(content), which, f"--scores {path}")
    if one.falls is not None and one.falls != on.falls:
        raise InputError(
            f"--scores {path}: {'lower' if one.falls else 'higher'} is better for {one.name}; "
            f"{'give' if one.falls else 'leave out'} --lower-is-better."
        )
    where = f"{path.name}, {one.name}"
    entry = checked_entry(where, (at, one.score, None, one.size), on)
    return _with_error(where, entry, one.standard_error, on)


class _Table(NamedTuple):
    """A table of scores: its file, the scale of its scores, and which of several are meant."""

    path: Path
    scale: Scale
    which: str | None

    def scores(self, rows: Iterator[_Row]) -> list[GivenScore]:
        """Return the scores of the rows that are meant, which must lie on one curve."""
        found: list[GivenScore] = []
        kinds = {name: Counter[str]() for name in (*_ONE_OF, *_REPEATED)}
        lines: dict[str, str] = {}
        column, empty = "", True
        for where, row in rows:
            empty = False
            if not self._is_meant(row):
                continue
            names = self.names(where, row)
            found.append(self._entry(where, row, names))
            name = names["score"]
            if name != (column := column or name):
                raise InputError(f"{where}: a score in {name!r}, the first one in {column!r}.")
            for kind, values in kinds.items():
                values.update([str(row[kind])] if row.get(kind) not in (None, "") else [])
            self._check_repeated(where, row, lines)
        if not found:
            what = _EMPTY if empty else f"no column or row of {self.which!r}"
            raise InputError(f"--scores {self.path}: {what}.")
        for kind, values in kinds.items():
            repeated = kind in _ONE_OF or max(values.values(), default=0) > 1
            if len(values) > 1 and repeated:
                way = "choose one with --which" if kind in _ONE_OF else "keep the rows of one"
                shown = ", ".join(values)[:200]
                raise InputError(
                    f"--scores {self.path}: several values of {kind} ({shown}), whose scores do "
                    f"not lie on one curve; {way}."
                )
        return found

    def _is_meant(self, row: Mapping[str, Any]) -> bool:
        if self.which is None or self._column_meant(row):
            return True
        values = {str(row[kind]).casefold() for kind in _ONE_OF if kind in row}
        return self.which.casefold() in values

    def _column_meant(self, row: Mapping[str, Any]) -> str | None:
        """The column of scores that `which` names."""
        name = _column(self.which or "")
        return name if name in row and name in {*EITHER, *RISING, *FALLING} else None

    def _check_repeated(self, where: str, row: Mapping[str, Any], lines: dict[str, str]) -> None:
        """Refuse a row that is there twice, as files put together may have it."""
        if row.get("seed") in (None, ""):
            return  # two runs may have the same score
        before = lines.setdefault(repr(sorted(row.items())), where)
        if before != where:
            raise InputError(f"{where}: the same row as in {before}; remove one of them.")

    def names(self, where: str, row: Mapping[str, Any]) -> dict[str, str]:
        """Return the column of each value that a row has.

        Raises:
            InputError: labels or score have none, or one of them has several.
        """
        names = {}
        for what, known in COLUMNS.items():
            found = [name for name in known if name in row]
            if len(found) > 1:
                raise InputError(f"{where}: {found[0]!r} and {found[1]!r} mean the same; keep one.")
            if found:
                names[what] = found[0]
        if "labels" not in names:
            raise InputError(_missing(where, row, "labels", "n, labels or train_size"))
        return names | {"score": self._score_name(where, row)}

    def _score_name(self, where: str, row: Mapping[str, Any]) -> str:
        ours, others = (FALLING, RISING) if self.scale.falls else (RISING, FALLING)
        meant = self._column_meant(row)
        found = [name for name in (*EITHER, *ours, *others) if name in row]
        if meant is not None or "score" in found:
            found = [meant or "score"]
        suited = [name for name in found if name not in others]
        if len(suited) > 1:
            raise InputError(
                f"{where}: two columns of scores, {suited[0]!r} and {suited[1]!r}; choose one with "
                "--which."
            )
        if suited:
            return suited[0]
        if found:
            verb, way = ("rises", "leave out") if self.scale.falls else ("falls", "give")
            raise InputError(
                f"{where}: {found[0]!r} {verb} as a model gets better; {way} --lower-is-better."
            )
        raise InputError(_missing(where, row, "score", "score, accuracy or f1"))

    def _entry(self, where: str, row: Mapping[str, Any], names: Mapping[str, str]) -> GivenScore:
        values: dict[str, float | None] = {}
        for what, name in names.items():
            values[what] = _number(f"{where}: {name!r}", row[name])
            if values[what] is None and what in ("labels", "score"):
                raise InputError(f"{where}: {name!r} is empty.")
        sd = values.get("sd") or None  # 0 is that of a single run
        _check_error(f"{where}: {names.get('sd')!r}", sd, self.scale)
        given = (values["labels"], values["score"], sd, values.get("size"))
        entry = checked_entry(where, given, self.scale)
        if sd is not None:
            return entry
        return _with_error(where, entry, values.get("error"), self.scale)


def _missing(where: str, row: Mapping[str, Any], what: str, examples: str) -> str:
    has = ", ".join(list(row)[:8])[:200] or "nothing"
    return f"{where}: no column of the {what}, such as {examples}; rename one of: {has}."


def _with_error(where: str, entry: GivenScore, error: float | None, scale: Scale) -> GivenScore:
    """A score with the size of a test set that gives this standard error, if there is one."""
    error = checked_amount(f"{where}: the standard error", error, "an sd") or 0.0
    if scale.metric == "loss":
        return entry._replace(sd=error or None)
    _check_error(f"{where}: the standard error", error, scale)
    share, own = entry.score / scale.top, error / scale.top
    if not 0 < share < 1 or own == 0:
        return entry
    return entry._replace(size=min(max(round(share * (1 - share) / own**2), 1), LARGEST_SIZE))


def _check_error(where: str, error: float | None, scale: Scale) -> None:
    """Refuse an error that no score has, such as one in percent beside a score from 0 to 1."""
    if error is not None and scale.metric != "loss" and error > _LARGEST_ERROR * scale.top:
        raise InputError(f"{where}: {error:g} is too large for scores from 0 to {scale.top:g}.")


def _text(path: Path) -> str:
    try:
        return read_small(path).removeprefix("\ufeff")
    except IsADirectoryError:
        raise InputError(f"--scores {path}: a folder, where a file is needed.") from None
    except OSError as error:
        raise InputError(f"--scores {path}: cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise InputError(f"--scores {path}: not UTF-8 text. Save the file as UTF-8.") from None


def _number(where: str, value: Any) -> int | float | None:
    """Return a value of a file as a number; None where it is empty."""
    if value is None or value == "":
        return None
    number = value
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            number = None
    if isinstance(number, int | float) and not isinstance(number, bool) and abs(number) < math.inf:
        return number
    raise InputError(f"{where}: expected a number, not {value!r:.60}.")


def _csv_rows(name: str, text: str, table: _Table) -> Iterator[_Row]:
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
                header = _header(where, values, table)
            elif len(values) != len(header):
                raise InputError(
                    f"{where}: {len(values)} values where the header has {len(header)}."
                )
            else:
                points = values if mark == "," else [_with_point(value) for value in values]
                if points != values and (found := next(filter(_THOUSANDS.fullmatch, values), None)):
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


def _header(where: str, values: list[str], table: _Table) -> list[str]:
    header = _columns(where, values)
    table.names(where, dict.fromkeys(header))
    return header


def _columns(where: str, names: Iterable[str]) -> list[str]:
    columns = [_column(name) for name in names]
    doubles = [name for name, count in Counter(columns).items() if count > 1]
    if doubles:
        raise InputError(f"{where}: column {doubles[0]!r:.60} appears twice.")
    return columns


def _record(where: str, values: Mapping[str, Any]) -> _Row:
    return where, dict(zip(_columns(where, values), values.values(), strict=True))


def _excel_rows(path: Path) -> Iterator[_Row]:
    """Rows of the first sheet, by the reader of pools."""
    from labelcast.tasks.readers import reader_of

    for place, row in reader_of(path)(path):
        yield _record(f"{path.name} {place}", cast(dict[str, Any], row))


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
        yield _record(where, row)


def _column(name: str) -> str:
    """The name of a column in one form.

    >>> _column("Train size"), _column("# labels"), _column("F1-score"), _column("eval/accuracy")
    ('train_size', 'labels', 'f1_score', 'eval_accuracy')
    """
    return re.sub(r"[\W_]+", "_", name.casefold()).strip("_")
