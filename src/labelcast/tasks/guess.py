"""A draft of a task file, guessed from the columns of a data file, for the user to edit."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

import yaml

from labelcast.errors import InputError
from labelcast.tasks.metrics import METRICS
from labelcast.tasks.sources import Source
from labelcast.tasks.task import InputField, Task
from labelcast.tasks.values import as_text

_RECORDS = 5000
_MOST_ANSWERS = 200
_ANSWER_NAMES = (
    *("label_name", "label_text", "label", "labels", "answer", "target", "ground_truth"),
    *("category", "class", "intent", "sentiment", "gold"),
)
_NEVER_INPUT = ("id", "index", "idx", "split", "source", "url", "date", "time", "timestamp")


@dataclass
class _Column:
    """The values of one field."""

    values: set[str] = field(default_factory=set)
    length: int = 0
    seen: int = 0
    has_words: bool = False

    def add(self, text: str) -> None:
        self.seen += 1
        self.length += len(text)
        self.has_words = self.has_words or " " in text.strip()
        if len(self.values) <= _MOST_ANSWERS:
            self.values.add(text)

    @property
    def mean_length(self) -> float:
        return self.length / max(self.seen, 1)

    @property
    def is_choice(self) -> bool:
        """A few values that repeat."""
        return 1 < len(self.values) <= min(_MOST_ANSWERS, max(2, self.seen // 3))

    @property
    def is_number(self) -> bool:
        return all(re.fullmatch(r"-?\d+(\.\d+)?", value) for value in self.values)


def guess_task(
    source: Source,
    name: str,
    *,
    inputs: Sequence[str] = (),
    answer: str | None = None,
    instruction: str | None = None,
) -> Task:
    """Guess a task from the first 5,000 records of a source.

    Args:
        source: the data.
        name: of the task.
        inputs: input fields; if empty, all fields that look like text.
        answer: the answer field; None guesses it, or takes ``label`` if no field looks like one.
        instruction: None writes a draft.

    Raises:
        InputError: a named field does not exist, or no field looks like text.
    """
    columns = _columns(source)
    for given in inputs:
        if given not in columns:
            raise InputError(
                f"--input {given}: no such field in {source.spec}. It has: {', '.join(columns)}."
            )
    answer = answer or _guess_answer(columns)
    inputs = list(inputs) or _guess_inputs(columns, answer)
    if not inputs:
        raise InputError(
            f"{source.spec}: no field looks like text ({', '.join(columns)}). "
            "Name the input fields with --input."
        )
    column = columns.get(answer)
    answers = sorted(column.values, key=_natural) if column and column.is_choice else []
    labelled = len(inputs) > 1
    return Task.build(
        {
            "name": re.sub(r"[^A-Za-z0-9_.\-]+", "_", name).strip("_.-")[:80] or "task",
            "instruction": instruction or _draft(inputs, answer, answers),
            "inputs": [
                InputField(field=item, label=item.upper().replace("_", " ") if labelled else None)
                for item in inputs
            ],
            "answer": answer,
            "answers": answers,
        },
        source.spec,
    )


def task_file(task: Task) -> str:
    """The text of a task file, with a comment at each thing to check."""
    content = task.model_dump(mode="json", exclude_none=True)
    parts = [
        "# A task for labelcast. Check each part and correct wrong guesses.",
        _yaml("name", content["name"]),
        "# The instruction before every example. Say what the answers mean and which form they",
        "# have: the clearer it is, the fewer labels are needed.",
        _instruction(content["instruction"]),
        "# The fields that the model reads; with several, each needs a label.",
        _yaml("inputs", content["inputs"]),
        "# The field with the answer; it may still be empty or missing.",
        _yaml("answer", content["answer"]),
        "# The allowed answers. Leave them out if any text is allowed.",
        _yaml("answers", content["answers"]) if task.answers else "# answers: [first, second]",
        f"# {', '.join(METRICS[:-1])} or {METRICS[-1]}",
        _yaml("metric", content["metric"]),
        "# The highest score to expect (for example, how often two people agree), if known.",
        "# ceiling: {score: 0.95, source: agreement of two annotators}",
    ]
    return "\n".join(part.rstrip("\n") for part in parts) + "\n"


def _instruction(text: str) -> str:
    """The instruction as a block that is easy to edit, with long lines folded."""
    if text != text.strip() or not text.isprintable() or "  " in text:
        return _yaml("instruction", text)
    lines = textwrap.wrap(text, 94, break_long_words=False, break_on_hyphens=False)
    return "instruction: >-\n" + "\n".join(f"  {line}" for line in lines)


def _yaml(key: str, value: object) -> str:
    return yaml.safe_dump({key: value}, allow_unicode=True, sort_keys=False, width=96)


def _columns(source: Source) -> dict[str, _Column]:
    columns: dict[str, _Column] = {}
    for record in islice(source.records(), _RECORDS):
        for name, value in record.values.items():
            column = columns.setdefault(str(name), _Column())
            known = isinstance(value, str | int | float) and value == value
            if known and str(value).strip():
                column.add(as_text(value, f"{record.where}, field {name!r}"))
    return columns


def _guess_answer(columns: dict[str, _Column]) -> str:
    known = [name for name in _ANSWER_NAMES if name in columns]
    choices = [name for name in known if columns[name].is_choice]
    # A model learns more from words than from numbers.
    worded = [name for name in choices if not columns[name].is_number]
    return next(iter(worded or choices or known), "label")


def _guess_inputs(columns: dict[str, _Column], answer: str) -> list[str]:
    skipped = {answer, *_ANSWER_NAMES, *_NEVER_INPUT}
    texts = {
        name: column
        for name, column in columns.items()
        if name.lower() not in skipped and not column.is_choice and not column.is_number
    }
    # If one field has several words, a field of single words is a code or a name.
    worded = [name for name, column in texts.items() if column.has_words]
    return worded or [name for name, column in texts.items() if column.mean_length >= 2]


def _draft(inputs: Sequence[str], answer: str, answers: Sequence[str]) -> str:
    names = [name.replace("_", " ") for name in inputs]
    what = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    if not answers:
        return f"Read the {what} and give the {answer.replace('_', ' ')}. Answer with nothing else."
    return (
        f"Read the {what} and choose the right {answer.replace('_', ' ')}. "
        f"Answer with one of these and nothing else: {', '.join(answers)}."
    )


def _natural(text: str) -> tuple[int, float, str]:
    """A sort key: numbers by size, then words."""
    try:
        return (0, float(text), text)
    except ValueError:
        return (1, 0.0, text)
