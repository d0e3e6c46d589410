"""Sources give the same records in every format."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labelcast.errors import InputError, LabelcastWarning
from labelcast.tasks import sources
from labelcast.tasks.sources import open_source

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
ROWS = st.lists(st.fixed_dictionaries({"text": TEXT, "label": TEXT}), min_size=1, max_size=6)


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


WRITERS: dict[str, Callable[[Path, list[dict[str, Any]]], object]] = {
    "jsonl": write_jsonl,
    "ndjson": write_jsonl,
    "json": lambda path, rows: path.write_text(json.dumps(rows, ensure_ascii=False), "utf-8"),
    "csv": write_csv,
    "parquet": lambda path, rows: pq.write_table(pa.Table.from_pylist(rows), path),
}


def values(spec: str | Path) -> list[dict[str, Any]]:
    return [record.values for record in open_source(spec).records()]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(rows=ROWS)
def test_every_format_gives_the_same_records(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    """With commas, quotes, line ends and emoji."""
    for ending, write in WRITERS.items():
        path = tmp_path / f"rows.{ending}"
        write(path, rows)
        assert values(path) == rows, ending


@pytest.mark.parametrize("ending", WRITERS)
def test_a_source_can_be_read_several_times(ending: str, tmp_path: Path) -> None:
    """Each pass starts from the beginning; positions count from 0, and places name the file."""
    path = tmp_path / f"rows.{ending}"
    WRITERS[ending](path, [{"text": "a"}, {"text": "b"}])
    source = open_source(path)
    for _ in range(2):
        records = list(source.records())
        assert [record.index for record in records] == [0, 1]
        assert all(record.where.startswith(f"rows.{ending} ") for record in records)
    assert source.spec == str(path.resolve())


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv"])
def test_a_byte_order_mark_is_ignored(ending: str, tmp_path: Path) -> None:
    """Some spreadsheets and editors write one."""
    path = tmp_path / f"rows.{ending}"
    WRITERS[ending](path, [{"text": "é"}])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert values(path) == [{"text": "é"}]


def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    """Blank lines count in the place but not in the position; a quoted value spans lines."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": 1}\n\n{"text": 2}\r\n')
    assert [(r.index, r.where) for r in open_source(path).records()] == [
        (0, "rows.jsonl line 1"),
        (1, "rows.jsonl line 3"),
    ]
    path = tmp_path / "rows.csv"
    path.write_text('text\n"a\nb"\nc\n')
    assert [r.where for r in open_source(path).records()] == ["rows.csv line 3", "rows.csv line 4"]


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_a_broken_tail_is_refused_when_it_is_reached(ending: str, tmp_path: Path) -> None:
    """The records before it are read."""
    path = tmp_path / f"rows.{ending}"
    WRITERS[ending](path, [{"text": "a"}, {"text": "b"}])
    path.write_text(path.read_text() + '"')
    records = open_source(path).records()
    assert [next(records).values, next(records).values] == [{"text": "a"}, {"text": "b"}]
    with pytest.raises(InputError, match=r"line 4|line 3"):
        next(records)


def test_a_broken_array_names_its_line(tmp_path: Path) -> None:
    """And its column. An array is read at once, so no record comes first."""
    path = tmp_path / "rows.json"
    path.write_text('[{"text": "a"},\n{"text" "b"}]')
    with pytest.raises(InputError, match=r"rows\.json: not valid JSON: .* \(line 2, column 9\)"):
        next(open_source(path).records())


