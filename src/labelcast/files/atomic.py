"""Atomic file writes, flushed to the disk, and locks between processes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock

_PART = re.compile(r"\.(.+)\.\d+\.part")
"""The name of a temporary file contains that of the file and of the process that writes it."""


def lock(path: Path, wait: float = -1) -> BaseFileLock:
    """A lock between processes on a file, which is made and emptied when the lock is taken.

    Taking it waits `wait` seconds for another process (negative: forever), then raises
    filelock's Timeout; OSError says that the file system has no locks.
    """
    from filelock import FileLock

    return FileLock(path, timeout=wait, preserve_lock_file=True)


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
        with ExitStack() as held:
            # The lock tells other processes that this file is still being written.
            with suppress(OSError):
                held.enter_context(lock(part, wait=0))
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
        with suppress(OSError), lock(part, wait=0):
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
