"""Ways in which a file on the disk comes to harm, each a function from its bytes to others."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

Damage = Callable[[bytes], bytes]


def _flipped(seed: int) -> Damage:
    def flip(content: bytes) -> bytes:
        rng, changed = random.Random(seed), bytearray(content)
        for _ in range(max(1, len(changed) // 200)):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        return bytes(changed)

    return flip


def _without_a_key(content: bytes) -> bytes:
    """The last line, or the whole, without its first key."""
    head, mark, last = content.rstrip(b"\n").rpartition(b"\n")
    for before, text in ((head + mark, last), (b"", content)):
        try:
            value = json.loads(text)
        except ValueError:
            continue
        if isinstance(value, dict) and value:
            value.pop(next(iter(value)))
            return before + json.dumps(value).encode() + b"\n"
    return b"{}\n"


def _other_types(content: bytes) -> bytes:
    """Every value of the last line, or of the whole, replaced by one of another type."""
    head, mark, last = content.rstrip(b"\n").rpartition(b"\n")
    for before, text in ((head + mark, last), (b"", content)):
        try:
            value = json.loads(text)
        except ValueError:
            continue
        if isinstance(value, dict):
            return before + json.dumps({key: _other(item) for key, item in value.items()}).encode()
    return b"[0]"


def _other(value: Any) -> Any:
    return {"a": 1} if isinstance(value, str | int | float | list) or value is None else "text"


DAMAGES: dict[str, Damage] = {
    "emptied": lambda content: b"",
    "cut in half": lambda content: content[: len(content) // 2],
    "cut by a few bytes": lambda content: content[:-9],
    "zeros": lambda content: bytes(len(content)),
    "a list": lambda content: b"[]\n",
    "a number": lambda content: b"3\n",
    "an empty object": lambda content: b"{}\n",
    "a key gone": _without_a_key,
    "other types": _other_types,
    "bits flipped": _flipped(1),
    "other bits flipped": _flipped(2),
}
