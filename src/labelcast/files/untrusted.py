"""Paths and text of other people, made harmless before they are opened or shown.

What a read would hang on, what a write must not replace, and what could steer a terminal.
"""

from __future__ import annotations

import os
import re
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from labelcast.errors import InputError

SMALL = 64 * 2**20
"""Bytes of the largest file that is read whole: a card, a manifest, a folder of results."""

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
# Controls but tab and newline, what turns the direction of writing, halves of a pair, and the
# ends of lines that only some programs take for such.
_STEERS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"
    "\ud800-\udfff\ufeff]"
)
_LONGEST_WORD = 300
_WORD = re.compile(rf"\S{{{_LONGEST_WORD},}}")


def refuse_special(path: Path) -> None:
    """Refuse a pipe, a device or a socket; what is not there or not to be had is not told here.

    A pipe that gives nothing would be waited for without end, and a device may never end. As a
    target, either would be replaced by a file.

    Raises:
        InputError: it is one of these, or the path holds a null character.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    except ValueError:
        raise InputError(f"{path}: a null character stands in it, so it names no file.") from None
    for is_kind, name in _KINDS:
        if is_kind(mode):
            raise InputError(f"{path}: {name}, where a file is needed. Give a file's path.")


def refuse_target(path: Path) -> None:
    """Refuse a path that no file can be written under: a folder, or what `refuse_special` refuses.

    Raises:
        InputError: it is one of these.
    """
    refuse_special(path)
    if path.is_dir():
        raise InputError(f"{path}: a folder is there. Give a file's path.")


def refuse_links(folder: Path) -> None:
    """Refuse a folder of a stranger that holds a link out of it, at any depth.

    What is written under such a name would be written there, and what is shown read from there.
    The folder itself may be a link: it is the user who names it.

    Raises:
        InputError: it holds one; the path of the first.
    """
    inside = Path(os.path.realpath(folder))
    for path in folder.rglob("*"):
        if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(inside):
            raise InputError(
                f"{path}: a link that leads out of its folder, where files of other people could "
                "be read or written. Put what it leads to in its place, or delete it."
            )


def read_small(path: Path, limit: int = SMALL) -> str:
    """The text of a file that is to be read whole.

    Args:
        path: of the file.
        limit: bytes above which it is refused.

    Raises:
        InputError: no file but a pipe or the like, or a larger one.
        OSError: it is not there or cannot be read.
        UnicodeDecodeError: it is not UTF-8.
    """
    refuse_special(path)
    size = path.stat().st_size
    if size > limit:
        raise InputError(
            f"{path}: {size:,} bytes long, and a file of this kind has at most {limit:,}. "
            "Is it the right one?"
        )
    return path.read_text(encoding="utf-8")


@contextmanager
def no_longer_than(seconds: float) -> Iterator[None]:
    """Breaks off what is done inside after so many seconds; in the main thread alone.

    Raises:
        TimeoutError: the time is over.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # no signal reaches another thread
        return

    def over(number: int, frame: object) -> NoReturn:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def escaped(text: str) -> str:
    r"""Text that cannot steer a terminal: what could is written out, as in ``\x1b``.

    Tabs and newlines stay.

    >>> escaped("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return _STEERS.sub(lambda found: _written_out(found[0]), text)


def one_line(text: str) -> str:
    r"""The same on one line; a word that is too long for any screen is cut in its middle.

    >>> one_line("a\nlabelcast: all is well")
    'a\\nlabelcast: all is well'
    """
    text = escaped(text.replace("\n", "\\n"))
    return _WORD.sub(lambda found: f"{found[0][:120]}...{found[0][-120:]}", text)


def escaped_json(text: str) -> str:
    r"""JSON text that cannot steer a terminal, and means the same.

    >>> escaped_json('["\x9b"]')
    '["\\u009b"]'
    """
    return _STEERS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _written_out(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
