"""Labels of a run: what was drawn to be labelled, and the answers that came back.

Three sets, no example in two of them: ``low`` (the low-confidence examples that CoS-Low needs),
``random`` (batches for training) and ``test`` (kept apart for good).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from labelcast.errors import InputError
from labelcast.files.json_files import write_jsonl
from labelcast.runs.pool import fetch, pickable, survey
from labelcast.runs.run import Run
from labelcast.selection.low_confidence import draw_random
from labelcast.tasks.prompts import (
    Example,
    answer_name,
    flat_row,
    input_names,
    read_answer,
    read_fields,
)
from labelcast.tasks.sources import Record, Source, open_source
from labelcast.tasks.task import Task
from labelcast.tasks.values import as_text, content_hash

SETS = ("low", "random", "test")
_OURS = ("id", "index", "set", "batch")


@dataclass(frozen=True)
class Imported:
    """What became of the records of an imported file.

    Attributes:
        taken: answers that are new or changed.
        changed: of these, how many replaced another answer.
        same: answers that were known already.
        blank: records without an answer.
        unmatched: places of records that belong to no drawn example.
    """

    taken: int
    changed: int
    same: int
    blank: int
    unmatched: tuple[str, ...]


@dataclass(frozen=True)
class Progress:
    """How many examples of each set are drawn and labelled."""

    drawn: dict[str, int]
    labelled: dict[str, int]

    @property
    def left(self) -> int:
        """Drawn examples without a label."""
        return sum(self.drawn.values()) - sum(self.labelled.values())


def check_names(task: Task | None) -> None:
    """Refuse a task whose fields have names that a run's files need for themselves.

    Raises:
        InputError: names the field.
    """
    for name in [*input_names(task), answer_name(task)]:
        if name in _OURS:
            raise InputError(
                f"field {name!r}: a run keeps {', '.join(_OURS)} of its own beside the fields. "
                "Rename the field in the data and in the task."
            )


def draw_row(example: Example, name: str, batch: int, task: Task | None) -> dict[str, Any]:
    """One drawn example as `draws.jsonl` keeps it."""
    return {
        "id": example.id,
        "index": example.index,
        "set": name,
        "batch": batch,
        **flat_row(example.fields, task, None),
    }


def draw_more(
    run: Run,
    counts: Mapping[str, int],
    check: Callable[[list[dict[str, Any]]], None] = lambda rows: None,
) -> list[dict[str, Any]]:
    """Draw more examples at random; never one drawn before. All are drawn or none.

    Args:
        run: a scored run.
        counts: how many for ``random`` and for ``test``.
        check: given the rows before they are kept; what it raises leaves none drawn.

    Returns:
        The drawn rows, as they stand in `draws.jsonl` now.

    Raises:
        InputError: the pool is not scored yet, has fewer left, or has changed since.
    """
    require(run, "score", "labelcast score POOL --task TASK --out RUN")
    before, task = drawn_rows(run), run.task
    confidence = pickable(run.file("confidence.parquet"))
    taken = [*np.flatnonzero(np.isnan(confidence)).tolist(), *(row["index"] for row in before)]
    batch = max((row["batch"] for row in before), default=0)
    places: dict[int, tuple[str, int]] = {}
    for name, count in counts.items():
        batch += 1
        seed = run.question.seed + batch
        positions = draw_random(len(confidence), count, taken=taken, seed=seed).tolist()
        places |= dict.fromkeys(positions, (name, batch))
        taken += positions
    rows = [draw_row(example, *places[example.index], task) for example in _fetch(run, [*places])]
    check(rows)
    write_jsonl(run.file("draws.jsonl"), [*before, *rows])
    return rows


def _fetch(run: Run, positions: Sequence[int]) -> list[Example]:
    """Examples of the run's pool."""
    return fetch(pool_of(run), run.task, positions)


def pool_of(run: Run) -> Source:
    """The run's pool, as it was when it was scored.

    Raises:
        InputError: it has changed since.
    """
    source = open_source(run.facts.pool)
    if survey(source, run.task).digest != run.question.pool_digest:
        raise InputError(
            f"{source.spec}: the pool has changed since it was scored. Bring back the file as it "
            "was (a moved one: run its `labelcast score` again), or score the new one into a new "
            "run."
        )
    return source


