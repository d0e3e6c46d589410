"""A draft of a task file, guessed from the columns of a data file, for the user to edit."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml

from labelcast.errors import InputError
from labelcast.tasks.columns import MOST_ANSWERS, Column, Table, read_table, refuse_headerless
from labelcast.tasks.metrics import METRICS, Metric
from labelcast.tasks.sources import Source
from labelcast.tasks.task import InputField, Task, answer_form
from labelcast.tasks.values import as_text, find_field, some

_LONG = 5
"""Words from which an answer is a text and not the name of a class."""
_CLASS_NAMES = (
    *("label_name", "label_text", "label", "labels", "category", "class", "intent", "sentiment"),
    *("topic", "gold", "stars", "rating", "type", "kind", "stance", "verdict"),
)
_TEXT_NAMES = (
    *("answer", "answers", "target", "ground_truth", "completion", "response", "output"),
    *("summary", "highlights", "translation"),
)
_NEVER_INPUT = ("id", "index", "idx", "split", "source", "url", "date", "time", "timestamp")
_NEVER_ANSWER = (*_NEVER_INPUT, "language", "lang", "locale", "country", "user", "author", "gender")
_SCALES = ("score", "similarity", "rating", "relevance", "label", "value")
# Two answers of a pair that people compared: response_a and response_b, answer1 and answer2.
_PAIRED = re.compile(r"(response|answer|completion|output|generation|model)[_ ]?[ab012]\b.*", re.I)
_THIRD = re.compile(r"answer[_ ]?[c3]", re.I)
# The fields of a format, its input fields and its answer; its prompts need no instruction.
_FORMATS = (
    ({"instruction", "output"}, ("instruction", "input"), "output"),
    ({"prompt.prompt", "completion.answer"}, ("prompt.prompt",), "completion.answer"),
    ({"prompt.prompt", "completion"}, ("prompt.prompt",), "completion"),
    ({"prompt", "completion"}, ("prompt",), "completion"),
)


@dataclass(frozen=True)
class Guess:
    """A guessed task, what was decided, in sentences, and the tokens that an answer may need."""

    task: Task
    notes: tuple[str, ...]
    answer_tokens: int


def guess_task(
    source: Source,
    name: str,
    *,
    inputs: Sequence[str] = (),
    answer: str | None = None,
    instruction: str | None = None,
) -> Guess:
    """Guess a task from the first 5,000 records of a source.

    Args:
        source: the data.
        name: name of the task.
        inputs: input fields; if empty, those of a known format, else all that look like text.
        answer: the answer field; None guesses it, or takes ``label`` if no field looks like one.
        instruction: None writes a draft, or none where the data has its own.

    Raises:
        InputError: a named field does not exist or cannot be shown as text, no field looks like
            text, there is no header, or the answers are preferences, lists or measurements.
    """
    table = read_table(source)
    columns, notes = table.columns, []
    if not inputs or answer is None:
        refuse_headerless(table, source.spec)
        _refuse_preferences(columns, source.spec)
    for given in inputs:
        _check_input(given, table, source.spec)
    are_named = bool(inputs)
    known = _known_format(columns) if not inputs and answer is None else None
    if known:
        inputs, answer = known
        instruction = "" if instruction is None else instruction
        notes.append("The data has its own instructions, so the task's is empty.")
    elif answer is None:
        answer, note = _guess_answer(table, inputs, source.spec)
        notes += [note] if note else []
    inputs = list(inputs) or _guess_inputs(table, answer)
    if not inputs:
        no_text = InputError(
            f"{source.spec}: no field looks like text ({', '.join(columns)}). "
            "Name the input fields with --input."
        )
        raise next((one.fault for one in columns.values() if one.fault is not None), no_text)
    column = columns.get(answer, Column())
    _check_answers(column, answer, source.spec)
    values = _distinct(column) if _is_class(answer, column) else []
    names, named_by = _names_of(answer, table) if values else ({}, "")
    answers = [names.get(value, value) for value in values]
    notes.append(_decision(column, answer, len(values), named_by))
    lists = [] if are_named else _lists(columns, answer)
    if lists:
        notes.append(
            f"Lists are left out of the prompt: {some(lists)}. If they are choices, add them under "
            "'inputs' with a label and items: letters or numbers."
        )
    several = len(inputs) > 1
    task = Task.build(
        {
            "name": re.sub(r"[^A-Za-z0-9_.\-]+", "_", name).strip("_.-")[:80] or "task",
            "instruction": instruction
            if instruction is not None
            else _draft(inputs, answer, answers),
            "inputs": [
                InputField(
                    field=item,
                    label=item.upper().replace("_", " ") if several else None,
                    optional=several and columns.get(item, Column()).seen < len(table.rows),
                )
                for item in inputs
            ],
            "answer": answer,
            "answers": names or answers,
            "metric": _metric(column, answers),
        },
        source.spec,
    )
    # Four characters a token, and twice the mean length.
    return Guess(task, tuple(notes), 0 if answers else math.ceil(column.mean_length / 20) * 10)


def _metric(column: Column, answers: Sequence[str]) -> Metric:
    if answers or not column.seen:
        return "accuracy"
    if column.is_number:
        return "exact_match"
    return "rouge_l" if column.mean_words >= _LONG else "token_f1"


def _decision(column: Column, answer: str, count: int, named_by: str) -> str:
    """What was decided about the answers, and how to change it."""
    if not column.seen:
        return f"The field {answer!r} has no answers yet: list the allowed ones under 'answers'."
    if not count:
        return (
            f"Any text is allowed as {answer!r}, scored by {_metric(column, ())}. For a fixed set "
            "list it under 'answers', and set the metric to accuracy."
        )
    named = f", with names from {named_by!r}" if named_by else ""
    once = sum(seen == 1 for seen in column.values.values())
    rare = f" ({once} of them once, so more are likely)" if once > count / 10 else ""
    return (
        f"{count} allowed answers, found in {column.seen:,} records{rare}{named}. "
        "Add any that are missing, or remove 'answers' to allow any text."
    )


def task_file(task: Task) -> str:
    """The text of a task file, with a comment at each thing to check."""
    content = task.model_dump(mode="json", exclude_none=True)
    names = dict(zip(task.values, task.answers, strict=False))
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
        "# The allowed answers. Leave them out if any text is allowed. Where the data has codes,",
        "# give each its name, which people and the model see: {0: World, 1: Sports}",
        _yaml("answers", names or list(task.answers))
        if task.answers
        else "# answers: [first, second]",
        f"# {', '.join(METRICS[:-1])} or {METRICS[-1]}",
        _yaml("metric", content["metric"]),
        "# The highest score to expect (for example, how often two people agree), if known.",
        "# ceiling: {score: 0.95, source: agreement of two annotators}",
    ]
    return "\n".join(part.rstrip("\n") for part in parts) + "\n"


def _instruction(text: str) -> str:
    """The instruction as a block that is easy to edit, with long lines folded."""
    if not text or text != text.strip() or not text.isprintable() or "  " in text:
        return _yaml("instruction", text)
    lines = textwrap.wrap(text, 94, break_long_words=False, break_on_hyphens=False)
    return "instruction: >-\n" + "\n".join(f"  {line}" for line in lines)


def _yaml(key: str, value: object) -> str:
    return yaml.safe_dump({key: value}, allow_unicode=True, sort_keys=False, width=96)


def _known_format(columns: Mapping[str, Column]) -> tuple[list[str], str] | None:
    """Input fields and answer of a format that fine-tuning tools use, if the data is in one."""
    for needed, inputs, answer in _FORMATS:
        if needed <= columns.keys():
            return [name for name in inputs if columns.get(name, Column()).seen], answer
    chats = [name for name in columns if name.endswith(".prompt")]
    if len(chats) == 1 and chats[0].replace(".prompt", ".answer") in columns:
        return chats, chats[0].replace(".prompt", ".answer")
    return None


def _parts(name: str) -> set[str]:
    """The parts of a dotted name, in lower case; also the last word, if it names a class."""
    low = name.lower()
    last = re.split(r"[._\s-]+", low)[-1]
    return {*low.split(".")} | ({last} & {*_CLASS_NAMES})


def _guess_answer(table: Table, inputs: Sequence[str], spec: str) -> tuple[str, str]:
    """The answer field, and a note if it is not one by its name.

    Raises InputError for several columns of zeros and ones, or a lone column of measurements.
    """
    columns, names = table.columns, (*_CLASS_NAMES, *_TEXT_NAMES)
    ranks = {c: min(map(names.index, _parts(c) & {*names}), default=None) for c in columns}
    known = [c for c, rank in ranks.items() if rank is not None and c not in inputs]
    known.sort(key=lambda c: (ranks[c], columns[c].is_number))
    choices = [name for name in known if _is_class(name, columns[name])]
    # A model learns more from words than from numbers.
    named = [name for name in choices if _names_of(name, table)[0]]
    worded = [name for name in choices if not columns[name].is_number]
    found = [*named, *worded, *choices, *known]
    if found:
        return found[0], ""
    others = {
        name: column
        for name, column in columns.items()
        if name not in inputs and not _parts(name) & {*_NEVER_ANSWER} and column.seen
    }
    binary = [name for name, column in others.items() if column.is_binary]
    if len(binary) > 2:
        raise InputError(
            f"{spec}: several columns of zeros and ones ({', '.join(binary)}), which looks like "
            "several labels a record (multi-label). labelcast does not support that: forecast one "
            "of them, with --answer NAME, or turn them into one answer an example."
        )
    repeated = [name for name, column in others.items() if _is_class(name, column)]
    if repeated:
        return repeated[-1], (
            f"No field is named like an answer. {repeated[-1]!r} has a few values that repeat, so "
            "it is taken; name another one with --answer."
        )
    for name, column in others.items():
        if column.is_measure and _parts(name) & {*_SCALES}:
            _check_answers(column, name, spec)
    return "label", "No field looks like the answer. Name it with --answer if there is one."


def _is_class(name: str, column: Column) -> bool:
    """Whether the values are names of classes: short, few, and repeated or called a label."""
    if column.mean_words >= _LONG or column.is_measure or column.lists > column.seen:
        return False
    few: bool = 1 < len(column.values) <= MOST_ANSWERS
    return column.is_choice or (
        few and not _parts(name).isdisjoint(_CLASS_NAMES) and len(column.values) < column.seen
    )


def _check_answers(column: Column, answer: str, spec: str) -> None:
    """Refuse answers that cannot be shown as text or that no metric here scores."""
    if column.fault is not None:
        raise column.fault
    kind = None
    if column.lists > column.seen or (_is_class(answer, column) and column.is_joined):
        kind = "several labels a record (multi-label)"
    elif column.is_measure or (
        column.is_number and not _is_class(answer, column) and not _parts(answer) & {*_TEXT_NAMES}
    ):
        kind = "numbers on a scale (regression)"
    if kind:
        raise InputError(
            f"{spec}: the field {answer!r} has {kind}, which labelcast does not support. Turn it "
            "into one answer an example, or name another field with --answer."
        )


def _check_input(name: str, table: Table, spec: str) -> None:
    """Refuse a field that is missing, or whose values cannot be shown as text."""
    column = table.columns.get(name)
    if column is None:
        try:
            value = find_field(table.first, name)
        except KeyError:
            raise InputError(
                f"--input {name}: no such field in {spec}. It has: {', '.join(table.columns)}."
            ) from None
        as_text(value, f"--input {name}")
    elif column.fault is not None:
        raise column.fault


def _refuse_preferences(columns: Mapping[str, Column], spec: str) -> None:
    """Refuse answers that people compared or judged: pairs, or one with a thumb up or down."""
    roots = {name.split(".")[0].lower() for name in columns}
    found = {"chosen", "rejected"} & roots
    pairs = [name for name in columns if _PAIRED.fullmatch(name)]
    is_choice = any(map(_THIRD.fullmatch, columns))
    if len(found) < 2 and len(pairs) > 1 and not is_choice:
        found = {*pairs}
    judged = next((c for name, c in columns.items() if name.lower() == "label"), Column())
    kind = "pairs"
    if {"prompt", "completion"} <= roots and judged.is_binary:
        found, kind = {"prompt", "completion", "label"}, "judgements"
    if len(found) > 1:
        raise InputError(
            f"{spec}: preference {kind} ({', '.join(sorted(found))}). labelcast forecasts "
            "supervised fine-tuning on one answer an example: keep the preferred answers only, or, "
            "for multiple choice, name the fields with --input and --answer."
        )


def _distinct(column: Column) -> list[str]:
    """The values, sorted; of those that differ in case only, the most frequent one."""
    forms: dict[str, str] = {}
    for value, _ in column.values.most_common():
        forms.setdefault(answer_form(value), value)
    return sorted(forms.values(), key=_natural)


def _names_of(answer: str, table: Table) -> tuple[dict[str, str], str]:
    """A name for each answer and the field that has them, if the answers are numbers."""
    codes = table.columns[answer]
    for other, column in table.columns.items():
        worded = _parts(other) & {*_CLASS_NAMES} and other != answer and not column.is_number
        if codes.is_number and worded and len(column.values) == len(codes.values):
            rows = [row for row in table.rows if {answer, other} <= row.keys()]
            pairs = {(row[answer], row[other]) for row in rows}
            if len(pairs) == len(codes.values) == len({name for _, name in pairs}):
                return dict(sorted(pairs, key=lambda pair: _natural(pair[0]))), other
    return {}, ""


def _guess_inputs(table: Table, answer: str) -> list[str]:
    other_answers = _TEXT_NAMES if _parts(answer) & {*_TEXT_NAMES} else _TEXT_NAMES[:4]
    skipped = {*_NEVER_INPUT, *_CLASS_NAMES, *other_answers}
    texts = {
        name: column
        for name, column in table.columns.items()
        if name != answer
        and not _parts(name) & skipped
        and column.seen
        and not column.is_choice
        and not column.is_number
        and not _gives_away(name, answer, table)
    }
    # If one field has several words, a field of single words is a code or a name.
    worded = [name for name, column in texts.items() if column.words > column.seen]
    return worded or [name for name, column in texts.items() if column.mean_length >= 2]


def _lists(columns: Mapping[str, Column], answer: str) -> list[str]:
    """The fields with lists, which are never guessed as inputs, without the answer's own."""
    return [
        name
        for name, column in columns.items()
        if column.lists > column.seen and not column.fault and name != answer.split(".")[0]
    ]


def _gives_away(name: str, answer: str, table: Table) -> bool:
    """Whether a field contains the complete answer, as one with prompt and answer does."""
    if table.columns.get(answer, Column()).mean_words < _LONG:
        return False
    both = [row for row in table.rows if {name, answer} <= row.keys()]
    return bool(both) and sum(row[answer] in row[name] for row in both) > 0.9 * len(both)


def _draft(inputs: Sequence[str], answer: str, answers: Sequence[str]) -> str:
    names = [name.replace("_", " ").replace(".", " ") for name in inputs]
    what = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    wanted = re.sub(r"\.\d+$", "", answer).split(".")[-1].replace("_", " ")
    if not answers:
        return f"Read the {what} and give the {wanted}. Answer with nothing else."
    return (
        f"Read the {what} and choose the right {wanted}. "
        f"Answer with one of these and nothing else: {', '.join(answers)}."
    )


def _natural(text: str) -> tuple[int, float, str]:
    """A sort key: numbers by size, then words."""
    try:
        return (0, float(text), text)
    except ValueError:
        return (1, 0.0, text)
