"""Untrusted text as the report shows it: valid in HTML, and shortened."""

from __future__ import annotations

from typing import NamedTuple

_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n\r"}
_REPLACED = (*range(0x80, 0xA0), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF)
_CLEAN = _PICTURES | {0x7F: 0x2421} | dict.fromkeys(_REPLACED, 0xFFFD)


class Shown(NamedTuple):
    """A text, and how many characters are left out at its end."""

    text: str
    cut: int


def clean(text: str) -> str:
    r"""Replace what HTML cannot hold: control characters become their pictures.

    >>> clean("a\x00b")
    'a␀b'
    """
    return text.translate(_CLEAN)


def shorten(text: str, limit: int) -> Shown:
    """Clean a text and cut it after `limit` characters.

    >>> shorten("abcdef", 4)
    Shown(text='abcd', cut=2)
    """
    return Shown(clean(text[:limit]), max(len(text) - limit, 0))
