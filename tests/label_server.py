"""Starts the label page in a process, as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from command_line import SOURCE


@dataclass(frozen=True)
class Serving:
    """A running server: its process and the link that it printed."""

    process: subprocess.Popen[str]
    link: str

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.link.split(":")[2].split("/")[0])

    @property
    def origin(self) -> str:
        """Its address without the token."""
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()


@contextmanager
def serving(run: Path, *options: object) -> Iterator[Serving]:
    """Run `labelcast label RUN` until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "labelcast", "label", str(run), "--no-browser", *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
    )
    assert process.stdout is not None
    try:
        link = process.stdout.readline().strip()
        assert link, process.stderr.read() if process.stderr else ""
        yield Serving(process, link)
    finally:
        process.kill()
        process.communicate()