def test_a_generated_source(tmp_path: Path) -> None:
    """The size and the seed are part of its name, and it is the same every time."""
    one = values("generated:boolean_expressions:5:3")
    assert one == values("generated:boolean_expressions:5:3")
    assert len(one) == 5
    assert one != values("generated:boolean_expressions:5")
    with pytest.raises(InputError, match="size"):
        open_source("generated:boolean_expressions:0")


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub library caches in a folder of the test."""
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.usefixtures("hub_cache")
@pytest.mark.parametrize("ending", ["parquet", "jsonl", "csv"])
def test_a_hub_dataset(ending: str, tmp_path: Path) -> None:
    """A dataset folder is read split by split; the train split by default."""
    folder = tmp_path / "set"
    folder.mkdir()
    for split in ("train", "test"):
        WRITERS[ending](folder / f"{split}.{ending}", [{"text": split}, {"text": "b"}])
    assert values(f"hub:{folder}") == [{"text": "train"}, {"text": "b"}]
    assert values(f"hub:{folder}:test") == [{"text": "test"}, {"text": "b"}]
    with pytest.raises(InputError, match=r"hub:.*dev"):
        values(f"hub:{folder}:dev")


@pytest.mark.usefixtures("hub_cache")
@pytest.mark.parametrize("name", ["../secret.jsonl", "https://example.com/x.jsonl", "link.jsonl"])
def test_a_data_set_folder_reads_no_file_outside(name: str, tmp_path: Path) -> None:
    """Whatever its README names, and through no link."""
    folder = tmp_path / "set"
    folder.mkdir()
    write_jsonl(tmp_path / "secret.jsonl", [{"text": "secret"}])
    (folder / "link.jsonl").symlink_to(tmp_path / "secret.jsonl")
    (folder / "README.md").write_text(
        f"---\nconfigs:\n- config_name: default\n  data_files: {name}\n---\n"
    )
    with pytest.raises(InputError, match=r"hub:.*(not in that folder|could not be loaded)"):
        values(f"hub:{folder}")


def test_an_address_on_the_web_is_no_missing_file() -> None:
    """The message says to download it."""
    with pytest.raises(InputError, match=r"https://example.com/x.csv: .*Download"):
        open_source("https://example.com/x.csv")


@pytest.mark.usefixtures("hub_cache")
def test_a_hub_data_set_with_configs(tmp_path: Path) -> None:
    """Of two parts after the name the first is the config, the second the split."""
    folder = tmp_path / "set"
    for config in ("one", "two"):
        (folder / config).mkdir(parents=True)
        write_jsonl(folder / config / "train.jsonl", [{"text": config}])
    (folder / "README.md").write_text(
        "---\nconfigs:\n"
        "- config_name: one\n  data_files: one/*.jsonl\n"
        "- config_name: two\n  data_files: two/*.jsonl\n---\n"
    )
    assert values(f"hub:{folder}:two:train") == [{"text": "two"}]
    with pytest.raises(InputError, match="three"):
        values(f"hub:{folder}:three:train")


ROW = [{"text": "a; b\tc, “é”", "label": "x"}, {"text": "two\nlines", "label": "y"}]


def write_delimited(path: Path, delimiter: str, encoding: str) -> None:
    with path.open("w", encoding=encoding, newline="") as stream:
        table = csv.DictWriter(stream, list(ROW[0]), delimiter=delimiter)
        table.writeheader()
        table.writerows(ROW)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(("ending", "delimiter"), [("csv", ";"), ("csv", "\t"), ("tsv", "\t")])
def test_csv_as_spreadsheets_write_it(
    ending: str, delimiter: str, encoding: str, tmp_path: Path
) -> None:
    """With semicolons or tabs, in UTF-8 or UTF-16."""
    write_delimited(tmp_path / f"rows.{ending}", delimiter, encoding)
    assert values(tmp_path / f"rows.{ending}") == ROW


def test_spaces_around_names_and_on_a_line_of_their_own(tmp_path: Path) -> None:
    """Names and values have none, quotes after one are quotes; a line of spaces is no record."""
    (tmp_path / "rows.csv").write_text("text, label\na, x\n  \nb,y\n ")
    rows = [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
    assert values(tmp_path / "rows.csv") == rows
    (tmp_path / "rows.csv").write_text('"label", "text"\n"x", "good, yes"\ny, no\n')
    rows = [{"label": "x", "text": "good, yes"}, {"label": "y", "text": "no"}]
    assert values(tmp_path / "rows.csv") == rows
    (tmp_path / "rows.csv").write_text("text,label,,\na,x,,\nb,y\n")  # cells that Excel kept
    assert values(tmp_path / "rows.csv") == [
        {"text": "a", "label": "x"},
        {"text": "b", "label": "y"},
    ]
    (tmp_path / "rows.csv").write_text("text,label\n a, x\n")
    assert values(tmp_path / "rows.csv") == [{"text": " a", "label": " x"}]


def test_quotes_in_a_tsv_without_quoting_are_text(tmp_path: Path) -> None:
    """As in the files of GLUE: no rows are joined; values in quotes are still unquoted."""
    path = tmp_path / "rows.tsv"
    path.write_text('text\tlabel\n"A b\t1\nfoo bar"\t0\n"Good" he said\t1\n')
    assert [row["text"] for row in values(path)] == ['"A b', 'foo bar"', '"Good" he said']
    path.write_text('text\tlabel\n"Go home\tnow"\nx\ty\n')
    assert [row["text"] for row in values(path)] == ['"Go home', "x"]
    path.write_text('text\tlabel\n"A b"\t1\n"two\nlines"\t0\n')
    assert [row["text"] for row in values(path)] == ["A b", "two\nlines"]


def test_the_line_that_names_the_delimiter_to_excel_is_skipped(tmp_path: Path) -> None:
    """It is no header, and errors still name the line of the file."""
    (tmp_path / "rows.csv").write_text("sep=;\ntext;label\nhello;1\n")
    assert values(tmp_path / "rows.csv") == [{"text": "hello", "label": "1"}]
    (tmp_path / "rows.csv").write_text("sep=;\ntext;label\nhello;1\na;b;c\n")
    with pytest.raises(InputError, match="line 4: 3 values"):
        values(tmp_path / "rows.csv")
    (tmp_path / "rows.csv").write_text("sep=|\ntext|label\nhello, you|1\n")
    assert values(tmp_path / "rows.csv") == [{"text": "hello, you", "label": "1"}]


def test_windows_1252(tmp_path: Path) -> None:
    """A file that is not Unicode is read as Windows-1252, with one warning."""
    write_delimited(tmp_path / "rows.csv", ",", "cp1252")
    with pytest.warns(LabelcastWarning, match="Windows-1252") as warned:
        found = [values(tmp_path / "rows.csv") for _ in range(2)]
    assert found == [ROW, ROW]
    assert len(warned) == 1


@pytest.mark.parametrize("codec", ["gz", "zst"])
@pytest.mark.parametrize("ending", ["jsonl", "json", "csv"])
def test_compressed_files(ending: str, codec: str, tmp_path: Path) -> None:
    """Read as the file inside; a damaged one is refused."""
    plain, packed = tmp_path / f"rows.{ending}", tmp_path / f"rows.{ending}.{codec}"
    WRITERS[ending](plain, ROW)
    name = {"gz": "gzip", "zst": "zstd"}[codec]
    with pa.output_stream(str(packed), compression=name) as stream:
        stream.write(plain.read_bytes())
    assert values(packed) == ROW
    packed.write_bytes(b"no archive")
    with pytest.raises(InputError, match=packed.name):
        values(packed)


@pytest.mark.parametrize("is_stream", [True, False])
def test_arrow_files(is_stream: bool, tmp_path: Path) -> None:
    """Both forms of the format."""
    table, path = pa.Table.from_pylist(ROW), tmp_path / "rows.arrow"
    new = pa.ipc.new_stream if is_stream else pa.ipc.new_file
    with new(str(path), table.schema) as writer:
        writer.write_table(table)
    assert values(path) == ROW


def test_a_saved_dataset(tmp_path: Path) -> None:
    """A folder of `save_to_disk`; of several splits, train."""
    from datasets import Dataset, DatasetDict

    Dataset.from_list(ROW).save_to_disk(tmp_path / "one")
    assert values(tmp_path / "one") == ROW
    splits = {"train": Dataset.from_list(ROW), "test": Dataset.from_list(ROW[:1])}
    DatasetDict(splits).save_to_disk(tmp_path / "several")
    assert values(tmp_path / "several") == ROW
    assert values(tmp_path / "several/test") == ROW[:1]


def test_a_workbook(tmp_path: Path) -> None:
    """Its first sheet: names in the first row; empty rows and columns at the end are ignored."""
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["text", "label"], ["a", 1], [], ["=1+1", 2.5], [None, None]):
        book.active.append(row)
    book.create_sheet("other").append(["not", "this"])
    book.save(tmp_path / "rows.xlsx")
    found = values(tmp_path / "rows.xlsx")
    assert [row["label"] for row in found] == [1, 2.5]
    (tmp_path / "rows.xlsx").write_bytes(b"no workbook")
    with pytest.raises(InputError, match="not a readable Excel file"):
        values(tmp_path / "rows.xlsx")


@pytest.mark.parametrize("text", ['{"data": [%s]}', '{"version": 1, "rows": [%s]}', "%s", "%s\n%s"])
def test_objects_in_a_json_file(text: str, tmp_path: Path) -> None:
    """An array under one key, one record, or a record per line."""
    (tmp_path / "rows.json").write_text(text.replace("%s", '{"text": "a"}'))
    assert values(tmp_path / "rows.json") == [{"text": "a"}] * text.count("%s")


def test_an_object_with_several_arrays_is_refused(tmp_path: Path) -> None:
    """The message names them."""
    (tmp_path / "rows.json").write_text('{"train": [{"a": 1}], "test": [{"a": 1}]}')
    with pytest.raises(InputError, match=r"'train', 'test'\. Keep one"):
        values(tmp_path / "rows.json")


def test_a_conversation_in_a_json_file_is_one_record(tmp_path: Path) -> None:
    """Its turns are no records, also with another list beside them; under `data` they are."""
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    for record in ({"messages": turns}, {"prompt": turns[:1], "completion": turns[1:]}):
        for more in ({}, {"tools": [{"name": "c"}]}):
            (tmp_path / "rows.json").write_text(json.dumps(record | more))
            assert values(tmp_path / "rows.json") == [record | more]
    (tmp_path / "rows.json").write_text(json.dumps({"data": turns}))
    assert values(tmp_path / "rows.json") == turns


def test_a_list_for_each_column_is_refused(tmp_path: Path) -> None:
    """It would be one record; a record with lists of different lengths, or with a text, is one."""
    by_row = {"text": {"0": "a", "1": "b"}, "label": {"0": "x", "1": "y"}}  # as pandas writes it
    for columns in ({"text": ["a", "b"], "label": ["x", "y"]}, by_row):
        (tmp_path / "rows.json").write_text(json.dumps(columns))
        with pytest.raises(InputError, match=r"rows\.json: a list for each column\. Write one"):
            values(tmp_path / "rows.json")
    for row in (
        {"a": {"0": "x"}, "b": {"1": "y"}},
        {"text": "a", "options": ["x", "y"]},
        {"a": ["x"], "b": ["x", "y"]},
        {"a": ["x"]},
    ):
        (tmp_path / "rows.json").write_text(json.dumps(row))
        assert values(tmp_path / "rows.json") == [row]


def test_the_questions_of_squad(tmp_path: Path) -> None:
    """Nested in paragraphs of articles, they are records with their context."""
    asked = {"id": "7", "question": "what?", "answers": [{"text": "a", "answer_start": 0}]}
    article = {"title": "t", "paragraphs": [{"context": "a b", "qas": [asked, asked | {"id": 8}]}]}
    (tmp_path / "dev.json").write_text(json.dumps({"version": "1.1", "data": [article]}))
    found = values(tmp_path / "dev.json")
    assert [row["id"] for row in found] == ["7", 8]
    assert found[0] | {"id": 8} == found[1]
    assert (found[0]["context"], found[0]["answers"]) == ("a b", {"text": ["a"]})


@pytest.mark.parametrize(
    "paragraphs",
    [
        *(["a", "b"], "a b", [{"text": "a"}], None, 7),
        [{"context": "c", "qas": [{"question": "q", "answers": ["Paris"]}]}],
        [{"context": "c", "qas": [{"question": "q", "answers": {"text": ["Paris"]}}]}],
    ],
)
def test_other_records_with_paragraphs_are_read_as_they_are(
    paragraphs: Any, tmp_path: Path
) -> None:
    """Only lists of questions make a SQuAD file; a question may have null for its answers."""
    rows = [{"paragraphs": paragraphs, "label": "x"}, {"label": "y"}]
    (tmp_path / "rows.json").write_text(json.dumps({"data": rows}))
    assert values(tmp_path / "rows.json") == rows
    asked = {"paragraphs": [{"context": "a", "qas": [{"question": "b?", "answers": None}]}]}
    (tmp_path / "rows.json").write_text(json.dumps({"data": [asked]}))
    assert [row["answers"] for row in values(tmp_path / "rows.json")] == [{"text": []}]


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_standard_input(
    ending: str, packed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its format is recognised by its content, and it can be read several times."""
    file = tmp_path / f"rows.{ending}"
    WRITERS[ending](file, ROW)
    content = gzip.compress(file.read_bytes()) if packed else file.read_bytes()
    if packed and ending == "parquet":
        return
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    sources._standard_input.cache_clear()
    source = open_source("-")
    assert source.copy is not None
    for _ in range(2):
        found = [{k: str(v) for k, v in one.values.items()} for one in source.records()]
        assert found == [{k: str(v) for k, v in row.items()} for row in ROW]


def test_an_empty_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names it."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    sources._standard_input.cache_clear()
    with pytest.raises(InputError, match="-: standard input is empty"):
        open_source("-")


def test_a_workbook_whose_size_is_wrong(tmp_path: Path) -> None:
    """All rows are read, and an empty cell at the end of a row is a field."""
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    for row in (["text", "label"], ["a", "x"], ["b"], ["c", "z"]):
        sheet.append(row)
    book.save(tmp_path / "rows.xlsx")
    cut = tmp_path / "cut.xlsx"
    with zipfile.ZipFile(tmp_path / "rows.xlsx") as old, zipfile.ZipFile(cut, "w") as new:
        for item in old.namelist():
            content = old.read(item)
            if item.endswith("sheet1.xml"):
                content = content.replace(b"<sheetData>", b'<dimension ref="A1:B2"/><sheetData>', 1)
            new.writestr(item, content)
    for path in (tmp_path / "rows.xlsx", cut):
        assert [row["label"] for row in values(path)] == ["x", None, "z"]
