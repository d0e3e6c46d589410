"""Small files that stand for much, and large ones: bounded memory, an end, and a message."""

from __future__ import annotations

import io
import json
import tracemalloc
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
    """A column of one value, which its file holds once."""
    positions = pa.repeat(pa.scalar(0, pa.int8()), count)
    return pa.table({"text": pa.DictionaryArray.from_arrays(positions, pa.array([value]))})


def test_parquet_with_more_rows_than_its_bytes_can_tell(tmp_path: Path) -> None:
    """20 million times the same word in some kilobytes is refused before it is unpacked."""
    path = tmp_path / "p.parquet"
    pq.write_table(repeated("a", 20_000_000), path, compression="zstd", row_group_size=2**30)
    with pytest.raises(InputError, match=r"p\.parquet: 20,000,000 rows in [\d,]+ bytes"):
        next(records(path))


def test_parquet_that_grows_without_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row group of more than the bound (here 32 MiB) in some kilobytes is refused unread."""
    monkeypatch.setattr("labelcast.tasks.parquet_size.LARGEST_GROUP", 2**25)
    path = tmp_path / "p.parquet"
    column = pa.array(["x" * 10_000_000])
    table = pa.table({f"c{n}": column for n in range(5)})
    pq.write_table(table, path, compression="zstd", use_dictionary=False)
    with pytest.raises(InputError, match=r"p\.parquet: row group 1 would grow from .* to 50,0"):
        next(records(path))


def test_a_large_value_that_every_row_means(tmp_path: Path) -> None:
    """It is unpacked for a few rows at a time, not for a thousand."""
    path = tmp_path / "p.parquet"
    pq.write_table(repeated("x" * 2**25, 5000), path, compression="zstd")
    before = pa.total_allocated_bytes()
    found = list(islice(records(path), 3))
    assert [len(record.values["text"]) for record in found] == [2**25] * 3
    assert pa.total_allocated_bytes() - before < 2**31


@pytest.mark.parametrize("text", ["[" * 100_000, '[{"a": ' + "[" * 100_000 + "]" * 100_000 + "}]"])
def test_an_array_that_nests_without_measure(text: str, tmp_path: Path) -> None:
    """It ends at once, with the file's name."""
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"p\.json after record 0: nested too deep"):
        list(records(path))


def test_half_a_character_in_an_array(tmp_path: Path) -> None:
    """It is refused, as in JSONL, and does not become a question mark; pairs and escapes stay."""
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


@settings(deadline=None, derandomize=True, max_examples=300)
@given(value=st.lists(TEXTS, max_size=3), size=st.sampled_from([1, 3, 7, 20, 4096]))
def test_halves_are_found_wherever_the_stream_is_cut(value: list[str], size: int) -> None:
    """Exactly where a text cannot be written, whatever the pieces in which it is read."""
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
    """10 MB of text in one field are read as they are."""
    path, text = tmp_path / f"p.{ending}", "word " * 2_000_000
    row = json.dumps({"text": text})
    if ending == "parquet":
        pq.write_table(pa.table({"text": [text]}), path)
    else:
        path.write_text({"csv": f"text\n{text}\n", "jsonl": row, "json": f"[{row}]"}[ending])
    assert [record.values for record in records(path)] == [{"text": text}]


def test_very_many_columns(tmp_path: Path) -> None:
    """A million columns take one pass, and a name that appears twice among them is reported."""
    path = tmp_path / "p.csv"
    header = ",".join(f"c{number}" for number in range(1_000_000))
    path.write_text(f"{header}\n{',' * 999_999}\n")
    assert len(next(records(path)).values) == 1_000_000
    path.write_text(f"{header},c7\n")
    with pytest.raises(InputError, match=r"p\.csv line 1: column 'c7' stands there twice"):
        next(records(path))


@pytest.mark.slow
def test_ten_million_rows_of_which_one_is_broken(tmp_path: Path) -> None:
    """The line is named, and memory does not grow with the rows before it."""
    path, rows = tmp_path / "p.csv", 10_000_000
    with path.open("w") as stream:
        stream.write("text,label\n")
        for begin in range(0, rows, 100_000):
            stream.writelines(f"word {n},yes\n" for n in range(begin, begin + 100_000))
        stream.write("broken,yes,no\n")
    tracemalloc.start()
    with pytest.raises(InputError, match=r"p\.csv line 10000002: 3 values where the header has 2"):
        for _ in records(path):
            pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000
