"""JSON in files, read with a clear message and written so that no kill leaves half of a file.

A file is written under another name, flushed to the disk and renamed (`atomic`). Faults of the
disk become `RunError` with the path and the way out, whichever library met them.
"""

from __future__ import annotations

import errno
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from labelcast.errors import DISK, InputError, LabelcastError, RunError, not_written
from labelcast.files.atomic import make_folder, replacing
from labelcast.files.untrusted import read_small, refuse_special, refuse_target

# Libraries that write by themselves have errors of their own, with the number in the text.
_NUMBER = re.compile(r"\bos error (\d+)\b|\[Errno (\d+)\]")
_TEXTS = {"No space left on device": errno.ENOSPC, "Read-only file system": errno.EROFS}
# What torch says of a file that it could not write to its end, whatever the reason.
_TORN = ("PytorchStreamWriter failed writing", "inline_container.cc")


@contextmanager
def disk_faults(path: Path) -> Iterator[None]:
    """Turns a fault of the disk while writing `path` into an error that says what to do.

    Raises:
        InputError: no file can be written under such a path.
        RunError: the disk, or what may be done on it, does not allow it.
    """
    try:
        yield
    except OSError as error:
        raise not_written(path, error) from None
    except (LabelcastError, MemoryError):
        raise
    except Exception as error:
        hint = _hint(str(error))
        if not hint:
            raise
        raise RunError(f"{path}: could not be written: {hint}.") from None


def _hint(text: str) -> str:
    """What a library's error says of the disk; empty where it is about something else."""
    found = _NUMBER.search(text)
    numbers = [int(found[1] or found[2])] if found else []
    numbers += [number for words, number in _TEXTS.items() if words in text]
    if numbers and numbers[0] in DISK:
        return DISK[numbers[0]]
    return "most often the disk is full" if any(words in text for words in _TORN) else ""


def write_with(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file whole or not at all: `write` fills a temporary name, which is then renamed.

    Raises:
        InputError: a folder, a pipe or a device is there.
        RunError: the disk is full, or the folder cannot be written.
    """
    refuse_target(path)
    with disk_faults(path):
        make_folder(path.parent)
        with replacing(path) as part:
            write(part)


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


def read_jsonl(path: Path, *, unfinished: bool = False) -> list[dict[str, Any]]:
    """Read a JSONL file that labelcast wrote; a missing one is an empty one.

    Args:
        path: of the file.
        unfinished: leave out a last line that has no end, as a kill leaves it in a file that is
            added to.

    Raises:
        InputError: a line is damaged.
    """
    rows: list[dict[str, Any]] = []
    try:
        refuse_special(path)
        content = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from None
    if unfinished:
        content = content[: content.rfind(b"\n") + 1]
    # What is no UTF-8 is told by its line.
    text = content.decode("utf-8", "surrogateescape")
    # A text may hold other ends of lines, such as U+2028, so splitlines would cut it.
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else [], 1):
        fault = "damaged"
        try:
            row = json.loads(line.encode("utf-8"), parse_constant=_no_constant)
        except UnicodeEncodeError:
            row, fault = None, "damaged (it cannot be read as UTF-8)"
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise InputError(f"{path} line {number}: {fault}. Mend or remove that line.")
        rows.append(row)
    return rows


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: the file cannot be read, is not JSON, names a key twice, or holds no object.
    """
    try:
        content = json.loads(read_small(path), object_pairs_hook=_no_key_twice)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error})") from None
    except RecursionError:
        raise InputError(f"{path}: not valid JSON (nested too deep)") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content


def write_object(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object, whole or not at all.

    Raises:
        InputError: a folder, a pipe or a device is there, or no file could be.
        RunError: the file cannot be written.
    """
    refuse_target(path)
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        with replacing(path) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise not_written(path, error) from None


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        many = Counter(key for key, _ in pairs)
        twice = next(key for key, count in many.items() if count > 1)
        raise ValueError(f"key {twice!r} appears twice in one object")
    return content
