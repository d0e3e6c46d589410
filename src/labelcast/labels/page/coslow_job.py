"""Measure CoS-Low of a run in a separate process that the label page can stop."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Lock, Thread
from typing import Literal

from labelcast.errors import LabelcastError, brief

_GRACE = 5.0


@dataclass(frozen=True)
class JobStatus:
    """The state of the job: its stage while it runs, and in stage gradients the examples done."""

    state: Literal["idle", "running", "done", "failed", "stopped"] = "idle"
    stage: str = ""
    done: int = 0
    total: int = 0
    message: str = ""


class CoslowJob:
    """CoS-Low of one run; at most one measurement at a time."""

    def __init__(self, run: Path) -> None:
        """Take a run's folder; nothing is started."""
        self._run, self._lock, self.status = run, Lock(), JobStatus()
        self._process: BaseProcess | None = None

    def start(self) -> JobStatus:
        """Start it, unless it is running already."""
        with self._lock:
            if self.status.state == "running":
                return self.status
            context = get_context("spawn")
            reports, sender = context.Pipe(duplex=False)
            process = context.Process(target=_run_job, args=(self._run, sender), daemon=True)
            process.start()
            sender.close()
            self._process = process
            self.status = JobStatus("running", "loading")
        Thread(target=self._follow, args=(process, reports), daemon=True).start()
        return self.status

    def stop(self) -> JobStatus:
        """Stop it, if it is running; returns when its process has ended."""
        with self._lock:
            process = self._process
            if process is None or self.status.state != "running":
                return self.status
            self.status = JobStatus("stopped")
        process.terminate()
        process.join(_GRACE)
        if process.is_alive():
            process.kill()
            process.join()
        return self.status

    def _follow(self, process: BaseProcess, reports: Connection) -> None:
        with reports:
            try:
                while True:
                    self._set(process, reports.recv())
            except (EOFError, OSError):
                process.join()
        ended = f"the process ended with status {process.exitcode}."
        self._set(process, JobStatus("failed", message=ended))

    def _set(self, process: BaseProcess, status: JobStatus) -> None:
        with self._lock:
            # A stopped job, or one that has reported its end, keeps its status.
            if self._process is process and self.status.state == "running":
                self.status = status


def _run_job(run: Path, reports: Connection) -> None:
    # Ctrl-C in the terminal goes to the server, which stops this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Otherwise what libraries print appears in the user's terminal.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        _measure(run, reports)
        reports.send(JobStatus("done"))
    except BrokenPipeError:
        pass  # the server was killed; nobody is waiting for a result
    except MemoryError:
        message = "out of memory. Try `labelcast coslow` with a smaller --batch-size."
        reports.send(JobStatus("failed", message=message))
    except Exception as error:
        kind = "" if isinstance(error, LabelcastError) else f"{type(error).__name__}: "
        reports.send(JobStatus("failed", message=kind + brief(error, 2000)))


def _measure(path: Path, reports: Connection) -> None:
    """Measure CoS-Low and save it in the run, as `labelcast coslow RUN` does."""
    from labelcast.models.coslow import cos_low
    from labelcast.models.loading import load_model
    from labelcast.runs.coslow import run_examples, save
    from labelcast.runs.run import Run

    run = Run.open(path)
    lm = load_model(run.model.name)
    # Before the examples are read: if a label changes later, the result counts as stale.
    labels = run.labels_digest("low")
    examples = run_examples(run, lm)
    status = JobStatus("running", "gradients", total=len(examples))

    def progress(more: int) -> None:
        nonlocal status
        status = replace(status, done=status.done + more)
        reports.send(status)

    progress(0)
    result = cos_low(lm, examples, progress=progress)
    reports.send(JobStatus("running", "saving"))
    save(run, result, labels=labels)
