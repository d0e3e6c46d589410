"""A first task file from the columns of a data file."""

from __future__ import annotations

from typing import Any

import pytest

from labelcast.errors import InputError
from labelcast.tasks.guess import guess_task, task_file
from labelcast.tasks.sources import Record, Source
from labelcast.tasks.task import Task


def source(*rows: dict[str, Any]) -> Source:
    """A source in memory."""
    return Source("memory", lambda: (Record(n, f"row {n + 1}", row) for n, row in enumerate(rows)))


TICKETS = [
    {"id": n, "body": f"ticket number {n} is long", "label": n % 3, "label_name": "abc"[n % 3]}
    for n in range(30)
]


def test_texts_are_inputs_and_words_are_answers() -> None:
    """Ids and numbers are not inputs; of two label columns the one with words is the answer."""
    task = guess_task(source(*TICKETS), "my tickets!")
    assert [item.field for item in task.inputs] == ["body"]
    assert (task.name, task.answer, task.answers) == ("my_tickets", "label_name", ("a", "b", "c"))
    assert "body" in task.instruction


def test_blank_answers_are_ignored() -> None:
    """In a partly labelled file the blank is not an allowed answer."""
    rows = [row | {"label_name": ""} if n % 2 else row for n, row in enumerate(TICKETS)]
    assert guess_task(source(*rows), "t").answers == ("a", "b", "c")


def test_numbers_are_sorted_as_numbers() -> None:
    """Ratings from 1 to 10 are in that order."""
    rows = [{"text": f"review {n} of many", "label": n % 10 + 1} for n in range(60)]
    assert guess_task(source(*rows), "t").answers == tuple(str(n) for n in range(1, 11))


def test_no_answer_column_yet() -> None:
    """A pool without labels gets an answer field to fill in."""
    task = guess_task(source(*({"text": f"text {n}"} for n in range(9))), "t")
    assert (task.answer, task.answers) == ("label", ())


def test_several_inputs_have_labels() -> None:
    """Two text columns are labelled with their names."""
    rows = [{"question": f"what is {n}?", "the_context": f"{n} is a number"} for n in range(9)]
    task = guess_task(source(*rows), "t", answer="answer")
    assert [(item.field, item.label) for item in task.inputs] == [
        ("question", "QUESTION"),
        ("the_context", "THE CONTEXT"),
    ]


def test_codes_are_inputs_only_without_texts() -> None:
    """A column of codes is an input only if there is nothing else."""
    rows: list[dict[str, Any]] = [{"ticket": f"T-{n}", "text": f"text {n}"} for n in range(9)]
    assert [item.field for item in guess_task(source(*rows), "t").inputs] == ["text"]
    for row in rows:
        del row["text"]
    assert [item.field for item in guess_task(source(*rows), "t").inputs] == ["ticket"]


def test_unusual_values_are_ignored() -> None:
    """Missing values, NaN and nested values."""
    rows = [{"text": f"text {n}", "x": None, "y": float("nan"), "z": {"a": 1}} for n in range(9)]
    assert [item.field for item in guess_task(source(*rows), "t").inputs] == ["text"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"inputs": ["nope"]}, "--input nope: no such field"),
        ({"inputs": ["body"], "answer": "body"}, "'body' is also an input field"),
        ({"inputs": ["body", "body"]}, "named twice"),
    ],
)
def test_wrong_choices(options: dict[str, Any], says: str) -> None:
    """The message names the option or the field."""
    with pytest.raises(InputError, match=says):
        guess_task(source(*TICKETS), "t", **options)


def test_the_file_is_the_task() -> None:
    """The written file, with its comments, parses to the task that was guessed."""
    for options in ({}, {"instruction": "Say: yes # no\nor 'no'"}, {"inputs": ["body", "label"]}):
        task = guess_task(source(*TICKETS), "t", **options)  # type: ignore[arg-type]
        assert Task.parse(task_file(task)) == task
