"""Small files that stand for much, and large ones: bounded memory, an end, and a message."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labelcast.errors import InputError
from labelcast.tasks.sources import Record, open_source


def records(path: Path) -> Iterator[Record]:
    return open_source(path).records()


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
    with pytest.raises(InputError, match=r"p\.csv line 1: column 'c7' appears twice"):
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
