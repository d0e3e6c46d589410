"""JSON on its way to a parser, looked at for what the parser would not bear or would not tell.

A stream that is not valid is for the parser to refuse.
"""

from __future__ import annotations

import re
from typing import IO

DEEPEST = 500
"""Levels of nesting. A parser that names the path of every value takes their square in time."""

# What no escape that is whole can be cut by: a pair of two halves, and the run before it.
_TAIL = 24
# Escapes that are whole: two halves of a pair, what is no half, and the short ones.
_WHOLE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u(?![dD][89a-fA-F])|\\[^u]",
    re.DOTALL,
)
_FIRST_HALF = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\Z")
_BUT_MARKS = bytes(set(range(256)) - set(b'"[]{}'))


class StreamFault(ValueError):
    """What is wrong with the stream, in a sentence without its place."""


class JsonStream:
    """A binary stream of JSON that breaks off where it nests too deep or holds half a character.

    Memory: one piece that the parser asks for at a time.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._rest = b""
        self._depth = 0
        self._in_string = False

    def read(self, size: int = -1) -> bytes:
        r"""The next bytes, none of which was not looked at; what may be cut short is held back.

        Raises:
            StreamFault: nested too deep, or half of a pair of ``\u`` escapes alone.
        """
        while True:
            piece = self._stream.read(size)
            text = self._rest + piece
            cut = _last_whole(text) if piece else len(text)
            self._rest = text[cut:]
            if cut or not piece:
                self._look(_WHOLE.sub(b"", text[:cut]))
                return text[:cut]

    def _look(self, text: bytes) -> None:
        """Look at a piece without the escapes that are whole."""
        if b"\\u" in text:
            half = text[text.index(b"\\u") :][:6].decode("ascii", "replace")
            raise StreamFault(
                f"a text holds {half}, half of a pair, so it is not valid Unicode. Mend the text, "
                "or drop the record."
            )
        parts = text.translate(None, _BUT_MARKS).split(b'"')
        brackets = b"".join(parts[self._in_string :: 2])
        self._in_string ^= len(parts) % 2 == 0
        levels = 0
        # Every round takes away the innermost level; what is left closes, then opens.
        while len(inner := brackets.replace(b"{}", b"").replace(b"[]", b"")) < len(brackets):
            brackets, levels = inner, levels + 1
            if levels > DEEPEST:
                break
        opened = brackets.count(b"[") + brackets.count(b"{")
        self._depth += 2 * opened - len(brackets)
        if max(self._depth, levels) > DEEPEST:
            raise StreamFault(f"nested too deep (more than {DEEPEST:,} levels).")


def _last_whole(text: bytes) -> int:
    """A place near the end that no escape stands across."""
    first = text.find(b"\\", max(len(text) - _TAIL, 0))
    if first < 0:
        return len(text)
    cut = len(text[:first].rstrip(b"\\"))
    if _FIRST_HALF.search(text[:cut][-6:]):
        cut = len(text[: cut - 6].rstrip(b"\\"))
    return cut
