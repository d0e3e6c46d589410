"""Label files of other tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from labelcast.errors import InputError
from labelcast.probe import exchange

ROWS = [
    {"id": "a", "set": "low", "text": '=1+1, "x"\ny', "label": ""},
    {"id": "b", "set": "low", "text": "\U0001f600", "label": "yes"},
]


def studio(*results: Any, **keys: Any) -> dict[str, Any]:
    """A Label Studio task with one annotation."""
    return {"data": {"id": "a", "text": "x"}, "annotations": [{"result": list(results), **keys}]}


def result(kind: str, value: Any) -> dict[str, Any]:
    return {"from_name": "label", "to_name": "text", "type": kind, "value": {kind: value}}


def read(path: Path, content: Any) -> list[dict[str, Any]]:
    path.write_text(json.dumps(content))
    return [record.values for record in exchange.read(path, "label")]


@pytest.mark.parametrize(("form", "ending"), [("jsonl", "jsonl"), ("csv", "csv")])
def test_flat_forms_hold_the_rows(form: str, ending: str, tmp_path: Path) -> None:
    """What is written is what is read."""
    path = tmp_path / f"a.{ending}"
    exchange.write(path, form, ROWS, "label")
    assert [record.values for record in exchange.read(path, "label")] == ROWS


def test_csv_is_for_spreadsheets(tmp_path: Path) -> None:
    """It begins with a byte order mark, and the answer is the last column."""
    path = tmp_path / "a.csv"
    exchange.write(path, "csv", ROWS, "label")
    assert path.read_bytes().startswith(b"\xef\xbb\xbfid,set,text,label")


def test_label_studio_gets_tasks(tmp_path: Path) -> None:
    """The fields stand under `data`; a known answer is an annotation."""
    path = tmp_path / "a.json"
    exchange.write(path, "label-studio", ROWS, "label")
    tasks = json.loads(path.read_text("utf-8"))
    assert tasks[0] == {"data": {"id": "a", "set": "low", "text": ROWS[0]["text"]}}
    assert tasks[1]["annotations"][0]["result"][0]["value"] == {"choices": ["yes"]}
    values = [record.values for record in exchange.read(path, "label")]
    assert [row["label"] for row in values] == [None, "yes"]


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        (studio(result("choices", ["yes"])), "yes"),
        (studio(result("choices", "yes")), "yes"),
        (studio(result("text", ["a b"])), "a b"),
        (studio(result("number", 3)), "3"),
        (studio(), None),
        (studio(result("choices", [])), None),
        (studio(result("choices", ["no"]), was_cancelled=True), None),
        ({"data": {"text": "x"}, "annotations": []}, None),
        ({"data": {"text": "x"}}, None),
        ({"data": {"text": "x"}, "annotations": 3}, None),
        ({"data": {"text": "x"}, "annotations": [{"result": 5}, {}, None]}, None),
        ({"data": {"text": "x"}, "completions": [{"result": [result("choices", ["1"])]}]}, "1"),
        ({"id": 1, "text": "x", "label": "yes"}, "yes"),
    ],
)
def test_answers_of_label_studio(task: dict[str, Any], answer: str | None, tmp_path: Path) -> None:
    """Choices, texts and numbers; not labelled and cancelled are blank; its short form is flat."""
    (values,) = read(tmp_path / "a.json", [task])
    assert values["label"] == answer
    assert values["text"] == "x"


def test_people_who_agree_and_people_who_do_not(tmp_path: Path) -> None:
    """Two annotations with one answer are one; with two the record is named."""
    both = studio(result("choices", ["yes"]))
    both["annotations"] *= 2
    assert read(tmp_path / "a.json", [both])[0]["label"] == "yes"
    both["annotations"].append({"result": [result("choices", ["no"])]})
    with pytest.raises(InputError, match=r"a\.json record 2: several answers \(no, yes\)"):
        read(tmp_path / "a.json", [studio(), both])


def test_a_mark_before_json(tmp_path: Path) -> None:
    """A byte order mark before the array does no harm."""
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps([studio()]).encode())
    assert len(list(exchange.read(path, "label"))) == 1


def test_the_form_comes_from_the_ending_or_the_option() -> None:
    """The option goes first; an ending that says nothing needs it."""
    assert exchange.form_of(Path("a.CSV"), None) == "csv"
    assert exchange.form_of(Path("a.json"), None) == "label-studio"
    assert exchange.form_of(Path("a.txt"), "jsonl") == "jsonl"
    with pytest.raises(InputError, match="--format"):
        exchange.form_of(Path("a.txt"), None)
