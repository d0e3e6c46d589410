"""Disks that are mounted for a test: small ones, and folders that take no writes."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(*options: str) -> Iterator[None]:
    """Something mounted; skips where that is not allowed."""
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, *options], capture_output=True).returncode:
        pytest.skip("needs the right to mount a disk")
    try:
        yield
    finally:
        # A worker that is told to end may take a moment.
        for rest in range(9, -1, -1):
            done = subprocess.run(["umount", options[-1]], capture_output=True, check=rest == 0)
            if done.returncode == 0:
                break
            time.sleep(1)


@contextmanager
def disk(folder: Path, options: str) -> Iterator[Path]:
    """A small disk of its own, such as ``size=32k``; skips where none can be mounted."""
    folder.mkdir()
    with mounted("-t", "tmpfs", "-o", options, "tmpfs", str(folder)):
        yield folder
