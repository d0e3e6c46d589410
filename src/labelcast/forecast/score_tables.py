"""Tables of scores: what each column means, and which rows lie on one curve."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise, permutations
from pathlib import Path
from shlex import quote
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
ERRORS = ("error", "error_rate", "test_error", "wer", "cer")
FALLING: tuple[str, ...] = (
    *("loss", "eval_loss", "test_loss", *ERRORS, "perplexity", "mse", "rmse", "mae"),
)
EITHER: tuple[str, ...] = ("score", "test_score", "eval_score", "value")
"""Names of the column of the score: as a model gets better it rises, falls, or may do either."""

_ONE_OF = ("metric", "task", "dataset", "split")
_REPEATED = ("model", "recipe", "method", "selector")
"""Columns that must have one value, since scores of several do not lie on one curve; of the second
kind several are allowed if no two rows share one, as with a name for each trained model."""

_RUN = ("seed", "run", "run_id", "run_name", "name", "fold", *_REPEATED)
"""Columns that tell training runs apart."""

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
        meant: list[Mapping[str, Any]] = []
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
                meant.append(row)
                name = names["score"]
                column = column or name
                if name != column:
                    raise InputError(
                        f"{where}: a score in {name!r}, the first one in {column!r}; keep one "
                        "metric, under one name."
                    )
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
        _check_epochs(found, meant)
        for kind in (*_ONE_OF, *_REPEATED):
            values = Counter(str(row[kind]) for row in meant if row.get(kind) not in (None, ""))
            repeated = kind in _ONE_OF or max(values.values(), default=0) > 1
            if len(values) > 1 and repeated:
                choice = f"choose one, as with {self._with(next(iter(values)))}"
                way = choice if kind in _ONE_OF else "keep the rows of one"
                shown = ", ".join(values)[:200]
                raise InputError(
                    f"--scores {', '.join(str(path) for path, _ in files)}: several values of "
                    f"{kind} ({shown}), whose scores do not lie on one curve; {way}."
                )
        return found

    def _is_meant(self, row: Mapping[str, Any]) -> bool:
        if self.which is None:
            return True
        column, rest = self._meant(row)
        return (column is not None and not rest) or _names(rest, _values(row))

    def _meant(self, row: Mapping[str, Any]) -> tuple[str | None, str]:
        """The column of scores that `which`, or a part of it, names, and the rest of `which`."""
        which = self.which or ""
        parts = [which] if which.casefold() in _values(row) else which.split("/")
        known = {*EITHER, *RISING, *FALLING} & row.keys()
        for size in range(len(parts), 0, -1):  # the name of a column may have / in it
            for start in range(len(parts) - size + 1):
                name = column_name("/".join(parts[start : start + size]))
                if name in known:
                    return name, "/".join(parts[:start] + parts[start + size :])
        return None, which

    def _with(self, choice: str) -> str:
        """How to choose this too, beside what is chosen already."""
        return "--which " + quote("/".join(filter(None, (self.which, choice))))

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
        meant, _ = self._meant(row)
        found = [name for name in (*EITHER, *ours, *others) if name in row]
        if meant is not None or "score" in found:
            found = [meant or "score"]
        suited = [name for name in found if name not in others]
        if len(suited) > 1:
            raise InputError(
                f"{where}: two columns of scores, {suited[0]!r} and {suited[1]!r}; choose one, as "
                f"with {self._with(suited[0])}."
            )
        if suited:
            return suited[0]
        if found:
            verb, way = ("rises", "leave out") if self.scale.falls else ("falls", "give")
            way += " --lower-is-better"
            if found[0] in ERRORS:
                way = "give --metric error, with --scale 100 if it is in percent"
            raise InputError(f"{where}: {found[0]!r} {verb} as a model gets better; {way}.")
        raise InputError(_missing(where, row, "score", "score, accuracy or f1"))

    def _entry(self, where: str, row: Mapping[str, Any], names: Mapping[str, str]) -> GivenScore:
        values: dict[str, float | None] = {}
        for what, name in names.items():
            text = row[name] if what in ("labels", "size") else None
            if isinstance(text, str) and THOUSANDS.fullmatch(text):
                raise InputError(
                    f"{where}: {name!r}: {text!r} may be {text.replace('.', '')} or "
                    f"{text.split('.')[0]}; write it without a point."
                )
            values[what] = _number(f"{where}: {name!r}", row[name])
            if values[what] is None and what in ("labels", "score"):
                raise InputError(f"{where}: {name!r} is empty.")
        if self.scale.metric == "loss" and names["score"] in ERRORS and (values["score"] or 0) > 1:
            raise InputError(
                f"{where}: {names['score']!r} is above 1; for percent give --metric error --scale "
                "100, for losses or rates that can exceed 1 rename the column to loss."
            )
        sd = values.get("sd") or None  # 0 is that of a single run
        _check_error(f"{where}: {names.get('sd')!r}", sd, self.scale)
        given = (values["labels"], values["score"], sd, values.get("size"))
        entry = checked_entry(where, given, self.scale)
        if sd is not None:
            return entry
        return with_error(where, entry, values.get("error"), self.scale)


def _values(row: Mapping[str, Any]) -> set[str]:
    """What a row says that its score is of."""
    return {str(row[kind]).casefold() for kind in _ONE_OF if kind in row}


def _names(text: str, values: set[str]) -> bool:
    """Whether a text is one of the values, or several with / between them.

    >>> _names("glue/sst2/test", {"glue/sst2", "test"})
    True
    """
    cuts = (place for place, letter in enumerate(text) if letter == "/")
    return text.casefold() in values or any(
        text[:cut].casefold() in values and _names(text[cut + 1 :], values) for cut in cuts
    )


def _check_files(contents: Sequence[tuple[Path, Counter[str]]]) -> None:
    """Refuse a file that is part of another one; a single row may be equal by chance."""
    for (path, rows), (other, others) in permutations(contents, 2):
        if rows.total() > 1 and rows <= others:
            raise InputError(
                f"--scores {path}: all of its rows are in {other} too; leave out {path}, or name "
                "the seeds in a column seed."
            )


def _check_epochs(found: Sequence[GivenScore], rows: Sequence[Mapping[str, Any]]) -> None:
    """Refuse several epochs of one run, which are no seeds.

    Several rows at the same labels may also be several seeds, each at its best epoch. Only these
    are refused: different epochs of one seed, the same sequence of epochs at different labels,
    which one of them may end early, and three or more that are evenly spaced.
    """
    for column in ("epoch", "step"):
        runs = defaultdict[tuple[Any, ...], list[float]](list)
        for entry, row in zip(found, rows, strict=True):
            with suppress(KeyError, TypeError, ValueError, OverflowError):  # none, or no number
                epoch = float(row[column])
                names = ("" if row.get(name) is None else str(row[name]) for name in _RUN)
                runs[entry.n, *names].append(epoch)
        several = [epochs for epochs in runs.values() if len(epochs) > 1]
        longest = max(several, key=len, default=[])
        seeded = [run for (_, seed, *_), run in runs.items() if seed and len(set(run)) > 1]
        same = len(several) > 1 and len(set(longest)) == len(longest)
        same = same and all(_agree(epochs, longest) for epochs in several)
        even = len(longest) > 2 and all(map(_evenly_spaced, several))
        if seeded or same or even:
            shown = ", ".join(f"{epoch:.9g}" for epoch in (seeded or [longest])[0])
            raise InputError(
                f"--scores: rows with the same labels and {column}s {shown[:100]} look like one "
                "training run; keep one of them for each run, or name the runs in a column run."
            )


def _agree(epochs: Sequence[float], longest: Sequence[float]) -> bool:
    """Whether epochs are the first of others, apart from parts of one, as the Trainer counts."""
    return all(abs(one - other) < 0.5 for one, other in zip(epochs, longest, strict=False))


def _evenly_spaced(epochs: Sequence[float]) -> bool:
    """Whether epochs rise by about the same.

    >>> _evenly_spaced([0.99, 1.99, 2.97]), _evenly_spaced([3, 5, 2])
    (True, False)
    """
    gaps = [later - earlier for earlier, later in pairwise(epochs)]
    return 0 < max(gaps) < 1.1 * min(gaps)


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
