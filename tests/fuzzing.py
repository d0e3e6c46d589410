"""Damage at random: to bytes, to JSON; and what may come of it."""

from __future__ import annotations

import copy
import json
import math
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from command_line import snapshot
from hypothesis import HealthCheck, settings

from labelcast.errors import LabelcastError
from labelcast.files.untrusted import one_line

# What stands in the place of a part: of every kind, and at every edge.
JUNK: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**63, 10**400, 0.5, 1e308, -0.0, math.nan, math.inf),
    *("", " ", "x", "\n", "\x1b[2J", "\ud83d", "../x", "id", "text", "1", "x" * 2000),
    *([], [None], [[]], [1, "a"], {}, {"": None}, {"a": {"b": []}}, [{"a": 1}], [{}, []]),
)
BITS = (b"\0", b"\xff", b'"', b"\n", b"[", b"}", b"{", b",", b":", b"\\u", b"- ", b"\xed\xa0\x80")

fuzzed = partial(
    settings,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def damaged(content: bytes, random: Random) -> bytes:
    """Bytes of which a few pieces were cut out, doubled, or had something put in."""
    for _ in range(random.randint(1, 3)):
        begin = random.randint(0, len(content))
        end = min(begin + random.choice([0, 1, 1, 4, 50]), len(content))
        put = random.choice([b"", random.choice(BITS), content[begin:end] * 2, random.randbytes(4)])
        content = content[:begin] + put + content[end:]
    return content


def changed(value: Any, random: Random) -> Any:
    """JSON of which one or two parts were replaced, taken out, or given another name."""
    value = copy.deepcopy(value)
    for _ in range(random.randint(1, 2)):
        places = list(_places(value))
        if not places:
            return random.choice(JUNK)
        holder, key = random.choice(places)
        act = random.random()
        if act < 0.7:
            holder[key] = copy.deepcopy(random.choice(JUNK))
        elif act < 0.85:
            del holder[key]
        elif isinstance(holder, dict):
            holder[random.choice(["id", "text", "x", "", "\n"])] = holder.pop(key)
        else:
            holder.append(copy.deepcopy(holder[key]))
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every holder of a part, with the key or position of the part in it."""
    keys = value if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def of_lines(rows: Any) -> bytes:
    if not isinstance(rows, list):
        return as_json(rows)
    return b"".join(as_json(row) + b"\n" for row in rows)


def read_or_refused(read: Callable[[], object], folder: Path, *names: str) -> bool:
    """Whether it was read; if not, then in words that name one of `names`, and nothing changed."""
    before = snapshot(folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read()
    except LabelcastError as error:
        said = one_line(str(error))
        assert any(name in said for name in names), said
        assert len(said) < 2000
        assert without_derived(snapshot(folder)) == without_derived(before)
        return False
    return True


def without_derived(files: dict[str, Any]) -> dict[str, Any]:
    """Files but for the curves, which are made anew from the scores whenever they are asked for."""
    return {name: content for name, content in files.items() if name != "curve.json"}
