"""Prodigy: its documented format, since the program is not free."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from random_label_tasks import write

from labelcast.errors import InputError
from labelcast.labels import exchange
from labelcast.labels.label_task import LabelTask

TASK = LabelTask("Say it.", {"text": "Text"}, "label", ("yes", "no"))
FREE = LabelTask("Say it.", {"text": "T", "more": "M"}, "label", ())
HASHES = {"_input_hash": 1, "_task_hash": 2, "_session_id": None, "_view_id": "choice"}


def read(path: Path, *records: Any, task: LabelTask = TASK) -> list[dict[str, Any]]:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return [record.values for record in exchange.read(path, task)]


def test_tasks_of_the_choice_interface(tmp_path: Path) -> None:
    """Plain text, an option for each allowed answer, and a known answer is accepted."""
    row = {"id": "a", "set": "low", "text": "<script>x</script>", "label": "no"}
    path = tmp_path / "a.jsonl"
    assert write(path, "prodigy", [row, row | {"label": ""}], TASK) is None
    known, blank = (json.loads(line) for line in path.read_text().splitlines())
    assert blank["text"] == row["text"] and "html" not in blank
    assert blank["options"] == [{"id": "yes", "text": "yes"}, {"id": "no", "text": "no"}]
    assert blank["meta"] == {"id": "a", "set": "low"}
    assert not {"accept", "answer"} & blank.keys()
    assert (known["accept"], known["answer"]) == (["no"], "accept")


def test_tasks_of_the_text_input_interface(tmp_path: Path) -> None:
    """The answer has the key that `field_id` names; several fields show their titles."""
    row = {"id": "a", "set": "low", "text": "x", "more": "y", "label": "free"}
    path = tmp_path / "a.jsonl"
    write(path, "prodigy", [row], FREE)
    task = json.loads(path.read_text())
    assert task["text"] == "T: x\nM: y"
    assert task["field_label"] == "label" and task[task["field_id"]] == "free"


@pytest.mark.parametrize(
    ("keys", "answer"),
    [
        ({"accept": ["yes"], "answer": "accept"}, "yes"),
        ({"accept": ["yes"], "answer": "ignore"}, None),
        ({"accept": ["yes"], "answer": "reject"}, None),
        ({"accept": ["yes"]}, None),
        ({"accept": [], "answer": "accept"}, None),
        ({"answer": "accept"}, None),
        ({"accept": [2], "answer": "accept", "options": [{"id": 2, "text": "no"}]}, "no"),
    ],
)
def test_answers(keys: dict[str, Any], answer: str | None, tmp_path: Path) -> None:
    """An accepted task with one option counts; others are blank."""
    task = {"text": "x", "options": [{"id": "yes", "text": "yes"}], "meta": {"id": "a"}}
    (values,) = read(tmp_path / "a.jsonl", task | HASHES | keys)
    assert values == {"id": "a", "text": "x", "label": answer}


def test_free_answers_of_other_recipes(tmp_path: Path) -> None:
    """Under their `field_id` or Prodigy's own key."""
    task = {"text": "x", "more": "y", "answer": "accept"} | HASHES
    named = {"field_id": "note", "note": "a"}
    read_back = read(
        tmp_path / "a.jsonl", task | named, task | {"user_input": "b"}, task, task=FREE
    )
    assert [values["label"] for values in read_back] == ["a", "b", None]
    assert read_back[0]["more"] == "y"


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"accept": ["yes", "no"]}, r"record|line 1, field 'accept': several answers \(no, yes\)"),
        ({"accept": "yes"}, "line 1, field 'accept': must be a list"),
        ({"accept": [["yes"]]}, "line 1, field 'accept': must list the ids"),
        ({"options": [3], "accept": []}, "line 1, field 'options' item 1: must be an object"),
        (
            {"answer": "maybe"},
            "line 1, field 'answer': must be one of accept, reject, ignore",
        ),
        ({"answer": ["accept"]}, "line 1, field 'answer'"),
        ({"meta": 3}, "line 1, field 'meta': must be an object"),
        (
            {"labelcast": {"fields": 3}},
            "line 1, field 'labelcast', field 'fields': must be an object",
        ),
    ],
)
def test_wrong_shapes(keys: dict[str, Any], says: str, tmp_path: Path) -> None:
    """The error names the line and the field."""
    task = {"text": "x", "options": [{"id": "yes", "text": "yes"}], "answer": "accept"}
    with pytest.raises(InputError, match=says):
        read(tmp_path / "a.jsonl", task | HASHES | keys)
