"""JSON in files: read with a clear message, and written completely or not at all."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from labelcast.errors import DISK, InputError, LabelcastError, RunError, not_written
from labelcast.files.atomic import make_folder, replacing, sync_folder
from labelcast.files.untrusted import read_small, refuse_special, refuse_target

# Libraries that write files raise their own errors, with the system's number in the text.
_NUMBER = re.compile(r"\bos error (\d+)\b|\[Errno (\d+)\]")
_FULL = "No space left on device"
# From torch, if it could not finish writing a file for any reason.
_TORCH_WRITE = ("PytorchStreamWriter failed writing", "inline_container.cc")


@contextmanager
def disk_faults(path: Path) -> Iterator[None]:
    """Turn a disk error while writing `path` into an error that says what to do.

    Raises:
        InputError: the path is a folder or too long.
        RunError: the disk is full, read-only or may not be written.
    """
    try:
        yield
    except OSError as error:
        raise not_written(path, error) from None
    except LabelcastError:
        raise
    except Exception as error:
        hint = _hint(str(error))
        if not hint:
            raise
        raise RunError(f"{path}: could not be written: {hint}.") from None


def _hint(text: str) -> str:
    """The disk's fault in the text of a library's error, or nothing."""
    found = _NUMBER.search(text)
    number = int(found[1] or found[2]) if found else errno.ENOSPC if _FULL in text else 0
    torch_failed = any(words in text for words in _TORCH_WRITE)
    return DISK.get(number, "most often the disk is full" if torch_failed else "")


def write_with(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file, then rename it to `path`; raises as `disk_faults`."""
    refuse_target(path)
    with disk_faults(path):
        make_folder(path.parent)
        with replacing(path) as part:
            write(part)


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, completely or not at all."""
    write_with(path, lambda part: part.write_text(text, "utf-8", newline="\n"))


def write_json(path: Path, value: Any, *, indent: int = 2) -> None:
    """Write one JSON value, completely or not at all. NaN is refused: JSON does not have it."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object per line, completely or not at all."""
    lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows]
    write_text(path, "".join(line + "\n" for line in lines))


def read_json(path: Path, fix: str = "Delete it and run its step again.") -> Any:
    """Read a JSON file that labelcast wrote; `fix` says what to do if it is damaged."""
    return _read(path, f"damaged (not valid JSON). {fix}", _no_constant)


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object from a user's file."""
    content = _read(path, "not valid JSON ({fault})")
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content


def _read(path: Path, message: str, constant: Callable[[str], Any] | None = None) -> Any:
    try:
        return json.loads(read_small(path), parse_constant=constant)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: {message.format(fault=error)}") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not valid JSON")


def read_jsonl(path: Path, *, unfinished: bool = False) -> list[dict[str, Any]]:
    """Read a JSONL file that labelcast wrote; a missing file has no rows.

    With `unfinished`, ignore a last line without a newline, which a killed process leaves in a file
    that it appends to.
    """
    refuse_special(path)
    try:
        content = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from None
    if unfinished:
        content = content[: content.rfind(b"\n") + 1]
    rows: list[dict[str, Any]] = []
    # splitlines would also split at other line ends, such as U+2028.
    for number, line in enumerate(content.removesuffix(b"\n").split(b"\n") if content else [], 1):
        fault = "damaged"
        try:
            row = json.loads(line.decode("utf-8"), parse_constant=_no_constant)
        except UnicodeDecodeError:
            row, fault = None, "damaged (it cannot be read as UTF-8)"
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise InputError(f"{path} line {number}: {fault}. Correct or remove that line.")
        rows.append(row)
    return rows


class JsonLines:
    """A JSONL file that one process appends to while it holds its folder's lock.

    A last line without a newline was left unfinished by a killed process and is ignored.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[dict[str, Any]]:
        """The rows, in the order in which they were written."""
        return read_jsonl(self.path, unfinished=True)

    def add(self, row: dict[str, Any]) -> None:
        """Append a row and flush it to the disk; if this fails, nothing is added."""
        self.cut_unfinished()
        line = (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")
        with disk_faults(self.path), self.path.open("ab", buffering=0) as stream:
            before = stream.tell()
            try:
                if stream.write(line) < len(line):
                    raise OSError(errno.ENOSPC, "the disk is full")
                os.fsync(stream.fileno())
            except OSError:
                stream.truncate(before)
                raise
        if not before:
            sync_folder(self.path.parent)

    def cut_unfinished(self) -> None:
        """Remove an unfinished last line. The caller holds the lock of the folder."""
        if not self.path.exists():
            return
        with disk_faults(self.path), self.path.open("rb+") as stream:
            content = stream.read()
            complete = content.rfind(b"\n") + 1
            if complete < len(content):
                stream.truncate(complete)
                os.fsync(stream.fileno())
