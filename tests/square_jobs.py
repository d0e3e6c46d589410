"""Jobs that square numbers, for tests of what runs jobs."""

from __future__ import annotations

import os
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
    """Squares a number; may fail, or kill its process unless a file exists."""

    number: int
    fails: bool = False
    kill_unless: str = ""
    losses: int = 0

    def run(self, report: Callable[[JobProgress], None]) -> Square:
        report(JobProgress("squaring", 1, 1))
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


def run(workers: Any, jobs: list[SquareJob], retries: int = 0) -> Seen:
    seen = Seen({}, [])
    run_jobs(
        workers,
        jobs,
        retries=retries,
        on_result=seen.results.__setitem__,
        on_event=seen.events.append,
    )
    return seen
