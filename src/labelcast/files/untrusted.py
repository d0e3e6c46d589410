"""Checks of untrusted paths, and of text that could control a terminal."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from labelcast.errors import InputError

SMALL = 64 * 2**20
"""Bytes of the largest file that is read at once, such as a card or a manifest."""

# Control characters except tab and newline, changes of writing direction, surrogates, and rare line
# ends.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"
    "\ud800-\udfff\ufeff]"
)
_LONG_WORD = re.compile(r"\S{300,}")


def refuse_special(path: Path) -> None:
    """Refuse a pipe, a device or a socket: reading may never end, and writing would replace it."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    except ValueError:
        raise InputError(f"{path}: a path cannot contain a null character.") from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        kind = "a pipe" if stat.S_ISFIFO(mode) else "a device or a socket"
        raise InputError(f"{path}: {kind}, but a file is needed. Give a file's path.")


def refuse_target(path: Path) -> None:
    """Refuse to write to a folder, a pipe, a device or a socket."""
    if str(path) == "-":
        raise InputError("-: standard output is not a file. Give a file's path.")
    refuse_special(path)
    if path.is_dir():
        raise InputError(f"{path}: this is a folder. Give a file's path.")


def refuse_run_file(path: Path) -> None:
    """Refuse a name that a run or a sweep uses for its own files, even one not written yet."""
    own = next((n for n in ("run.json", "sweep.json") if (path.parent / n).exists()), None)
    if own and path.suffix in (".json", ".jsonl", ".npy", ".parquet"):
        raise InputError(
            f"{path}: that folder belongs to labelcast (it has {own}), which keeps its own "
            f"{path.suffix} files there. Choose another folder."
        )


def check_new_folder(path: Path, kind: str) -> None:
    """Refuse a file, and a folder with anything but what a killed first step of a `kind` leaves.

    `kind` is run or sweep, and its first file is `KIND.json`.
    """
    if not path.exists():
        return
    if not path.is_dir():
        raise InputError(f"{path}: a file; a folder is needed.")
    names = [entry.name for entry in path.iterdir()]
    if not all(name == ".lock" or name.startswith(f".{kind}.json.") for name in names):
        raise InputError(
            f"{path}: the folder is not empty and is not a {kind}. Choose another --out."
        )


def refuse_links(folder: Path) -> None:
    """Refuse a folder with a link to outside, through which a run could overwrite other files.

    The folder itself may be a link, since the user named it.
    """
    inside = Path(os.path.realpath(folder))
    for path in folder.rglob("*"):
        if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(inside):
            raise InputError(
                f"{path}: a link that leads out of its folder, so other files could be read or "
                "overwritten. Replace it with what it points to, or delete it."
            )


def read_small(path: Path, limit: int = SMALL) -> str:
    """Read a UTF-8 text file; raises InputError if it is larger than `limit` bytes or no file."""
    refuse_special(path)
    size = path.stat().st_size
    if size > limit:
        raise InputError(
            f"{path}: {size:,} bytes long, but a file of this kind has at most {limit:,}. "
            "Is it the right one?"
        )
    return path.read_text(encoding="utf-8")


def escaped(text: str) -> str:
    r"""Escape characters that could control a terminal, except tabs and newlines.

    >>> escaped("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """

    def written_out(found: re.Match[str]) -> str:
        code = ord(found[0])
        return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"

    return _CONTROLS.sub(written_out, text)


def one_line(text: str) -> str:
    r"""Escape newlines too, and cut a very long word in the middle.

    >>> one_line("a\nlabelcast: all is well")
    'a\\nlabelcast: all is well'
    """
    text = escaped(text.replace("\n", "\\n"))
    return _LONG_WORD.sub(lambda found: f"{found[0][:120]}...{found[0][-120:]}", text)


def escaped_json(text: str) -> str:
    r"""The same JSON value without characters that could control a terminal.

    >>> escaped_json('["\x9b"]')
    '["\\u009b"]'
    """
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
