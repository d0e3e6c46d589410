"""Large files, and small ones that expand: bounded memory and a message."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcast.errors import InputError
from labelcast.tasks.json_stream import JsonStream, StreamFault
from labelcast.tasks.sources import Record, open_source


def records(path: Path) -> Iterator[Record]:
    return open_source(path).records()


def repeated(value: str, count: int) -> pa.Table:
    """A column of one value, which the file stores once."""
    positions = pa.repeat(pa.scalar(0, pa.int8()), count)
    return pa.table({"text": pa.DictionaryArray.from_arrays(positions, pa.array([value]))})


def test_parquet_with_too_many_rows_for_its_size(tmp_path: Path) -> None:
    """20 million copies of a word in a few kilobytes are refused before they are unpacked."""
    path = tmp_path / "p.parquet"
    pq.write_table(repeated("a", 20_000_000), path, compression="zstd", row_group_size=2**30)
    with pytest.raises(InputError, match=r"p\.parquet: 20,000,000 rows in [\d,]+ bytes"):
        next(records(path))


def test_parquet_that_expands_too_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row group above the bound (here 32 MiB) in a few kilobytes is refused unread."""
    monkeypatch.setattr("labelcast.tasks.parquet_size.LARGEST_GROUP", 2**25)
    path = tmp_path / "p.parquet"
    column = pa.array(["x" * 10_000_000])
    table = pa.table({f"c{n}": column for n in range(5)})
    pq.write_table(table, path, compression="zstd", use_dictionary=False)
    with pytest.raises(InputError, match=r"p\.parquet: row group 1 would grow from .* to 50,0"):
        next(records(path))


def test_a_large_value_shared_by_every_row(tmp_path: Path) -> None:
    """It is unpacked for a few rows at a time."""
    path = tmp_path / "p.parquet"
    pq.write_table(repeated("x" * 2**24, 5000), path, compression="zstd")
    before = pa.total_allocated_bytes()
    found = list(islice(records(path), 3))
    assert [len(record.values["text"]) for record in found] == [2**24] * 3
    assert pa.total_allocated_bytes() - before < 2**30


@pytest.mark.parametrize("text", ["[" * 100_000, '[{"a": ' + "[" * 100_000 + "]" * 100_000 + "}]"])
def test_a_deeply_nested_array(text: str, tmp_path: Path) -> None:
    """It is refused at once, with the file's name."""
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"p\.json after record 0: nested too deep"):
        list(records(path))


def test_half_a_character_in_an_array(tmp_path: Path) -> None:
    """It is refused, as in JSONL; pairs and escapes are kept."""
    path = tmp_path / "p.json"
    whole = [{"text": "😀 \\ud83d"}, {"text": "é\n"}]
    path.write_text(json.dumps(whole))
    assert [record.values for record in records(path)] == whole
    path.write_text('[{"text": "a \\ud83d"}]')
    with pytest.raises(InputError, match=r"p\.json after record 0: .*\\ud83d, half of a pair"):
        list(records(path))


PARTS = st.sampled_from(
    ["\ud83d", "\ude00", "😀", "\\", '"', "u", "ud83d", "[", "]", "{", "a", "\n"]
)
TEXTS = st.lists(PARTS, max_size=9).map("".join)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(value=st.lists(TEXTS, max_size=3), size=st.sampled_from([1, 3, 7, 20, 4096]))
def test_half_characters_are_found_at_any_chunk_size(value: list[str], size: int) -> None:
    """An error exactly if a text cannot be encoded, whatever the size of the chunks."""
    plain = json.loads(json.dumps(value))
    whole = all(text == text.encode("utf-8", "replace").decode() for text in plain)
    stream = JsonStream(io.BytesIO(json.dumps(value).encode()))
    if whole:
        pieces = iter(lambda: stream.read(size), b"")
        assert b"".join(pieces) == json.dumps(value).encode()
        return
    with pytest.raises(StreamFault, match="half of a pair"):
        list(iter(lambda: stream.read(size), b""))


@pytest.mark.parametrize("ending", ["csv", "jsonl", "json", "parquet"])
def test_a_long_field(ending: str, tmp_path: Path) -> None:
    """5 MB of text in one field are read unchanged."""
    path, text = tmp_path / f"p.{ending}", "word " * 1_000_000
    row = json.dumps({"text": text})
    if ending == "parquet":
        pq.write_table(pa.table({"text": [text]}), path)
    else:
        path.write_text({"csv": f"text\n{text}\n", "jsonl": row, "json": f"[{row}]"}[ending])
    assert [record.values for record in records(path)] == [{"text": text}]


def test_very_many_columns(tmp_path: Path) -> None:
    """100,000 columns are read, and a name that appears twice among them is reported."""
    path = tmp_path / "p.csv"
    header = ",".join(f"c{number}" for number in range(100_000))
    path.write_text(f"{header}\n{',' * 99_999}\n")
    assert len(next(records(path)).values) == 100_000
    path.write_text(f"{header},c7\n")
    with pytest.raises(InputError, match=r"p\.csv line 1: column 'c7' stands there twice"):
        next(records(path))
