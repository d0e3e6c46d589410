"""Flat label files: JSONL and CSV, also as spreadsheets save them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from random_label_tasks import write

from labelcast.errors import LabelcastWarning
from labelcast.labels import exchange
from labelcast.labels.label_task import LabelTask

TASK = LabelTask("", {"text": "T", "more": "M"}, "label", ())
ROW = {"id": "a", "set": "low", "text": "x; y", "more": "\u00e9", "label": "yes"}


def test_csv_for_spreadsheets(tmp_path: Path) -> None:
    """It begins with a byte order mark, and the answer is the last column."""
    path = tmp_path / "a.csv"
    write(path, "csv", [ROW], TASK)
    assert path.read_bytes().startswith(b"\xef\xbb\xbfid,set,text,more,label")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "'=1", "\uff1d1"])
def test_no_cell_is_a_formula(text: str, tmp_path: Path) -> None:
    """Text that a spreadsheet would run is written behind an apostrophe and read back unchanged."""
    path = tmp_path / "a.csv"
    write(path, "csv", [ROW | {"text": text, "label": text}], TASK)
    assert f"'{text}" in path.read_bytes().decode("utf-8")
    (record,) = exchange.read(path, TASK)
    assert (record.values["text"], record.values["label"]) == (text, text)


def test_an_apostrophe_in_other_files_stays(tmp_path: Path) -> None:
    """A file without our column `set` is read as it is."""
    path = tmp_path / "a.csv"
    path.write_text("text,more,label\n'=1,2,yes\n")
    (record,) = exchange.read(path, TASK)
    assert record.values["text"] == "'=1"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_as_spreadsheets_save_it(delimiter: str, encoding: str, tmp_path: Path) -> None:
    """Semicolons, tabs, UTF-16 and byte order marks are read."""
    path = tmp_path / "a.csv"
    cells = [f'"{cell}"' for cell in ROW.values()]
    path.write_text(f"{delimiter.join(ROW)}\r\n{delimiter.join(cells)}\r\n", encoding, newline="")
    assert [record.values for record in exchange.read(path, TASK)] == [ROW]


def test_another_encoding(tmp_path: Path) -> None:
    """A file that is not UTF-8 is read as Windows-1252, with a warning."""
    path = tmp_path / "a.csv"
    path.write_bytes("text,more,label\n\u00e9,1,yes\n".encode("cp1252"))
    with pytest.warns(LabelcastWarning, match=r"a\.csv: not UTF-8.*Windows-1252"):
        (record,) = exchange.read(path, TASK)
    assert record.values == {"text": "\u00e9", "more": "1", "label": "yes"}


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("ending", ["json", "jsonl"])
def test_an_array_in_any_file(mark: bytes, ending: str, tmp_path: Path) -> None:
    """A JSON array is recognised, also after a byte order mark."""
    path = tmp_path / f"a.{ending}"
    path.write_bytes(mark + b" " + json.dumps([ROW]).encode())
    assert [record.values for record in exchange.read(path, TASK)] == [ROW]
