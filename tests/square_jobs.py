"""Jobs that square numbers, for tests of what runs jobs."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labelcast.execution.workers import Event, JobProgress, run_jobs


@dataclass(frozen=True)
class Square:
    """The result of a job that squares a number."""

    value: int
    process: int = 0
    error: str = ""


@dataclass(frozen=True)
class SquareJob:
    """Squares a number; may fail, kill its process unless a file exists, or wait for a pipe."""

    number: int
    fails: bool = False
    kill_unless: str = ""
    waits_for: str = ""
    losses: int = 0

    def run(self, report: Callable[[JobProgress], None]) -> Square:
        pipe = os.open(self.waits_for, os.O_RDONLY | os.O_NONBLOCK) if self.waits_for else -1
        report(JobProgress("squaring", 1, 1))
        if self.waits_for and not select.select([pipe], [], [], 60)[0]:
            return self.died("nobody wrote to the pipe", 60)
        if self.kill_unless and not Path(self.kill_unless).exists():
            Path(self.kill_unless).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return Square(self.number**2, os.getpid(), "cannot" if self.fails else "")

    def died(self, fault: str, seconds: float) -> Square:
        return Square(0, error=fault)

    def after_loss(self, losses: int) -> SquareJob:
        return SquareJob(self.number, losses=losses)


@dataclass
class Seen:
    """What `run_jobs` reported."""

    results: dict[int, Square]
    events: list[Event[Square]]

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def run(
    workers: Any,
    jobs: list[SquareJob],
    retries: int = 0,
    meanwhile: Callable[[Event[Square]], object] = lambda event: None,
) -> Seen:
    seen = Seen({}, [])

    def on_event(event: Event[Square]) -> None:
        seen.events.append(event)
        meanwhile(event)

    keep = seen.results.__setitem__
    run_jobs(workers, dict(enumerate(jobs)), retries=retries, on_result=keep, on_event=on_event)
    return seen
