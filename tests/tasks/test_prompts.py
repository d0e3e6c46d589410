"""From records to examples."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelcast.errors import InputError, LabelcastWarning
from labelcast.tasks.prompts import content_id, examples, flat_row
from labelcast.tasks.sources import Record, Source
from labelcast.tasks.task import Task
from labelcast.tasks.values import as_text, content_hash

TASK = Task.parse("{name: t, instruction: ' Say it. ', inputs: [text], answer: y, answers: [a, b]}")


def source(*rows: dict[str, Any]) -> Source:
    """A source in memory."""
    return Source("memory", lambda: (Record(n, f"row {n + 1}", row) for n, row in enumerate(rows)))


def render(instruction: str, user: str) -> str:
    return f"<{instruction}|{user}>"


def test_an_example_of_a_task() -> None:
    """The prompt is rendered; the answer is read only if it is needed."""
    rows = source({"text": "x", "y": "nonsense"})
    (example,) = examples(rows, TASK, render)
    assert (example.prompt, example.answer) == ("<Say it.|x>", None)
    with pytest.raises(InputError, match="row 1, field 'y'"):
        list(examples(rows, TASK, render, need_answer=True))
    (example,) = examples(source({"text": "x", "y": " b "}), TASK, render, need_answer=True)
    assert example.answer == "b"


def test_a_rendered_record_is_not_changed() -> None:
    """Without a task `input_text` is the prompt, with its leading and trailing space."""
    (example,) = examples(source({"input_text": " p\n", "ground_truth": " a"}), need_answer=True)
    assert (example.prompt, example.answer) == (" p\n", " a")


OPTIONAL = Task.parse(
    "{name: t, instruction: i, answer: y, "
    "inputs: [{field: c, label: C, optional: true}, {field: a, label: A}]}"
)


def test_a_record_without_an_optional_field() -> None:
    """The field is left out, also if it is the first one; without any text the record is blank."""
    rows = source({"c": "1", "a": "2"}, {"a": "2"}, {"a": ""}, {"c": " ", "a": None})
    assert [one.prompt for one in examples(rows, OPTIONAL, render)] == [
        "<i|C: 1\nA: 2>",
        "<i|A: 2>",
    ]
    with pytest.warns(LabelcastWarning, match="2 of 4 records have no text"):
        assert len(list(content_id(rows, OPTIONAL))) == 2
    with pytest.raises(InputError, match="row 1: no field 'a'"):
        list(examples(source({"c": ""}), OPTIONAL, render))


def test_ids() -> None:
    """The id is the record's own as text, or the hash of its content."""
    own = next(examples(source({"text": "x", "id": 7}), TASK, render))
    none = next(examples(source({"text": "x", "id": None}), TASK, render))
    assert (own.id, none.id) == ("7", none.content)
    assert own.content == none.content
    with pytest.raises(InputError, match="row 2: lacks an 'id'"):
        list(examples(source({"text": "x", "id": 7}, {"text": "y"}), TASK, render))


@given(st.dictionaries(st.text(), st.text(), min_size=1))
def test_a_content_hash_ignores_the_order(fields: dict[str, str]) -> None:
    """Fields in another order have the same hash; another text has another hash."""
    assert content_hash(dict(reversed(fields.items()))) == content_hash(fields)
    name = next(iter(fields))
    assert content_hash(fields | {name: fields[name] + "."}) != content_hash(fields)


@given(st.text(st.characters(codec="utf-8")).filter(str.strip))
def test_an_exported_row_has_the_hash_of_its_example(text: str) -> None:
    """With extra columns too."""
    (example,) = examples(source({"text": text}), TASK, render)
    row = {"extra": 1} | flat_row(example.fields, TASK, None)
    assert list(row)[-1] == "y"
    assert next(content_id(source(row), TASK)) == (example.content, None)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a ", "a "),
        (1, "1"),
        (1.0, "1"),
        (-2.5, "-2.5"),
        (True, "True"),
        (["a", 1.0], "a\n1"),
        ((), ""),
    ],
)
def test_values_as_text(value: Any, text: str) -> None:
    """A value has one text, whatever type its file format has."""
    assert as_text(value, "here") == text


@pytest.mark.parametrize(
    "value", [None, float("nan"), float("inf"), {}, b"x", object(), "\ud800", ["\udfff"], [None]]
)
def test_values_without_a_text(value: Any) -> None:
    """They are refused, with the place."""
    with pytest.raises(InputError, match=r"^here: "):
        as_text(value, "here")
