"""Atomic file writes, flushed to the disk."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PART = ".part"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`; the file under it takes that place when the block ends well.

    It is flushed to the disk first, and the folder after. What a process that was killed here has
    left is deleted before.

    Raises:
        OSError: the folder cannot be written, or the disk is full; the old file stays.
    """
    clear(entry for entry in path.parent.iterdir() if _is_part(entry, path.name))
    part = path.with_name(f".{path.name}.{os.getpid()}{_PART}")
    try:
        with part.open("ab") as held:
            # As long as it is held, no other process takes it for one that was left.
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
    """Temporary files in a folder and those in it, whosever they are."""
    return (path for path in folder.rglob(f".*{_PART}") if _is_part(path))


def clear(parts: Iterable[Path]) -> None:
    """Delete temporary files that no process holds any more; what cannot be deleted stays."""
    for part in parts:
        with suppress(OSError):
            if _is_left(part):
                part.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; the names of new ones are on the disk afterwards."""
    missing = []
    place = folder
    while not place.exists() and place != place.parent:
        missing.append(place)
        place = place.parent
    folder.mkdir(parents=True, exist_ok=True)
    for made in reversed(missing):
        sync_folder(made.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's names to the disk, where its file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _is_part(path: Path, name: str | None = None) -> bool:
    """Whether a path is a temporary one, of the file of that name where one is given."""
    stem, _, process = path.name.removesuffix(_PART).rpartition(".")
    right = path.name.endswith(_PART) and process.isdecimal() and stem.startswith(".")
    return right and (name is None or stem == f".{name}")


def _is_left(part: Path) -> bool:
    """Whether the process that wrote a temporary file is gone."""
    descriptor = os.open(part, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