def export_rows(run: Run, only: Sequence[str] = SETS) -> list[dict[str, str]]:
    """The drawn examples as rows to fill in: id, set, input fields, answer (known ones filled)."""
    known = {row["id"]: row for row in label_rows(run)}
    task = run.task
    rows = []
    for row in drawn_rows(run):
        if row["set"] in only:
            fields = {name: row[name] for name in input_names(task)}
            answer = known.get(row["id"], {}).get(answer_name(task))
            rows.append({"id": row["id"], "set": row["set"], **flat_row(fields, task, answer)})
    return rows


def import_labels(run: Run, records: Iterable[Record]) -> Imported:
    """Take over answers, matched by the content of the input fields, else by id.

    Order, extra columns and lost rows do no harm. Nothing is taken if any answer is wrong.

    Raises:
        InputError: an answer is not allowed, or one example has two different answers.
    """
    answers, blank, unmatched = read_answers(run, records)
    return _take_over(run, answers, blank, unmatched)


def read_answers(run: Run, records: Iterable[Record]) -> tuple[dict[str, str], int, list[str]]:
    """Answers by the id of their drawn example, how many are blank, and what matches none.

    Raises:
        InputError: an answer is not allowed, or one example has two different answers.
    """
    task, draws = run.task, drawn_rows(run)
    by_content = {_content(row, task): row for row in draws}
    by_id = {row["id"]: row for row in draws}
    found: dict[str, tuple[str, str]] = {}
    unmatched: list[str] = []
    blank = 0
    for record in records:
        drawn = _match(record, task, by_content, by_id)
        if drawn is None:
            unmatched.append(_place(record))
            continue
        value = _answer_value(record, task)
        if value is None:
            blank += 1
            continue
        where = f"{record.where}, field {answer_name(task)!r}"
        answer = read_answer(value, task, where)
        first, place = found.setdefault(drawn["id"], (answer, record.where))
        if first != answer:
            raise InputError(
                f"{record.where}: the example {drawn['id']} is labelled {answer!r} here and "
                f"{first!r} at {place}. Keep one of the two."
            )
    return {key: answer for key, (answer, _) in found.items()}, blank, unmatched


def _take_over(run: Run, answers: dict[str, str], blank: int, unmatched: list[str]) -> Imported:
    known = known_answers(run)
    changed = sum(known.get(key, answer) != answer for key, answer in answers.items())
    same = sum(known.get(key) == answer for key, answer in answers.items())
    if len(answers) > same:
        save_labels(run, known | answers)
    return Imported(len(answers) - same, changed, same, blank, tuple(unmatched))


def save_labels(run: Run, answers: dict[str, str]) -> None:
    """Write `labels.jsonl`: one row for each drawn example that has an answer, in drawn order.

    Labels of examples that are drawn no more, because `draws.jsonl` came to harm, stay at its end.
    """
    task = run.task
    rows = []
    drawn = drawn_rows(run)
    for row in drawn:
        if row["id"] in answers:
            fields = {name: row[name] for name in input_names(task)}
            ours = {name: row[name] for name in _OURS}
            rows.append({**ours, **flat_row(fields, task, answers[row["id"]])})
    places = {row["id"] for row in drawn}
    rows += [row for row in label_rows(run) if row["id"] not in places]
    write_jsonl(run.file("labels.jsonl"), rows)


def progress(run: Run) -> Progress:
    """How far labelling is."""
    drawn = Counter(row["set"] for row in drawn_rows(run)) if run.is_done("score") else {}
    labelled = Counter(row["set"] for row in label_rows(run))
    return Progress(dict(drawn), dict(labelled))


