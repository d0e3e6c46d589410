"""Run the command line as a user does, in this process or in a new one."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from labelcast.cli.app import main

SOURCE = Path(__file__).resolve().parents[1] / "src"


@dataclass(frozen=True)
class Models:
    """Folders of small models: the tiny one, one of another depth, one without a chat template."""

    tiny: Path
    other: Path
    plain: Path


@dataclass(frozen=True)
class Outcome:
    """The exit status of a command and what it wrote."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON value."""
        return json.loads(self.out)


def labelcast(*args: object, encoding: str = "utf-8") -> Outcome:
    """Run a command in this process."""
    return run(main, *args, encoding=encoding)


def run(program: Callable[[], None], *args: object, encoding: str = "utf-8") -> Outcome:
    """Run a program's entry point in this process."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    argv = ["labelcast", *map(str, args)]
    status = 0
    with patch.object(sys, "argv", argv), redirect_stdout(out), redirect_stderr(err):
        try:
            program()
        except SystemExit as error:
            status = int(error.code or 0)
    return Outcome(status, *(_text(stream, encoding) for stream in (out, err)))


def in_process(
    code_or_args: Sequence[object], *, code: str | None = None, **environment: str
) -> Outcome:
    """Run a command in a new process; `code` runs before it in the same interpreter."""
    argv = ["-m", "labelcast"]
    if code is not None:
        argv = ["-c", f"{code}\nfrom labelcast.cli.app import main\nmain()"]
    done = subprocess.run(
        [sys.executable, *argv, *map(str, code_or_args)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(SOURCE)} | environment,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def check_message(done: Outcome, status: int, says: tuple[str, ...]) -> None:
    """Check the exit status, one line on stderr with all of `says`, and an empty stdout."""
    assert done.status == status, done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    messages = [line for line in done.err.splitlines() if line.startswith("labelcast: ")]
    assert len(messages) == 1, done.err
    assert done.err.rstrip("\n").endswith(messages[0])
    for text in says:
        assert text in messages[0]
    assert len(messages[0]) < 700


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """The time and content of every file below a folder, except locks."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def _text(stream: io.TextIOWrapper, encoding: str) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode(encoding)


def fill(place: Path, answers: dict[int, str], name: str = "filled.jsonl") -> Path:
    """Write a label file with answers for some of the drawn examples."""
    rows = [json.loads(line) for line in (place / "run/to_label.jsonl").read_text().splitlines()]
    for number, row in enumerate(rows):
        row["label"] = answers.get(number, "")
    (place / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return place / name
