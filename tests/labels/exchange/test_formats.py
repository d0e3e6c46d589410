"""Label files in every format: what is written is read back, and the format is recognised."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from random_label_tasks import comes_back, filled, write

from labelcast.errors import InputError
from labelcast.labels import exchange
from labelcast.labels.exchange import FORMATS
from labelcast.labels.label_task import LabelTask

TASK = LabelTask("Say it.", {"text": "Text"}, "label", ("yes", "no"))
ROW = {"id": "a", "set": "low", "text": "x", "label": "yes"}
BLANK = LabelTask("", {"text": ""}, " ", ("null",))  # the last column of a CSV is named " "


def values(
    path: Path, task: LabelTask = TASK, file_format: str | None = None
) -> list[dict[str, Any]]:
    return [record.values for record in exchange.read(path, task, file_format)]


@pytest.mark.parametrize("file_format", FORMATS)
@settings(max_examples=40)
@given(made=filled())
@example(made=(BLANK, [{"id": "a", "set": "low", "text": "", " ": "null"}]))
@example(made=(BLANK, [{"id": "a", "set": "low", "text": "", " ": ""}]))
def test_what_is_written_is_read_back(
    file_format: str, made: tuple[LabelTask, list[dict[str, str]]]
) -> None:
    """Any fields, texts and answers; the format is recognised, or given."""
    task, rows = made
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("a.csv" if file_format == "csv" else "a.jsonl")
        write(path, file_format, rows, task)
        comes_back(values(path, task), rows, task)
        comes_back(values(path, task, file_format), rows, task)


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_file_without_a_known_ending(file_format: str, tmp_path: Path) -> None:
    """It is read if the format is given."""
    path = tmp_path / "a.txt"
    write(path, file_format, [ROW], TASK)
    comes_back(values(path, TASK, file_format), [ROW], TASK)
    with pytest.raises(InputError, match=r"unknown ending '\.txt'"):
        values(path)


@pytest.mark.parametrize(
    ("name", "plain"), [("data", "x"), ("fields", "x"), ("options", ["a", "b"]), ("accept", "x")]
)
def test_fields_named_like_keys_of_a_tool(name: str, plain: Any, tmp_path: Path) -> None:
    """A flat record that has the task's fields is not mistaken for one of a tool."""
    task = LabelTask("", {name: name}, "answer", ())
    path = tmp_path / "a.jsonl"
    choices = {"label": ["A"], "text": ["a"]}
    rows = [{name: plain, "answer": "accept"}, {name: choices, "answer": "y"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert values(path, task) == rows


def test_the_format_to_write() -> None:
    """The option takes precedence; an unknown ending needs it."""
    assert exchange.format_of(Path("a.CSV"), None) == "csv"
    assert exchange.format_of(Path("a.json"), None) == "label-studio"
    assert exchange.format_of(Path("a.txt"), "jsonl") == "jsonl"
    with pytest.raises(InputError, match="--format"):
        exchange.format_of(Path("a.txt"), None)
    with pytest.raises(InputError, match="--format"):
        values(Path("a.json"), TASK, "xml")


@pytest.mark.parametrize("file_format", ["label-studio", "argilla"])
@pytest.mark.parametrize("field", ["text", "label"])
def test_a_null_character_is_refused(file_format: str, field: str, tmp_path: Path) -> None:
    """By the formats whose tools keep texts in databases; nothing is written."""
    with pytest.raises(InputError, match=f"{field}.*null character.*jsonl"):
        write(tmp_path / "a.json", file_format, [ROW | {field: "a\0"}], TASK)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "row",
    [
        {"q": "why", "options": {"A": "x", "B": "y"}, "answer": "A"},
        {"q": "why", "options": {"A": "x"}, "answer": "A"},
        {"q": "why", "data": {"text": "x"}, "options": {"A": "x"}, "answer": "A"},
    ],
)
def test_records_with_fields_in_fields_are_the_users_own(
    row: dict[str, Any], tmp_path: Path
) -> None:
    """A field `options` or `data` does not make them those of a tool; one may be missing."""
    titles = {name: name for name in ("q", "options.A", "options.B")}
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row) + "\n")
    assert values(path, LabelTask("", titles, "answer", ("A", "B"))) == [row]