def labelled_examples(run: Run, name: str, render: Any) -> list[Example]:
    """The labelled examples of one set, rendered.

    Raises:
        InputError: there are fewer than two; says how many are still to be labelled.
    """
    task = run.task
    rows = [row for row in label_rows(run) if row["set"] == name]
    if len(rows) < 2:
        wanted = sum(row["set"] == name for row in drawn_rows(run))
        raise InputError(
            f"{run.path}: {len(rows)} of {wanted} examples are labelled. Label them first: "
            f"`labelcast label {run.path}` (or in a file, with --export and --import)."
        )
    found = []
    for row in rows:
        where = f"{run.path.name}/labels.jsonl id {row['id']}"
        fields = read_fields(row, task, where)
        prompt = (
            fields[input_names(None)[0]]
            if task is None
            else render(task.instruction.strip(), task.user_text(row, where))
        )
        answer = read_answer(row.get(answer_name(task)), task, where)
        found.append(
            Example(
                row["id"], row.get("index", 0), where, fields, prompt, answer, content_hash(fields)
            )
        )
    return found


def require(run: Run, step: str, command: str) -> None:
    """Refuse to go on before a step is done.

    Raises:
        InputError: it is not done; says which command does it.
    """
    if not run.is_done(step):
        raise InputError(f"{run.path}: {step} is not finished yet. Run `{command}` first.")


def drawn_rows(run: Run) -> list[dict[str, Any]]:
    """What was drawn, in drawn order, as `draw_row` made it.

    Raises:
        InputError: the pool is not scored yet, or a row is damaged.
    """
    require(run, "score", f"labelcast score POOL --task TASK --out {run.path}")
    rows = run.rows("draws.jsonl")
    texts = ("id", *input_names(run.task))
    for number, row in enumerate(rows, 1):
        whole = all(isinstance(row.get(name), str) for name in texts) and _has_place(row)
        if not whole or not isinstance(row.get("batch"), int):
            raise InputError(f"{run.file('draws.jsonl')} line {number}: damaged (fields missing).")
    return rows


def label_rows(run: Run) -> list[dict[str, Any]]:
    """The rows of `labels.jsonl`.

    Raises:
        InputError: a row is damaged.
    """
    rows = run.rows("labels.jsonl")
    texts = ("id", answer_name(run.task))
    for number, row in enumerate(rows, 1):
        if not all(isinstance(row.get(name), str) for name in texts) or not _has_place(row):
            raise InputError(
                f"{run.file('labels.jsonl')} line {number}: damaged (fields missing). "
                "Mend or remove that line; an example whose line is gone is labelled again."
            )
    return rows


def known_answers(run: Run) -> dict[str, str]:
    """The answers of a run by the id of their example. Errors as `label_rows`."""
    name = answer_name(run.task)
    return {row["id"]: row[name] for row in label_rows(run)}


def _has_place(row: dict[str, Any]) -> bool:
    """Whether a row says where its example stands in the pool, and in which set."""
    return isinstance(row.get("index"), int) and row.get("set") in SETS


def _content(row: dict[str, Any], task: Task | None) -> str:
    return content_hash({name: row[name] for name in input_names(task)})


def _match(
    record: Record,
    task: Task | None,
    by_content: dict[str, dict[str, Any]],
    by_id: dict[str, dict[str, Any]],
) -> dict[str, Any] | None:
    values = record.values
    names = input_names(task)
    if all(isinstance(values.get(name), str | int | float | list) for name in names):
        fields = {name: as_text(values[name], f"{record.where}, field {name!r}") for name in names}
        if content_hash(fields) in by_content:
            return by_content[content_hash(fields)]
        # Other content under a known id is another example, not a relabelled one.
        return None
    own = values.get("id")
    return by_id.get(as_text(own, f"{record.where}, field 'id'")) if own is not None else None


def _answer_value(record: Record, task: Task | None) -> Any:
    """The answer of a record; None where it is blank."""
    name = answer_name(task)
    if name not in record.values:
        raise InputError(
            f"{record.where}: no answer field {name!r}. It has: {', '.join(record.values)}."
        )
    value = record.values[name]
    if value is None or (isinstance(value, float) and value != value):
        return None
    return None if isinstance(value, str) and not value.strip() else value


def _place(record: Record) -> str:
    own = record.values.get("id")
    return record.where if own is None else f"{record.where} (id {str(own)[:40]})"
