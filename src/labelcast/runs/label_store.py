"""A run's drawn examples and their labels: `draws.jsonl` and `labels.jsonl`."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from pydantic import Field

from labelcast.errors import InputError, LabelcastWarning
from labelcast.files.json_files import read_jsonl, write_jsonl, write_with
from labelcast.runs.records import Form, Natural, parse_rows
from labelcast.runs.run import Run
from labelcast.tasks.prompts import Example, Render, answer_name, examples, flat_row, input_names
from labelcast.tasks.sources import Record, Source
from labelcast.tasks.task import Task

_DRAWS, _LABELS = "draws.jsonl", "labels.jsonl"
SET_NAME = r"^[a-z][a-z0-9_-]{0,39}$"

_OWN_FIELDS = ("id", "index", "set", "batch")
Role = Literal["low", "train", "test"]


@dataclass(frozen=True)
class ExampleSet:
    """A set of drawn examples: its name in files and options, and its use.

    No example is in two sets. The roles: CoS-Low (``low``), fine-tuning, evaluation.
    """

    name: str
    role: Role

    @classmethod
    def named(cls, name: str) -> ExampleSet:
        """The set with a name; a training set is named after the method that chose its examples."""
        return next((known for known in SETS if known.name == name), cls(name, "train"))


SETS = (
    ExampleSet("low", "low"),
    ExampleSet("random", "train"),
    ExampleSet("test", "test"),
)
_ROLES: tuple[Role, ...] = get_args(Role)


class DrawnExample(Form):
    """One row of `draws.jsonl`: an example, its position in the pool, its set and draw number.

    `chat_turns` are those of a conversation, which `fields` has as text for people.
    """

    id: str
    index: Natural
    set: str = Field(pattern=SET_NAME)
    batch: Natural = 0
    fields: dict[str, str]
    chat_turns: list[dict[str, str]] = Field(default_factory=list)

    @classmethod
    def of(cls, example: Example, name: str, batch: int) -> DrawnExample:
        """An example of the pool as a member of a set."""
        return cls(
            id=example.id,
            index=example.index,
            set=name,
            batch=batch,
            fields=example.fields,
            chat_turns=[dict(turn) for turn in example.turns],
        )


class Label(DrawnExample):
    """One row of `labels.jsonl`: a drawn example with its answer."""

    answer: str


Drawn = TypeVar("Drawn", bound=DrawnExample)


@dataclass(frozen=True)
class LabelCounts:
    """How many examples of each set are drawn and labelled."""

    drawn: dict[str, int]
    labelled: dict[str, int]

    @property
    def left(self) -> int:
        """Drawn examples without a label."""
        return sum(self.drawn.values()) - sum(self.labelled.values())


def check_names(task: Task | None) -> None:
    """Refuse a task with a field that is named like a column of the run's files."""
    for name in [*input_names(task), answer_name(task)]:
        if name in (*_OWN_FIELDS, "chat_turns"):
            raise InputError(
                f"field {name!r}: a run stores its own {', '.join(_OWN_FIELDS)} beside the "
                "fields. Rename the field in the data and in the task."
            )


def read_draws(run: Run, only: Collection[str] | None = None) -> list[DrawnExample]:
    """The drawn examples of some sets (None: all), in drawn order, once the pool is scored."""
    run.need_score()
    return [draw for draw in draws_so_far(run) if only is None or draw.set in only]


def draws_so_far(run: Run) -> list[DrawnExample]:
    """The drawn examples, also before score has finished."""
    try:
        return _read_examples(run, _DRAWS, DrawnExample)
    except InputError as error:
        raise InputError(
            f"{error} Or run the same `labelcast score` again, which repeats the draw."
        ) from None


def draws_intact(run: Run) -> bool:
    """Whether `draws.jsonl` exists and is not damaged."""
    try:
        return run.file(_DRAWS).exists() and bool(draws_so_far(run))
    except InputError:
        return False


def surviving_draws(run: Run) -> list[DrawnExample]:
    """The examples outside the low-confidence set that are labelled, or intact in `draws.jsonl`."""
    labels = read_labels(run)
    known = {label.id for label in labels}
    rows = [*labels, *(draw for draw in _intact_rows(run) if draw.id not in known)]
    return sorted((row for row in rows if row.set != "low"), key=lambda row: row.batch)


def restore_draws(run: Run, draws: Sequence[DrawnExample]) -> None:
    """Write `draws.jsonl` in place of a missing or damaged one; a damaged one is kept."""
    path, aside = run.file(_DRAWS), run.file("draws.damaged.jsonl")
    # An encoder's run begins without draws.
    if path.exists() and (draws or path.stat().st_size):
        write_with(aside, lambda part: part.write_bytes(path.read_bytes()))
        others = sum(draw.set != "low" for draw in draws)
        warnings.warn(
            f"{path} was damaged. The draw is repeated from its seed, and {others} examples of "
            f"other sets are restored. The damaged file is {aside}.",
            LabelcastWarning,
            stacklevel=2,
        )
    save_draws(run, draws)


