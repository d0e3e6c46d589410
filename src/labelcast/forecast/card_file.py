"""A calibration card as a JSON file.

Knows how a user's file is checked, key by key, and how a shipped one is read at speed. The shape
of a card is that of the dataclass given; nothing is declared twice.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from labelcast.errors import InputError
from labelcast.forecast.json_file import read_object, write_object

Card = TypeVar("Card")


def write(path: Path, card: Any) -> None:
    """Write a card, an instance of its dataclass.

    Raises:
        RunError: the file cannot be written.
    """
    write_object(path, asdict(card))


def read(path: Path, kind: type[Card]) -> Card:
    """Read and check a user's card, of the dataclass `kind`.

    Raises:
        InputError: the file cannot be read, or a key is unknown, missing or of a wrong value; the
            message names the path and the key.
    """
    # Imported here because a forecast with a shipped card does without it.
    from pydantic import TypeAdapter, ValidationError

    content = read_object(path)
    try:
        return TypeAdapter(kind).validate_json(json.dumps(content))
    except ValidationError as error:
        problems = "; ".join(_in_words(dict(entry)) for entry in error.errors())
        raise InputError(
            f"{path}: not a calibration card: {problems}; `Calibration.save` shows the form"
        ) from None


def _in_words(entry: dict[str, Any]) -> str:
    key = ".".join(str(part) for part in entry["loc"])
    if entry["type"] == "unexpected_keyword_argument":
        return f"unknown key '{key}'"
    if entry["type"] == "missing":
        return f"key '{key}' is missing"
    if entry["type"] == "value_error":
        return str(entry["ctx"]["error"])
    return f"'{key}': {entry['msg']}"
