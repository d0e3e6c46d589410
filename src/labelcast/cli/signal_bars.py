"""Progress of the signals that a selection method uses."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from labelcast.cli.console import bar, say, span

_MEASURED, _WORTH_SAYING = 5.0, 60.0
"""Seconds after which the remaining time is announced, and the least that is worth announcing."""


class SignalBars:
    """Progress of one signal after another on stderr, with an estimate of the time it takes."""

    def __init__(self) -> None:
        self._open = ExitStack()

    def __enter__(self) -> SignalBars:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def show(self, name: str, count: int) -> Callable[[int], None]:
        """The progress of a signal with `count` examples to do; see `signals.OnSignal`."""
        self._open.close()  # the bar of the signal before: only one can be shown
        if not count:
            return lambda done: None
        advance = self._open.enter_context(bar(name.capitalize(), count))
        begin, total, reported = time.monotonic(), 0, False

        def progress(done: int) -> None:
            nonlocal total, reported
            advance(done)
            total += done
            if reported or (spent := time.monotonic() - begin) < _MEASURED:
                return
            reported = True
            left = spent * (count - total) / total
            if left >= _WORTH_SAYING:
                say(f"{name}: about {span(left, left)} for the other {count - total:,} examples")

        return progress