def _intact_rows(run: Run) -> Iterator[DrawnExample]:
    path, inputs = run.file(_DRAWS), input_names(run.task)
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        # Also a RecursionError: the line may be anything.
        with suppress(ValueError, TypeError, KeyError, RecursionError):
            row = json.loads(line)
            yield DrawnExample.model_validate(row | {"fields": {key: row[key] for key in inputs}})


def require_drawn(run: Run, only: Collection[str] | None) -> None:
    """Refuse sets without examples."""
    if not read_draws(run, only):
        names = f" for {', '.join(only)}" if only else ""
        raise InputError(f"{run.path}: nothing has been drawn{names}.")


def read_labels(run: Run) -> list[Label]:
    """The labels of a run; an answer with a name is the name."""
    labels, task = _read_examples(run, _LABELS, Label), run.task
    if task is None or not task.values:
        return labels
    return [n.model_copy(update={"answer": task.name_of(n.answer)}) for n in labels]


def known_answers(run: Run) -> dict[str, str]:
    """The answers of a run by the id of their example."""
    return {label.id: label.answer for label in read_labels(run)}


def sets_of(draws: Sequence[DrawnExample]) -> list[ExampleSet]:
    """The sets of drawn examples: low, then training sets, then test."""
    found = [ExampleSet.named(name) for name in dict.fromkeys(draw.set for draw in draws)]
    return sorted(found, key=lambda one: _ROLES.index(one.role))


def save_draws(run: Run, draws: Sequence[DrawnExample]) -> None:
    """Write `draws.jsonl`."""
    write_jsonl(run.file(_DRAWS), [_row(draw, run.task, None) for draw in draws])


def save_labels(run: Run, answers: Mapping[str, str]) -> None:
    """Write `labels.jsonl` from answers by id, in drawn order.

    Labels of examples that are no longer in `draws.jsonl` are kept at the end of the file.
    """
    drawn = {draw.id: draw for draw in read_draws(run)}
    rows = [_row(drawn[key], run.task, answers[key]) for key in drawn if key in answers]
    rows += [_row(old, run.task, old.answer) for old in read_labels(run) if old.id not in drawn]
    write_jsonl(run.file(_LABELS), rows)


def count_labels(run: Run) -> LabelCounts:
    """How many examples of each set are drawn and labelled."""
    draws = read_draws(run) if run.is_done("score") else []
    return LabelCounts(
        dict(Counter(draw.set for draw in draws)),
        dict(Counter(label.set for label in read_labels(run))),
    )


def labelled_examples(run: Run, name: str, render: Render) -> list[Example]:
    """The labelled examples of one set, rendered; fewer than two are refused."""
    labels = [label for label in read_labels(run) if label.set == name]
    if len(labels) < 2:
        raise InputError(
            f"{run.path}: {len(labels)} of {len(read_draws(run, [name]))} examples are labelled. "
            f"Label them first: `labelcast label {run.path}` (or in a file, with --export and "
            "--import)."
        )
    task, file = run.task, f"{run.path.name}/{_LABELS}"
    records = [
        Record(n.index, f"{file} id {n.id}", {"id": n.id, **_values(n, task)}) for n in labels
    ]
    return list(examples(Source(file, lambda: iter(records)), task, render, need_answer=True))


def _values(label: Label, task: Task | None) -> dict[str, Any]:
    """A label as a record: a conversation by its turns, which its text does not have."""
    values: dict[str, Any] = flat_row(label.fields, task, label.answer)
    return values | (dict.fromkeys(label.fields, label.chat_turns) if label.chat_turns else {})


def is_blank(value: object) -> bool:
    """Whether a record's answer is blank: None, NaN, an empty list, or only white space."""
    is_empty = value in (None, []) or value != value
    return is_empty or (isinstance(value, str) and not value.strip())


def _read_examples(run: Run, name: str, form: type[Drawn]) -> list[Drawn]:
    # The file is flat: the task's fields are columns beside our own.
    task = run.task
    inputs, answer = input_names(task), answer_name(task)
    rows = (
        row | {"fields": {key: row.get(key) for key in inputs}, "answer": row.get(answer)}
        for row in read_jsonl(run.file(name))
    )
    return parse_rows(form, rows, run.file(name))


def _row(drawn: DrawnExample, task: Task | None, answer: str | None) -> dict[str, Any]:
    turns = {"chat_turns": drawn.chat_turns} if drawn.chat_turns else {}
    own = drawn.model_dump(include={*_OWN_FIELDS}) | turns
    return own | flat_row(drawn.fields, task, answer)
