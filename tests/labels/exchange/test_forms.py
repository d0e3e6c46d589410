"""Label files of every form: what goes out comes back, and each is known by what it holds."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from sheets_made import comes_back, filled

from labelcast.errors import InputError
from labelcast.labels import exchange
from labelcast.labels.exchange import FORMS, Sheet

SHEET = Sheet("Say it.", ("text",), ("Text",), "label", ("yes", "no"))
ROW = {"id": "a", "set": "low", "text": "x", "label": "yes"}


def values(path: Path, sheet: Sheet = SHEET, form: str | None = None) -> list[dict[str, Any]]:
    return [record.values for record in exchange.read(path, sheet, form)]


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=60, deadline=None)
@given(made=filled())
def test_what_goes_out_comes_back(form: str, made: tuple[Sheet, list[dict[str, str]]]) -> None:
    """Any fields, texts and answers; the form is told by the content, and may be named."""
    sheet, rows = made
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("a.csv" if form == "csv" else "a.jsonl")
        exchange.write(path, form, rows, sheet)
        comes_back(values(path, sheet), rows, sheet)
        comes_back(values(path, sheet, form), rows, sheet)


@pytest.mark.parametrize("form", FORMS)
def test_a_name_that_says_nothing(form: str, tmp_path: Path) -> None:
    """With the form named, any ending does."""
    path = tmp_path / "a.txt"
    exchange.write(path, form, [ROW], SHEET)
    comes_back(values(path, SHEET, form), [ROW], SHEET)
    with pytest.raises(InputError, match=r"unknown ending '\.txt'"):
        values(path)


@pytest.mark.parametrize(
    ("name", "plain"), [("data", "x"), ("fields", "x"), ("options", ["a", "b"]), ("accept", "x")]
)
def test_fields_named_like_a_form(name: str, plain: Any, tmp_path: Path) -> None:
    """The run's own names go first: its flat records are not taken for a form's."""
    sheet = Sheet("", (name,), (name,), "answer", ())
    path = tmp_path / "a.jsonl"
    choices = {"label": ["A"], "text": ["a"]}
    rows = [{name: plain, "answer": "accept"}, {name: choices, "answer": "y"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert values(path, sheet) == rows


def test_the_form_to_write() -> None:
    """The option goes first; an ending that says nothing needs it."""
    assert exchange.form_of(Path("a.CSV"), None) == "csv"
    assert exchange.form_of(Path("a.json"), None) == "label-studio"
    assert exchange.form_of(Path("a.txt"), "jsonl") == "jsonl"
    with pytest.raises(InputError, match="--format"):
        exchange.form_of(Path("a.txt"), None)
    with pytest.raises(InputError, match="--format"):
        values(Path("a.json"), SHEET, "xml")


@pytest.mark.parametrize("form", ["label-studio", "argilla"])
@pytest.mark.parametrize("place", ["text", "label", "instruction"])
def test_a_null_character_is_refused(form: str, place: str, tmp_path: Path) -> None:
    """By the forms whose tools keep texts in databases that hold none; nothing is written."""
    row, sheet = dict(ROW), SHEET
    if place == "instruction":
        sheet = Sheet("a\0", ("text",), ("Text",), "label", ())
    else:
        row[place] = "a\0"
    with pytest.raises(InputError, match=f"{place}.*null character.*jsonl"):
        exchange.write(tmp_path / "a.json", form, [row], sheet)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", FORMS)
def test_half_a_character_is_refused(form: str, tmp_path: Path) -> None:
    """No file can hold it."""
    with pytest.raises(InputError, match=r"example a, field 'text'.*half of a pair"):
        exchange.write(tmp_path / "a.json", form, [ROW | {"text": "\ud800"}], SHEET)
    assert list(tmp_path.iterdir()) == []
