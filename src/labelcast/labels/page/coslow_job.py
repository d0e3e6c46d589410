"""The one long job that the page can start: CoS-Low, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Thread
from typing import IO, Any

import labelcast

_PATIENCE = 5.0


@dataclass(frozen=True)
class Status:
    """How far the job is.

    Attributes:
        state: idle, running, done, failed or stopped.
        stage: loading, gradients or saving, while it runs.
        done, total: examples, in the stage gradients.
        message: what went wrong.
    """

    state: str = "idle"
    stage: str = ""
    done: int = 0
    total: int = 0
    message: str = ""


class Job:
    """CoS-Low of one run; at most one at a time."""

    def __init__(self, run: Path) -> None:
        """Take the run's folder; nothing is started yet."""
        self._run = run
        self._lock = Lock()
        self._status = Status()
        self._process: subprocess.Popen[str] | None = None

    @property
    def status(self) -> Status:
        """How far it is."""
        return self._status

    def start(self) -> Status:
        """Start it, unless it runs already."""
        with self._lock:
            if self._status.state == "running":
                return self._status
            # The package that runs here, and never a file of that name in the working folder.
            home = str(Path(labelcast.__file__).parents[1])
            paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
            said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "labelcast.labels.page.coslow_process",
                    str(self._run),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                encoding="utf-8",
                env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
                # Ctrl-C in the terminal goes to the server, which stops the job itself.
                start_new_session=True,
            )
            self._process = process
            self._status = Status("running", "loading")
        Thread(target=self._follow, args=(process, said), daemon=True).start()
        return self._status

    def stop(self) -> Status:
        """Stop it, if it runs; returns when its process has ended."""
        with self._lock:
            process = self._process
            if process is None or self._status.state != "running":
                return self._status
            self._status = Status("stopped")
        process.terminate()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return self._status

    def _follow(self, process: subprocess.Popen[str], said: IO[str]) -> None:
        assert process.stdout is not None
        error = ""
        with process.stdout, said:
            for line in process.stdout:
                facts = _facts(line)
                error = str(facts.pop("error", error))
                if facts:
                    self._set(process, Status("running", **facts))
            if process.wait() == 0:
                self._set(process, Status("done"))
            else:
                said.seek(0)
                last = [line for line in said.read().splitlines() if line.strip()][-1:]
                message = error or "".join(last) or f"it ended with status {process.returncode}."
                self._set(process, Status("failed", message=message))

    def _set(self, process: subprocess.Popen[str], status: Status) -> None:
        with self._lock:
            # One that was stopped has nothing more to say.
            if self._process is process and self._status.state == "running":
                self._status = status


def _facts(line: str) -> dict[str, Any]:
    """What a line of the job tells, without what the page does not show."""
    try:
        facts = json.loads(line)
    except ValueError:
        return {}
    shown = ("stage", "done", "total", "error")
    return {key: facts[key] for key in shown if key in facts} if isinstance(facts, dict) else {}
