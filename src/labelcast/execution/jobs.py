"""Run jobs in parallel on any backend: order, retries and progress."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from labelcast.sweeps.job import Job, JobResult, Progress

LOSSES = 3
"""How often a job may go down with its machine before that counts as a failed try."""


@dataclass(frozen=True)
class Started:
    """A try of job `number` has begun at a place, such as ``worker 1`` or ``node 4f2a``."""

    number: int
    where: str


@dataclass(frozen=True)
class Moved:
    """A running job is so far."""

    number: int
    progress: Progress


@dataclass(frozen=True)
class Ended:
    """A try of job `number` is over.

    Attributes:
        number: of the job.
        result: what `run_job` returned; None where its process died.
        fault: how the process died.
        lost: whether its machine went down, which is no fault of the job.
    """

    number: int
    result: JobResult | None
    fault: str = ""
    lost: bool = False


@dataclass(frozen=True)
class Retried:
    """Job `number` failed and waits for another try."""

    number: int
    fault: str


Event = Started | Moved | Ended | Retried


class Workers(Protocol):
    """Where jobs run."""

    def free(self) -> bool:
        """Whether another job may be started now."""

    def start(self, number: int, job: Job) -> None:
        """Begin a try of a job; its events carry `number`."""

    def wait(self) -> list[Started | Moved | Ended]:
        """What has happened since; blocks for a second or so where nothing has."""

    def close(self) -> None:
        """Stop whatever still runs. May be called twice."""


@dataclass
class _Tries:
    """What became of one job so far."""

    failures: int = 0
    losses: int = 0
    begun: float = field(default_factory=time.monotonic)


def run_jobs(
    workers: Workers,
    jobs: Sequence[Job],
    *,
    retries: int = 1,
    on_result: Callable[[JobResult], None],
    on_event: Callable[[Event], None] = lambda event: None,
) -> None:
    """Run every job and hand on one result each, a failed one after its retries.

    A job that fails is tried again after the others that wait. One that went down with its
    machine is tried again `LOSSES` times before that counts, in a folder of its own, because the
    process there may not know yet that it is lost.

    Args:
        workers: where they run; closed at the end, after an error too.
        jobs: what to run; they begin in this order.
        retries: further tries of a failed job.
        on_result: called once a job, in the order in which they end.
        on_event: called with every event; `number` is the position in `jobs`.
    """
    waiting = deque(range(len(jobs)))
    tries = [_Tries() for _ in jobs]
    left = len(jobs)
    try:
        while left:
            while waiting and workers.free():
                number = waiting.popleft()
                workers.start(number, _this_try(jobs[number], tries[number]))
            for event in workers.wait():
                on_event(event)
                if not isinstance(event, Ended):
                    continue
                result = _outcome(jobs[event.number], event, tries[event.number])
                if result.failed and _again(tries[event.number], event, retries):
                    waiting.append(event.number)
                    on_event(Retried(event.number, result.error))
                    continue
                left -= 1
                on_result(result)
    finally:
        workers.close()


def _this_try(job: Job, tries: _Tries) -> Job:
    tries.begun = time.monotonic()
    if job.folder is None or not tries.losses:
        return job
    return replace(job, folder=f"{job.folder}-{tries.losses}")


def _again(tries: _Tries, event: Ended, retries: int) -> bool:
    """Count a failed try; whether another one follows."""
    if event.lost and tries.losses < LOSSES:
        tries.losses += 1
        return True
    tries.failures += 1
    return tries.failures <= retries


def _outcome(job: Job, event: Ended, tries: _Tries) -> JobResult:
    """The result of a try; where its process died, one that says so."""
    if event.result is not None:
        return event.result
    return JobResult(
        task=job.name,
        model=job.model,
        budget=job.budget,
        seed=job.seed,
        recipe=job.recipe.name,
        metric=job.metric,
        seconds=round(time.monotonic() - tries.begun, 3),
        error=event.fault,
        recipe_digest=job.recipe.digest,
    )
