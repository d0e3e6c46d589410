"""The table of a running sweep: each job's place and progress, and when all will be done."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import fmean
from typing import TYPE_CHECKING

from labelcast.cli.console import cell, say, stderr
from labelcast.execution.workers import Ended, Event, Moved, Retried, Started
from labelcast.files.untrusted import escaped

if TYPE_CHECKING:
    from rich.console import RenderableType

    from labelcast.sweeps.job import SweepJob
    from labelcast.sweeps.records import ScoreRow


class SweepTable:
    """Shown live on a terminal; elsewhere one line per result."""

    def __init__(self, jobs: Sequence[SweepJob], slots: int, rows: Sequence[ScoreRow]) -> None:
        """A table of `jobs`, of which `slots` run at once.

        `rows` are those of earlier runs; their seconds say how long a budget takes.
        """
        from rich.live import Live

        self.jobs, self.slots = jobs, max(1, slots)
        self.running: dict[int, tuple[str, float, str]] = {}
        self.done = self.failed = 0
        self.left = set(range(len(jobs)))
        self.seconds: dict[tuple[str, int], list[float]] = {}
        for row in rows:
            if not row.error:
                self.seconds.setdefault((row.selector, row.budget), []).append(row.seconds)
        self.live = Live(get_renderable=self.render, console=stderr(), refresh_per_second=2)
        self.shown = sys.stderr.isatty()

    def __enter__(self) -> SweepTable:
        """Show the table."""
        if self.shown:
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the last state on the screen."""
        if self.shown:
            self.live.stop()

    def on_event(self, event: Event[ScoreRow]) -> None:
        """Note where jobs run."""
        if isinstance(event, Started):
            self.running[event.number] = (event.where, time.monotonic(), "")
        elif isinstance(event, Moved) and event.number in self.running:
            progress = event.progress
            text = f"{progress.stage} {progress.done} of {progress.total}"
            if progress.loss is not None:
                text += f", loss {progress.loss:.3f}"
            self.running[event.number] = (*self.running[event.number][:2], text)
        elif isinstance(event, Ended):
            self.running.pop(event.number, None)
        elif isinstance(event, Retried):
            self._line(f"retrying {self.jobs[event.number].key}: {event.fault}")

    def on_result(self, number: int, row: ScoreRow) -> None:
        """Count a finished job, and print its result."""
        self.left.discard(number)
        if row.error:
            self.failed += 1
            score = f"failed: {row.error}"
        else:
            self.done += 1
            self.seconds.setdefault((row.selector, row.budget), []).append(row.seconds)
            score = f"{row.metric} {row.score:.3f}"
        count = len(self.jobs) - len(self.left)
        self._line(
            f"{count} of {len(self.jobs)}: {self.jobs[number].key}: {score}, "
            f"{row.seconds:.0f} s; {self.until()}"
        )
        for note in row.notes:
            self._line(f"  {note}")

    def until(self) -> str:
        """When all jobs will be done, by the results so far."""
        if not self.left:
            return "all done"
        if not self.seconds:
            return "no estimate yet"
        now = time.monotonic()
        spent = sum(now - begun for _, begun, _ in self.running.values())
        need = sum(self._expected(self.jobs[number]) for number in self.left)
        rest = timedelta(seconds=round(max(need - spent, 0.0) / self.slots))
        return f"about {rest} left, until {datetime.now() + rest:%a %H:%M}"

    def _expected(self, job: SweepJob) -> float:
        """Seconds of a job, from those of its selector, or of any, at the nearest budget."""
        nearest = min(
            self.seconds, key=lambda known: (known[0] != job.selector, abs(known[1] - job.budget))
        )
        return fmean(self.seconds[nearest])

    def _line(self, text: str) -> None:
        if self.shown:
            self.live.console.print(escaped(text), markup=False)
        else:
            say(text)

    def render(self) -> RenderableType:
        """The table as it is now."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        settings = any(job.key.setting for job in self.jobs)
        heads = ["task", "labels", "seed", *(["setting"] if settings else [])]
        table = Table(*heads, "where", "for", "what", box=None, pad_edge=False)
        for number, (where, begun, text) in sorted(self.running.items()):
            job = self.jobs[number]
            span = timedelta(seconds=int(time.monotonic() - begun))
            cells = [job.name, f"{job.budget:,}", str(job.seed)]
            cells += [" ".join(job.key.setting)] if settings else []
            table.add_row(*map(cell, [*cells, where, str(span), text]))
        state = f"{self.done} done, {self.failed} failed, {len(self.left)} left; {self.until()}"
        return Group(table, Text(state))
