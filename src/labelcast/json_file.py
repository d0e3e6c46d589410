"""JSON objects in files: read with a clear message, written whole or not at all.

Knows nothing of what the objects mean.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from labelcast.atomic import replacing
from labelcast.errors import InputError, not_written
from labelcast.strange import read_small, refuse_target


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
        raise ValueError(f"key {twice!r} stands twice in one object")
    return content
