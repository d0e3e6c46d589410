"""Conversations: lists of chat turns, and the prompt and answer in them.

A turn is ``{"role": ..., "content": ...}``, or in ShareGPT files ``{"from": ..., "value": ...}``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from labelcast.errors import InputError

Turn = Mapping[str, str]
"""A turn with `role` (system, user or assistant) and `content`."""
PARTS = ("prompt", "answer")
_ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model"), "assistant"),
}


def is_conversation(value: object) -> bool:
    """Whether a value is a list of turns."""
    return isinstance(value, list | tuple) and bool(value) and all(map(_is_turn, value))


def turns(value: Sequence[Any], where: str) -> list[Turn]:
    """The turns of a conversation, in one form.

    Raises:
        InputError: a role is unknown, or a turn has no text.
    """
    found: list[Turn] = []
    for number, turn in enumerate(value, 1):
        role, content = _role(turn), turn.get("content", turn.get("value"))
        if role not in _ROLES:
            raise InputError(
                f"{where}, turn {number}: the role {role[:40]!r} is none of system, user and "
                "assistant. Drop the record, or that turn."
            )
        found.append({"role": _ROLES[role], "content": _text(content, f"{where}, turn {number}")})
    return found


def part(value: Sequence[Any], name: str) -> Any:
    """The turns before the last answer (``prompt``), or that answer; None if it has none."""
    is_answered = _ROLES.get(_role(value[-1])) == "assistant"
    if name == "prompt":
        return list(value[:-1] if is_answered else value)
    content = value[-1].get("content", value[-1].get("value")) if is_answered else None
    text = _joined(content)
    return content if text is None else text


def as_script(value: Sequence[Any], where: str) -> str:
    """A conversation as text for people; a user's only turn has no role before it."""
    found = turns(value, where)
    if len(found) == 1:
        return found[0]["content"]
    return "\n\n".join(f"{turn['role'].capitalize()}: {turn['content']}" for turn in found)


def _is_turn(value: object) -> bool:
    pairs = ({"role", "content"}, {"from", "value"})
    return isinstance(value, Mapping) and any(keys <= value.keys() for keys in pairs)


def _role(turn: Mapping[str, Any]) -> str:
    return str(turn.get("role", turn.get("from"))).lower()


def _text(content: object, where: str) -> str:
    """The text of a turn, which may also come in parts: ``[{"type": "text", "text": ...}]``."""
    text = _joined(content)
    if text is None:
        raise InputError(f"{where}: it has no text, or more than text. Drop the record.")
    return text


def _joined(content: object) -> str | None:
    """A turn's text, each part on a new line; None if anything is not text."""
    parts = content if isinstance(content, list | tuple) else [{"text": content}]
    texts = [one.get("text") if isinstance(one, Mapping) else None for one in parts]
    return "\n".join(map(str, texts)) if all(isinstance(text, str) for text in texts) else None
