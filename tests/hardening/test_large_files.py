"""Large files, and small ones that expand, use bounded memory or give a message."""

from __future__ import annotations

import json
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
    with pytest.raises(InputError, match=r"p\.csv line 1: column 'c7' appears twice"):
        next(records(path))
