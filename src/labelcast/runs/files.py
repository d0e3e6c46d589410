"""Writing files so that a kill or a full disk never leaves half of one.

A file is written under another name, flushed to the disk and renamed. Faults of the disk become
`RunError` with the path and the way out.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from labelcast.errors import InputError, RunError
from labelcast.strange import read_small, refuse_special

_HINTS = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again",
    errno.EDQUOT: "the quota is used up; free some space and run the same command again",
    errno.EACCES: "no permission to write there",
    errno.EPERM: "no permission to write there",
    errno.EROFS: "the disk is read-only",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EEXIST: "a part of the path is a file, not a folder",
}


@contextmanager
def disk_faults(path: Path) -> Iterator[None]:
    """Turns an OSError while writing `path` into a RunError that says what to do."""
    try:
        yield
    except OSError as error:
        hint = _HINTS.get(error.errno or 0, error.strerror or str(error))
        raise RunError(f"{path}: could not be written: {hint}.") from None


def write_with(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file whole or not at all: `write` fills a temporary name, which is then renamed.

    Raises:
        InputError: a pipe or a device stands there, which would be replaced.
        RunError: the disk is full, or the folder cannot be written.
    """
    refuse_special(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with disk_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(part)
            with part.open("rb") as stream:
                os.fsync(stream.fileno())
            part.replace(path)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, whole or not at all."""
    write_with(path, lambda part: part.write_text(text, "utf-8", newline="\n"))


def write_json(path: Path, value: Any) -> None:
    """Write one JSON value, whole or not at all. NaN is refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line, whole or not at all."""
    lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows]
    write_text(path, "".join(line + "\n" for line in lines))


def read_json(path: Path) -> Any:
    """Read a JSON file that labelcast wrote.

    Raises:
        InputError: it is missing or damaged.
    """
    try:
        return json.loads(read_small(path), parse_constant=_no_constant)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except (ValueError, RecursionError):
        raise InputError(
            f"{path}: damaged (not valid JSON). Delete it and run its step again."
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read a JSONL file that labelcast wrote; a missing one is an empty one.

    Raises:
        InputError: a line is damaged.
    """
    rows: list[dict[str, Any]] = []
    try:
        refuse_special(path)
        text = path.read_text("utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from None
    # A text may hold other ends of lines, such as U+2028, so splitlines would cut it.
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else [], 1):
        try:
            row = json.loads(line, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise InputError(f"{path} line {number}: damaged. Mend or remove that line.")
        rows.append(row)
    return rows
