"""Run jobs side by side on any workers: their order, retries and events."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

LOSSES = 3
"""How often a job may lose its machine before that counts as a failure."""
_BETWEEN_REPORTS = 0.5


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
        """The job to run after this number of lost machines.

        The lost process may still be running, so the new job must not write to the same files.
        """


@dataclass(frozen=True)
class Started:
    """Job `number` has started on, for example, ``worker 1`` or ``node 4f2a``."""

    number: int
    where: str


@dataclass(frozen=True)
class Moved:
    """Job `number` has made progress."""

    number: int
    progress: JobProgress


class Reporter:
    """Sends the progress of job `number` as events, at most twice a second for each stage."""

    def __init__(self, number: int, send: Callable[[Moved], object]) -> None:
        self.number, self.send = number, send
        self.last: tuple[str, float] = ("", 0.0)

    def __call__(self, progress: JobProgress) -> None:
        """Send it, unless the same stage was sent just now."""
        now = time.monotonic()
        stage, then = self.last
        if progress.stage != stage or now - then > _BETWEEN_REPORTS:
            self.last = (progress.stage, now)
            self.send(Moved(self.number, progress))


@dataclass(frozen=True)
class Ended(Generic[R]):
    """One try of job `number` is over; without a result if its process died."""

    number: int
    result: R | None
    fault: str = ""  # how the process died
    lost: bool = False  # whether its machine went down


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


def run_jobs(
    workers: Workers[R],
    jobs: Mapping[int, Job[R]],
    *,
    retries: int = 1,
    on_result: Callable[[int, R], None],
    on_event: Callable[[Event[R]], None] = lambda event: None,
) -> None:
    """Run every job and pass on one result for each, failed ones after their retries.

    A failed job is tried again after the jobs that are waiting. A job that loses its machine is
    tried again up to `LOSSES` times before that counts as a failure.

    Args:
        workers: where the jobs run; closed at the end, also after an error.
        jobs: by number, started in this order.
        retries: how often a failed job is tried again.
        on_result: called once per job with its number and result, as jobs end.
        on_event: called with every event.
    """
    waiting = deque(jobs)
    started: dict[int, float] = {}
    losses, failures = Counter[int](), Counter[int]()
    left = len(jobs)
    try:
        while left:
            while waiting and workers.free():
                number = waiting.popleft()
                job, lost = jobs[number], losses[number]
                started[number] = time.monotonic()
                workers.start(number, job.after_loss(lost) if lost else job)
            for event in workers.wait():
                on_event(event)
                if not isinstance(event, Ended):
                    continue
                number, result = event.number, event.result
                if result is None:
                    seconds = time.monotonic() - started[number]
                    result = jobs[number].died(event.fault, seconds)
                if result.error:
                    excused = event.lost and losses[number] < LOSSES
                    (losses if excused else failures)[number] += 1
                    if excused or failures[number] <= retries:
                        waiting.append(number)
                        on_event(Retried(number, result.error))
                        continue
                left -= 1
                on_result(number, result)
    finally:
        workers.close()
