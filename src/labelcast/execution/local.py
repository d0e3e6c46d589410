"""Jobs in processes of this machine, side by side.

A process is kept for the jobs that follow, so that the model is loaded once; one that dies costs
its job a try and is replaced. A process ends as soon as the one that started it is gone.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from labelcast.errors import InputError
from labelcast.execution.jobs import Ended, Moved, Started
from labelcast.files.json_files import disk_faults
from labelcast.sweeps.job import Job, JobResult, Progress
from labelcast.sweeps.run_job import run_job

_PATIENCE = 1.0
_GRACE = 5.0
_BETWEEN_MOVES = 0.5


@dataclass
class _Worker:
    """One place for a process, and the job that it has now."""

    name: str
    environment: dict[str, str]
    process: BaseProcess | None = None
    pipe: Connection | None = None
    job: int | None = None


class LocalWorkers:
    """Up to `size` jobs at once on this machine."""

    def __init__(
        self, size: int = 1, *, logs: Path | None = None, gpus: Sequence[str] = ()
    ) -> None:
        """Prepare; a process starts with its first job.

        Args:
            size: how many jobs run side by side.
            logs: a folder for what the processes print; None drops it.
            gpus: values for CUDA_VISIBLE_DEVICES, dealt out in turn; see `shares`.
        """
        self._logs = logs
        self._workers = [
            _Worker(
                f"worker {number + 1}",
                {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {},
            )
            for number in range(size)
        ]

    def free(self) -> bool:
        """Whether a worker has no job."""
        return any(worker.job is None for worker in self._workers)

    def start(self, number: int, job: Job) -> None:
        """Give a job to the first worker that is free."""
        worker = next(worker for worker in self._workers if worker.job is None)
        worker.job = number
        try:
            self._pipe(worker).send(job)
        except OSError:
            # It died while it waited, which is no fault of this job.
            self._forget(worker)
            self._pipe(worker).send(job)

    def wait(self) -> list[Started | Moved | Ended]:
        """What the workers say, and which of them have died."""
        busy = {w.pipe: w for w in self._workers if w.pipe is not None and w.job is not None}
        events: list[Started | Moved | Ended] = []
        for pipe in connection.wait(list(busy), timeout=_PATIENCE):
            worker = busy[pipe]  # type: ignore[index]
            assert worker.job is not None
            try:
                message = worker.pipe.recv()  # type: ignore[union-attr]
            except (EOFError, OSError):
                fault = self._forget(worker)
                events.append(Ended(worker.job, None, fault))
                worker.job = None
                continue
            if isinstance(message, JobResult):
                events.append(Ended(worker.job, message))
                worker.job = None
            elif isinstance(message, Progress):
                events.append(Moved(worker.job, message))
            else:
                events.append(Started(worker.job, worker.name))
        return events

    def close(self) -> None:
        """End the processes: those with a job at once, the others when they have read the end."""
        for worker in self._workers:
            if worker.process is not None and worker.job is not None:
                worker.process.kill()
            if worker.pipe is not None:
                worker.pipe.close()
        for worker in self._workers:
            self._forget(worker)

    def _pipe(self, worker: _Worker) -> Connection:
        """The pipe to a worker's process, which is started where there is none."""
        if worker.pipe is None:
            # A fresh interpreter: a fork would share the parent's threads and its GPU.
            context = get_context("spawn")
            ours, theirs = context.Pipe()
            log = (
                None if self._logs is None else self._logs / f"{worker.name.replace(' ', '-')}.log"
            )
            if log is not None:
                with disk_faults(log):
                    log.parent.mkdir(parents=True, exist_ok=True)
            worker.process = context.Process(
                target=_serve,
                args=(theirs, worker.environment, log),
                name=worker.name,
                daemon=False,
            )
            worker.process.start()
            theirs.close()
            worker.pipe = ours
        return worker.pipe

    def _forget(self, worker: _Worker) -> str:
        """Let a process go; how it died."""
        process, worker.process = worker.process, None
        if worker.pipe is not None:
            worker.pipe.close()
            worker.pipe = None
        if process is None:
            return ""
        process.join(_GRACE)
        if process.exitcode is None:
            process.kill()
            process.join()
        return _fault(process.exitcode or 0)


def _fault(code: int) -> str:
    if code == -signal.SIGKILL:
        return "the worker was killed (signal 9); most often the machine is out of memory"
    return f"the worker died ({f'signal {-code}' if code < 0 else f'exit status {code}'})"


def _serve(pipe: Connection, environment: dict[str, str], log: Path | None) -> None:
    """A worker's life: jobs come through the pipe, events and results go back."""
    os.environ.update(environment)
    _quiet(log)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what a Ctrl-C means
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send("started")
        result = run_job(job, _Reporter(pipe))
        pipe.send(result)


class _Reporter:
    """Sends a job's progress to the driver, not more often than it can be read."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self.last: tuple[str, float] = ("", 0.0)

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        stage, then = self.last
        if progress.stage != stage or now - then > _BETWEEN_MOVES:
            self.last = (progress.stage, now)
            self.pipe.send(progress)


def _end_with_parent() -> None:
    """Ends this process when the driver is gone, even in the middle of a training step."""
    parent: Any = parent_process()
    connection.wait([parent.sentinel])
    os._exit(1)


def _quiet(log: Path | None) -> None:
    """What a job prints goes to its log: the driver's output is its own."""
    target = os.open(
        os.devnull if log is None else log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644
    )
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that jobs may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(name.strip() for name in named.split(",") if name.strip() not in ("", "-1"))
    import torch

    return tuple(str(number) for number in range(torch.cuda.device_count()))


def shares(gpus: Sequence[str], per_job: float) -> tuple[tuple[str, ...], int]:
    """GPUs as jobs get them, and how many jobs they take at once.

    >>> shares(("0", "1"), 0.5)
    (('0', '1'), 4)
    >>> shares(("0", "1", "2"), 2)
    (('0,1',), 1)
    >>> shares((), 1)
    ((), 1)
    """
    many = max(1, int(per_job))
    groups = [gpus[first : first + many] for first in range(0, len(gpus), many)]
    whole = tuple(",".join(group) for group in groups if len(group) == many)
    if gpus and not whole:
        raise InputError(f"--gpus-per-job {per_job:g}: this machine has {len(gpus)}.")
    return whole, max(1, int(len(whole) * (1 / per_job if per_job < 1 else 1) + 1e-9))
