"""Run jobs side by side on any workers: their order, retries and events."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

LOSSES = 3
"""How often a job may be lost with its machine before that counts as a failure."""


@dataclass(frozen=True)
class JobProgress:
    """How far a job is: steps or examples done, and the last validation loss."""

    stage: str
    done: int
    total: int
    loss: float | None = None


ReportProgress = Callable[[JobProgress], None]


class Result(Protocol):
    """What a job returns."""

    @property
    def error(self) -> str:
        """Why the job failed; empty if it succeeded."""


R = TypeVar("R", bound=Result)
R_co = TypeVar("R_co", bound=Result, covariant=True)


class Job(Protocol[R_co]):
    """Work that can be pickled and run in another process or on another machine."""

    def run(self, report: ReportProgress) -> R_co:
        """Do the work; called in the worker's process. Errors are part of the result."""

    def died(self, fault: str, seconds: float) -> R_co:
        """The result if the worker's process dies."""

    def after_loss(self, losses: int) -> Job[R_co]:
        """The job to run after it was lost with its machine so many times.

        The lost process may still be running, so the new job must not write to the same files.
        """


@dataclass(frozen=True)
class Started:
    """Job `number` has started at a place, such as ``worker 1`` or ``node 4f2a``."""

    number: int
    where: str


@dataclass(frozen=True)
class Moved:
    """Job `number` has made progress."""

    number: int
    progress: JobProgress


@dataclass(frozen=True)
class Ended(Generic[R]):
    """One try of job `number` is over.

    Attributes:
        number: position of the job.
        result: what the job returned; None if its process died.
        fault: how the process died.
        lost: whether its machine went down, which does not count as a failure.
    """

    number: int
    result: R | None
    fault: str = ""
    lost: bool = False


@dataclass(frozen=True)
class Retried:
    """Job `number` failed and will be tried again."""

    number: int
    fault: str


Event = Started | Moved | Ended[R] | Retried


class Workers(Protocol[R]):
    """Where jobs run."""

    def free(self) -> bool:
        """Whether another job can start now."""

    def start(self, number: int, job: Job[R]) -> None:
        """Start a job; its events carry `number`."""

    def wait(self) -> list[Started | Moved | Ended[R]]:
        """Events since the last call; waits about a second if there are none."""

    def close(self) -> None:
        """Stop everything that still runs. May be called twice."""


@dataclass
class _Tries:
    """The tries of one job so far."""

    failures: int = 0
    losses: int = 0
    begun: float = field(default_factory=time.monotonic)


def run_jobs(
    workers: Workers[R],
    jobs: Sequence[Job[R]],
    *,
    retries: int = 1,
    on_result: Callable[[int, R], None],
    on_event: Callable[[Event[R]], None] = lambda event: None,
) -> None:
    """Run every job and pass on one result for each, failed ones after their retries.

    A failed job is tried again after the jobs that are waiting. A job that is lost with its
    machine is tried again up to `LOSSES` times before that counts as a failure.

    Args:
        workers: where the jobs run; closed at the end, also after an error.
        jobs: started in this order.
        retries: how often a failed job is tried again.
        on_result: called once per job with its position and result, as jobs end.
        on_event: called with every event.
    """
    waiting = deque(range(len(jobs)))
    tries = [_Tries() for _ in jobs]
    left = len(jobs)
    try:
        while left:
            while waiting and workers.free():
                number = waiting.popleft()
                tries[number].begun = time.monotonic()
                losses = tries[number].losses
                job = jobs[number]
                workers.start(number, job.after_loss(losses) if losses else job)
            for event in workers.wait():
                on_event(event)
                if not isinstance(event, Ended):
                    continue
                number, result = event.number, event.result
                if result is None:
                    seconds = time.monotonic() - tries[number].begun
                    result = jobs[number].died(event.fault, seconds)
                if result.error and _try_again(tries[number], event.lost, retries):
                    waiting.append(number)
                    on_event(Retried(number, result.error))
                    continue
                left -= 1
                on_result(number, result)
    finally:
        workers.close()


def _try_again(tries: _Tries, lost: bool, retries: int) -> bool:
    """Count a failed try and say whether another one follows."""
    if lost and tries.losses < LOSSES:
        tries.losses += 1
        return True
    tries.failures += 1
    return tries.failures <= retries
