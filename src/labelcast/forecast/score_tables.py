"""Tables of scores: what each column means, and which rows lie on one curve."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

from labelcast.errors import InputError
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

THOUSANDS = re.compile(r"[1-9]\d{0,2}(\.\d{3})+")

Row = tuple[str, Mapping[str, Any]]
"""Where a row is, and its values by lower-case column."""


class Table(NamedTuple):
    """Tables of scores: the scale of their scores, and which of several are meant."""

    scale: Scale
    which: str | None

    def scores(self, files: Sequence[tuple[Path, Iterator[Row]]]) -> list[GivenScore]:
        """Return the scores of the rows that are meant, all of which must lie on one curve."""
        found: list[GivenScore] = []
        kinds = {name: Counter[str]() for name in (*_ONE_OF, *_REPEATED)}
        lines: dict[str, str] = {}
        contents: list[tuple[Path, Counter[str]]] = []
        column = ""
        for path, rows in files:
            content, empty = Counter[str](), True
            for where, row in rows:
                empty = False
                if not self._is_meant(row):
                    continue
                names = self.names(where, row)
                found.append(self._entry(where, row, names))
                name = names["score"]
                if name != (column := column or name):
                    raise InputError(
                        f"{where}: a score in {name!r}, the first one in {column!r}; keep one "
                        "metric, under one name."
                    )
                for kind, values in kinds.items():
                    values.update([str(row[kind])] if row.get(kind) not in (None, "") else [])
                text = repr(sorted(row.items()))
                content[text] += 1
                if row.get("seed") not in (None, ""):  # without one, two runs may have one score
                    if text in lines:
                        raise InputError(
                            f"{where}: the same row as in {lines[text]}; remove one of them."
                        )
                    lines[text] = where
            if not content:
                what = _EMPTY if empty else f"no column or row of {self.which!r}"
                raise InputError(f"--scores {path}: {what}.")
            contents.append((path, content))
        _check_files(contents)
        for kind, values in kinds.items():
            repeated = kind in _ONE_OF or max(values.values(), default=0) > 1
            if len(values) > 1 and repeated:
                way = "choose one with --which" if kind in _ONE_OF else "keep the rows of one"
                shown = ", ".join(values)[:200]
                raise InputError(
                    f"--scores {', '.join(str(path) for path, _ in files)}: several values of "
                    f"{kind} ({shown}), whose scores do not lie on one curve; {way}."
                )
        return found

    def _is_meant(self, row: Mapping[str, Any]) -> bool:
        if self.which is None or self._column_meant(row):
            return True
        values = {str(row[kind]).casefold() for kind in _ONE_OF if kind in row}
        return self.which.casefold() in values

    def _column_meant(self, row: Mapping[str, Any]) -> str | None:
        """The column of scores that `which` names."""
        name = column_name(self.which or "")
        return name if name in row and name in {*EITHER, *RISING, *FALLING} else None

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
        return with_error(where, entry, values.get("error"), self.scale)


def _check_files(contents: Sequence[tuple[Path, Counter[str]]]) -> None:
    """Refuse a file that is part of another one; a single row may be equal by chance."""
    for (path, rows), (other, others) in permutations(contents, 2):
        if rows.total() > 1 and rows <= others:
            raise InputError(
                f"--scores {path}: all of its rows are in {other} too; leave out {path}, or name "
                "the seeds in a column seed."
            )


def _missing(where: str, row: Mapping[str, Any], what: str, examples: str) -> str:
    has = ", ".join(list(row)[:8])[:200] or "nothing"
    return f"{where}: no column of the {what}, such as {examples}; rename one of: {has}."


def with_error(where: str, entry: GivenScore, error: float | None, scale: Scale) -> GivenScore:
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


def column_name(name: str) -> str:
    """The name of a column in one form.

    >>> [column_name(text) for text in ("Train size", "# labels", "F1-score", "eval/accuracy")]
    ['train_size', 'labels', 'f1_score', 'eval_accuracy']
    """
    return re.sub(r"[\W_]+", "_", name.casefold()).strip("_")
