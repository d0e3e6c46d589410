"""Sources give the same records in every format."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labelcast.errors import InputError
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


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None
)
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
