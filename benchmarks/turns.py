"""Time several ways in turns, so that a busy machine affects all equally."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Turns:
    """Seconds of each way in each turn, and the last result of each way."""

    seconds: dict[str, list[float]]
    values: dict[str, Any]

    def median(self, way: str) -> float:
        """Median seconds of a way."""
        return median(self.seconds[way])

    def ratio(self, way: str, other: str) -> float:
        """Ratio of a way's seconds to another's: the median over turns."""
        return median(a / b for a, b in zip(self.seconds[way], self.seconds[other], strict=True))


def in_turns(ways: Mapping[str, Callable[[], Any]], turns: int) -> Turns:
    """Time every way once per turn."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    values: dict[str, Any] = {}
    for _ in range(turns):
        for name, way in ways.items():
            start = time.perf_counter()
            values[name] = way()
            seconds[name].append(time.perf_counter() - start)
    return Turns(seconds, values)


def table(rows: Mapping[str, str]) -> str:
    """Two aligned columns."""
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())
