"""A field's value as text, and a record's content as a hash."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from string import ascii_uppercase
from typing import Any, Literal

from labelcast.errors import InputError
from labelcast.tasks.conversations import PARTS, as_script, is_conversation, part

Marks = Literal["letters", "numbers"]


def find_field(values: Mapping[str, Any], name: str) -> Any:
    """A field of a record by its name, or by a dotted path such as ``answers.text.0``.

    ``messages.prompt`` is a conversation without its last answer, ``messages.answer`` that answer.

    Raises:
        KeyError: no such field.
    """
    if name in values:
        return values[name]
    found: Any = values
    for step in name.split("."):
        if isinstance(found, Mapping):
            found = found[step]
        elif is_conversation(found) and step in PARTS:
            found = part(found, step)
        elif isinstance(found, list) and step.isdecimal() and int(step) < len(found):
            found = found[int(step)]
        else:
            raise KeyError(name)
    return found


def field_or(values: Mapping[str, Any], name: str, default: Any = None) -> Any:
    """A field as `find_field` finds it, or the default."""
    try:
        return find_field(values, name)
    except KeyError:
        return default


def has_field(values: Mapping[str, Any], name: str) -> bool:
    """Whether `find_field` finds one."""
    return field_or(values, name, find_field) is not find_field


def need_field(values: Mapping[str, Any], name: str, where: str, hint: str = "") -> Any:
    """A field as `find_field` finds it.

    Raises:
        InputError: no such field; `where` names the record, `hint` says what to do.
    """
    try:
        return find_field(values, name)
    except KeyError:
        raise InputError(f"{where}: no field {name!r}. It has: {some(values)}.{hint}") from None


def some(names: Iterable[object]) -> str:
    """The first twelve names, each cut to 40 characters."""
    texts = [str(name)[:40] for name in names]
    more = f", ... ({len(texts)} in total)" if len(texts) > 12 else ""
    return ", ".join(texts[:12]) + more


def as_text(value: Any, where: str, marks: Marks | None = None) -> str:
    """The text of a field's value, the same in every file format.

    An integer stored as a float has no fraction (Parquet stores an integer column with missing
    values as floats). A list becomes one line per element, with a mark before each if wanted
    ("A. first", "0. first"). Choices with marks of their own, as in
    ``{"label": ["A", "B"], "text": ["first", "second"]}``, keep them. A chat turn has its role
    before it.

    Args:
        value: a string, number, boolean, list of these, or choices with their marks.
        where: the place for error messages, such as ``data.jsonl line 17, field 'text'``.
        marks: before each element of a list: letters from A, or numbers from 0.

    Raises:
        InputError: the value is missing, NaN, of another type, or a list too long for letters.
    """
    if value is None:
        raise InputError(f"{where}: the value is missing. Fill it in or drop the record.")
    if isinstance(value, str):
        return valid_text(value, where)
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"{where}: the value is {value}, not a finite number.")
        return str(int(value)) if value.is_integer() else repr(value)
    if is_conversation(value):
        return valid_text(as_script(value, where), where)
    if isinstance(value, list | tuple) and not any(isinstance(v, list | tuple) for v in value):
        texts = [as_text(item, where) for item in value]
        if marks is None:
            return "\n".join(texts)
        if marks == "letters" and len(texts) > len(ascii_uppercase):
            raise InputError(
                f"{where}: {len(texts)} choices are too many for letters; use items: numbers."
            )
        return _marked(ascii_uppercase if marks == "letters" else range(len(texts)), texts)
    if are_choices(value):
        own, texts = ([as_text(item, where) for item in value[key]] for key in ("label", "text"))
        return _marked(own, texts)
    kind = "dict" if isinstance(value, Mapping) else type(value).__name__
    raise InputError(
        f"{where}: a value of type {kind} cannot be shown to a model as text. "
        "Use text, a number or a list of these."
    )


def are_choices(value: Any) -> bool:
    """Whether it is a mapping of as many marks (``label``) as texts (``text``)."""
    if not isinstance(value, Mapping) or set(value) != {"label", "text"}:
        return False
    labels, texts = value["label"], value["text"]
    return (
        isinstance(labels, list | tuple)
        and isinstance(texts, list | tuple)
        and len(labels) == len(texts)
        and not any(isinstance(item, list | tuple | Mapping) for item in (*labels, *texts))
    )


def _marked(marks: Iterable[object], texts: Sequence[str]) -> str:
    return "\n".join(f"{mark}. {text}" for mark, text in zip(marks, texts, strict=False))


def valid_text(text: str, where: str) -> str:
    """The text, if it can be written to a file."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{where}: character {error.start + 1} is half of a pair "
            f"(\\u{ord(text[error.start]):x}), so it is not valid Unicode text. "
            "Correct the text, or drop the record."
        ) from None
    return text


def content_hash(fields: Mapping[str, str]) -> str:
    """16 hexadecimal digits for the text of a record's input fields, in any order."""
    text = json.dumps(dict(sorted(fields.items())), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
