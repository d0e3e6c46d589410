"""One field's value as text, and a record's content as a hash. Knows no task and no file format."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from labelcast.errors import InputError


def as_text(value: Any, where: str) -> str:
    """The text that stands for a field's value, the same whatever file format it came from.

    A whole number stored as a float is written without its fraction (Parquet stores an integer
    column with a gap as floats); a list becomes one line an element.

    Args:
        value: a string, number, boolean or list of these.
        where: what to call the place in an error, such as ``data.jsonl line 17, field 'text'``.

    Raises:
        InputError: the value is missing, not a number (NaN), or of no such kind.
    """
    if value is None:
        raise InputError(f"{where}: the value is missing. Fill it in or drop the record.")
    if isinstance(value, str):
        return _whole_text(value, where)
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"{where}: the value is {value}, not a finite number.")
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, list | tuple) and not any(isinstance(v, list | tuple) for v in value):
        return "\n".join(as_text(item, where) for item in value)
    raise InputError(
        f"{where}: a value of type {type(value).__name__} cannot be shown to a model as text. "
        "Use text, a number or a list of these."
    )


def _whole_text(text: str, where: str) -> str:
    """The text itself, if it can be written to a file."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{where}: character {error.start + 1} is half of a pair "
            f"(\\u{ord(text[error.start]):x}), so it is not valid Unicode text. "
            "Mend the text, or drop the record."
        ) from None
    return text


def content_hash(fields: Mapping[str, str]) -> str:
    """16 hexadecimal digits that name a record by the text of its input fields, in any order."""
    text = json.dumps(dict(sorted(fields.items())), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
