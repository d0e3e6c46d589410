"""Atomic file writes, flushed to the disk."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PART = re.compile(r"\.(.+)\.\d+\.part")
"""The name of a temporary file contains that of the file and of the process that writes it."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path that is flushed and renamed to `path` when the block succeeds.

    Temporary files that a killed process left behind for `path` are deleted first.

    Raises:
        OSError: the folder cannot be written, or the disk is full; the old file stays.
    """
    parts = ((_PART.fullmatch(entry.name), entry) for entry in path.parent.iterdir())
    clear(entry for match, entry in parts if match and match[1] == path.name)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("ab") as held:
            # The lock tells other processes that this file is still being written.
            with suppress(OSError):
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield part
            with part.open("rb") as stream:
                os.fsync(stream.fileno())
            part.replace(path)
            sync_folder(path.parent)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def parts_below(folder: Path) -> Iterator[Path]:
    """All temporary files in a folder, at any depth."""
    return (path for path in folder.rglob(".*.part") if _PART.fullmatch(path.name))


def clear(parts: Iterable[Path]) -> None:
    """Delete the temporary files that no process is writing any more."""
    for part in parts:
        with suppress(OSError), part.open("r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, and flush their names to the disk."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in reversed(missing):
        sync_folder(made.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's names to the disk, if its file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
