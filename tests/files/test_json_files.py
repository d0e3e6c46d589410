"""JSON files are written completely or not at all, and read back unchanged."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labelcast.errors import InputError, RunError
from labelcast.files.json_files import (
    disk_faults,
    read_json,
    read_jsonl,
    write_json,
    write_jsonl,
    write_text,
    write_with,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.dictionaries(st.text(), st.text()), max_size=4))
def test_rows_come_back(tmp_path: Path, rows: list[dict[str, str]]) -> None:
    """Any text, including other line ends such as U+2028 and U+0085."""
    write_jsonl(tmp_path / "rows.jsonl", rows)
    assert read_jsonl(tmp_path / "rows.jsonl") == rows


@pytest.mark.parametrize("text", ["a\u2028b", "a\x85b", "a\x1cb", "a\r\nb"])
def test_unusual_line_ends_do_not_split_a_row(text: str, tmp_path: Path) -> None:
    """Only a newline ends a row."""
    write_jsonl(tmp_path / "rows.jsonl", [{"text": text}, {"text": "next"}])
    assert read_jsonl(tmp_path / "rows.jsonl") == [{"text": text}, {"text": "next"}]


def test_a_file_is_replaced_completely_or_not_at_all(tmp_path: Path) -> None:
    """A write that fails half-way leaves the old file and no temporary one."""
    path = tmp_path / "new" / "a.json"
    write_json(path, {"a": 1})

    def half(part: Path) -> None:
        part.write_text('{"a"')
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(RunError, match=r"a\.json: could not be written: the disk is full"):
        write_with(path, half)
    assert read_json(path) == {"a": 1}
    assert list(path.parent.iterdir()) == [path]


def test_nan_is_never_written(tmp_path: Path) -> None:
    """JSON has no NaN: it is refused before any file is written."""
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", float("nan"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fault", [errno.EACCES, errno.EROFS, errno.EDQUOT, errno.EIO])
def test_disk_errors_become_run_errors(fault: int, tmp_path: Path) -> None:
    """Each names the path and has exit status 1."""
    with pytest.raises(RunError, match="some/file") as caught, disk_faults(Path("some/file")):
        raise OSError(fault, "fault")
    assert caught.value.status == 1


def test_damage_is_reported(tmp_path: Path) -> None:
    """A file that cannot be read back is named, with the line."""
    path = tmp_path / "a.jsonl"
    assert read_jsonl(path) == []
    for text in ('{"a": 1}\n{"a"\n', '{"a": 1}\n[]\n', '{"a": 1}\n\n'):
        write_text(path, text)
        with pytest.raises(InputError, match=r"a\.jsonl line 2: damaged"):
            read_jsonl(path)
    path.write_bytes(b"\xff")
    with pytest.raises(InputError, match="cannot be read"):
        read_jsonl(path)
    with pytest.raises(InputError, match="damaged"):
        read_json(path)
    with pytest.raises(InputError, match="no such file"):
        read_json(tmp_path / "b.json")
