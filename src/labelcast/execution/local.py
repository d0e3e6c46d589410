"""Run jobs in processes of this machine, side by side.

A process is kept for the following jobs, so that a model is loaded once. If it dies, that try of
its job has failed and the next job gets a new process. It ends when its parent does.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from multiprocessing import connection, current_process, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Generic

from labelcast.errors import InputError
from labelcast.execution.workers import Ended, Job, Moved, R, Reporter, Started
from labelcast.files.json_files import disk_faults
from labelcast.models.memory import limit_to_share

_WAIT = 1.0
_GRACE = 5.0


@dataclass
class _Worker:
    """A slot for one process, and the job that it runs now."""

    name: str
    gpus: str | None
    process: BaseProcess | None = None
    pipe: Connection | None = None
    job: int | None = None


class LocalWorkers(Generic[R]):
    """Processes on this machine, one for each of the `slots` jobs that run at the same time.

    `devices` is the number of GPUs, or groups of them, that they share; 1 without a GPU.
    """

    def __init__(
        self,
        size: int | None = None,
        *,
        gpus_per_job: float = 1.0,
        device: str = "auto",
        logs: Path | None = None,
    ) -> None:
        """Prepare; a process starts with its first job.

        Args:
            size: how many jobs run side by side; None means as many as the GPUs have room for.
            gpus_per_job: GPUs or a fraction of one for each job, if there are any.
            device: ``cuda:1`` gives the jobs only that GPU, ``cpu`` none.
            logs: a folder for what the processes print; None discards it.
        """
        if size is not None and size < 1:
            raise InputError(f"--jobs {size}: must be at least 1.")
        gpus = visible_gpus(device)
        groups, room = gpu_groups(gpus, gpus_per_job)
        self.slots = size or room
        self.devices = max(1, min(len(groups), self.slots))
        count = f"{len(gpus) or 'no'} GPU{'s' * (len(gpus) != 1)}"
        self.where = f"{self.slots} at once on this machine, {count}."
        # More jobs than were asked for share a GPU.
        crowd = min(1.0, len(groups) / self.slots) if groups else 1.0
        self._logs, self._share = logs, min(gpus_per_job, crowd)
        self._workers = [
            _Worker(f"worker {n + 1}", groups[n % len(groups)] if groups else None)
            for n in range(self.slots)
        ]

    def free(self) -> bool:
        """Whether a worker has no job."""
        return any(worker.job is None for worker in self._workers)

    def start(self, number: int, job: Job[R]) -> None:
        """Give a job to the first free worker."""
        worker = next(worker for worker in self._workers if worker.job is None)
        worker.job = number
        try:
            self._pipe(worker).send((number, job))
        except OSError:
            # The process died while it was idle, so this job has not failed.
            self._stop(worker)
            self._pipe(worker).send((number, job))

    def wait(self) -> list[Started | Moved | Ended[R]]:
        """What the workers report, and which of them have died."""
        busy = {w.pipe: w for w in self._workers if w.pipe is not None and w.job is not None}
        events: list[Started | Moved | Ended[R]] = []
        for pipe in connection.wait(list(busy), timeout=_WAIT):
            worker = busy[pipe]  # type: ignore[index]
            assert worker.pipe is not None and worker.job is not None
            try:
                event = worker.pipe.recv()
            except (EOFError, OSError):
                event = Ended(worker.job, None, self._stop(worker))
            if isinstance(event, Ended):
                worker.job = None
            events.append(event)
        return events

    def close(self) -> None:
        """Stop the processes: busy ones at once, idle ones as they see the pipe close."""
        for worker in self._workers:
            if worker.process is not None and worker.job is not None:
                worker.process.kill()
            if worker.pipe is not None:
                worker.pipe.close()
        for worker in self._workers:
            self._stop(worker)

    def _pipe(self, worker: _Worker) -> Connection:
        """The pipe to a worker's process; starts the process if there is none."""
        if worker.pipe is None:
            # A new interpreter: a fork would share the parent's threads and its GPU.
            context = get_context("spawn")
            ours, theirs = context.Pipe()
            log = self._logs and self._logs / f"{worker.name.replace(' ', '-')}.log"
            if log is not None:
                with disk_faults(log):
                    log.parent.mkdir(parents=True, exist_ok=True)
            served = (theirs, worker.gpus, self._share, log)
            worker.process = context.Process(target=_serve, args=served, name=worker.name)
            with _visible(worker.gpus):
                worker.process.start()
            theirs.close()
            worker.pipe = ours
        return worker.pipe

    def _stop(self, worker: _Worker) -> str:
        """Wait for a process to end; returns how it died."""
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
        code = process.exitcode or 0
        if code == -signal.SIGKILL:
            return "the worker was killed (signal 9); most often the machine is out of memory"
        return f"the worker died ({f'signal {-code}' if code < 0 else f'exit status {code}'})"


@contextmanager
def _visible(gpus: str | None) -> Iterator[None]:
    """Let processes that start now see only these GPUs: what they import may ask for GPUs."""
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus
    try:
        yield
    finally:
        if before is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = before
        elif gpus is not None:
            del os.environ["CUDA_VISIBLE_DEVICES"]


def _serve(pipe: Connection, gpus: str | None, share: float, log: Path | None) -> None:
    """Run in a worker's process: read jobs from the pipe, and send their events."""
    if gpus is not None:
        limit_to_share(share)
    _redirect_output(log)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            number, job = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(Started(number, current_process().name))
        pipe.send(Ended(number, job.run(Reporter(number, pipe.send))))


def _end_with_parent() -> None:
    """End this process when its parent is gone, even during a training step."""
    parent: Any = parent_process()
    connection.wait([parent.sentinel])
    os._exit(1)


def _redirect_output(log: Path | None) -> None:
    """Send what jobs print to the log; standard output is for the command's result."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    target = os.open(os.devnull if log is None else log, flags, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_gpus(device: str = "auto") -> tuple[str, ...]:
    """The GPUs that jobs may use, as CUDA_VISIBLE_DEVICES names them.

    ``cuda:1`` is only the second, and ``cpu`` none. Raises InputError if there is no such GPU.
    """
    if device == "cpu":
        return ()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        # CUDA ignores what follows a number that names no GPU.
        none = ("", "-1", "NoDevFiles")
        gpus = tuple(takewhile(lambda name: name not in none, re.split(r"\s*,\s*", named.strip())))
    else:
        import torch

        gpus = tuple(str(number) for number in range(torch.cuda.device_count()))
    number = device.removeprefix("cuda:")
    if not number.isdigit():
        return gpus
    if int(number) >= len(gpus):
        raise InputError(f"--device {device}: not available here (GPUs: {len(gpus)}).")
    return gpus[int(number) : int(number) + 1]


def gpu_groups(gpus: Sequence[str], per_job: float) -> tuple[tuple[str, ...], int]:
    """The groups of GPUs that jobs get, and how many jobs run at once.

    >>> gpu_groups(("0", "1"), 0.5)
    (('0', '1'), 4)
    >>> gpu_groups(("0", "1", "2"), 2)
    (('0,1',), 1)
    >>> gpu_groups((), 1)
    ((), 1)
    """
    many = max(1, int(per_job))
    groups = [gpus[first : first + many] for first in range(0, len(gpus), many)]
    complete = tuple(",".join(group) for group in groups if len(group) == many)
    if gpus and not complete:
        raise InputError(f"--gpus-per-job {per_job:g}: this machine has {len(gpus)}.")
    return complete, max(1, int(len(complete) * (1 / per_job if per_job < 1 else 1) + 1e-9))
