"""The table of a running sweep: what runs where, how far it is, and when it will be done."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import fmean
from types import TracebackType
from typing import TYPE_CHECKING, Any

from labelcast.cli.console import cell, say, stderr
from labelcast.execution.jobs import Ended, Event, Moved, Retried, Started
from labelcast.files.untrusted import escaped

if TYPE_CHECKING:
    from rich.console import RenderableType

    from labelcast.sweeps.job import Job, JobResult


class SweepTable:
    """Shown live on a terminal; elsewhere one line a result."""

    def __init__(self, jobs: Sequence[Job], slots: int, rows: Sequence[dict[str, Any]]) -> None:
        """Begin.

        Args:
            jobs: that are to be done.
            slots: how many run at once.
            rows: results of earlier runs, whose seconds tell how long a budget takes.
        """
        from rich.live import Live

        self.jobs, self.slots = jobs, max(1, slots)
        self.running: dict[int, tuple[str, float, str]] = {}
        self.done = self.failed = 0
        self.left = list(range(len(jobs)))
        self.seconds: dict[int, list[float]] = {}
        for row in rows:
            if not row["error"]:
                self.seconds.setdefault(row["budget"], []).append(row["seconds"])
        self.live = Live(get_renderable=self.render, console=stderr(), refresh_per_second=2)
        self.shown = sys.stderr.isatty()

    def __enter__(self) -> SweepTable:
        """Show the table."""
        if self.shown:
            self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the last state on the screen."""
        if self.shown:
            self.live.stop()

    def on_event(self, event: Event) -> None:
        """Follow what runs where."""
        if isinstance(event, Started):
            self.running[event.number] = (event.where, time.monotonic(), "")
        elif isinstance(event, Moved) and event.number in self.running:
            where, begun, _ = self.running[event.number]
            progress = event.progress
            text = f"{progress.stage} {progress.done} of {progress.total}"
            if progress.loss is not None:
                text += f", loss {progress.loss:.3f}"
            self.running[event.number] = (where, begun, text)
        elif isinstance(event, Ended):
            self.running.pop(event.number, None)
        elif isinstance(event, Retried):
            self._line(f"again: {_name(self.jobs[event.number])}: {event.fault}")

    def on_result(self, result: JobResult) -> None:
        """Count a job that is over, and tell of it."""
        self.failed += result.failed
        self.done += not result.failed
        if not result.failed:
            self.seconds.setdefault(result.budget, []).append(result.seconds)
        job = next(
            i
            for i in self.left
            if (self.jobs[i].name, self.jobs[i].budget, self.jobs[i].seed)
            == (result.task, result.budget, result.seed)
        )
        self.left.remove(job)
        score = (
            "failed: " + result.error if result.failed else f"{result.metric} {result.score:.3f}"
        )
        count = len(self.jobs) - len(self.left)
        self._line(
            f"{count} of {len(self.jobs)}: {_name(self.jobs[job])}: {score}, "
            f"{result.seconds:.0f} s; {self.until()}"
        )
        for note in result.notes:
            self._line(f"  {note}")

    def until(self) -> str:
        """When everything will be done, as far as the results so far tell."""
        if not self.left:
            return "all done"
        if not self.seconds:
            return "no estimate yet"
        now = time.monotonic()
        spent = sum(now - begun for _, begun, _ in self.running.values())
        need = sum(self._expected(self.jobs[i].budget) for i in self.left)
        rest = timedelta(seconds=round(max(need - spent, 0.0) / self.slots))
        return f"about {rest} left, until {datetime.now() + rest:%a %H:%M}"

    def _expected(self, budget: int) -> float:
        """Seconds of a job, from those of the nearest budget that has results."""
        nearest = min(self.seconds, key=lambda known: abs(known - budget))
        return fmean(self.seconds[nearest])

    def _line(self, text: str) -> None:
        if self.shown:
            self.live.console.print(escaped(text), markup=False)
        else:
            say(text)

    def render(self) -> RenderableType:
        """The table as it stands now."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table("task", "labels", "seed", "where", "for", "what", box=None, pad_edge=False)
        for number, (where, begun, text) in sorted(self.running.items()):
            job = self.jobs[number]
            span = timedelta(seconds=int(time.monotonic() - begun))
            cells = (job.name, f"{job.budget:,}", str(job.seed), where, str(span), text)
            table.add_row(*map(cell, cells))
        state = f"{self.done} done, {self.failed} failed, {len(self.left)} left; {self.until()}"
        return Group(table, Text(state))


def _name(job: Job) -> str:
    return f"{job.name} budget {job.budget} seed {job.seed}"
