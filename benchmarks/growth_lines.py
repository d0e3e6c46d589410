"""Which costs are measured against which sizes, and their fitted power laws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from exponents import Growth, fit, upper

Row = dict[str, Any]
POOL_TOKENS, POOL_ANSWER = 16, 4
ANSWER = 2


@dataclass(frozen=True)
class Line:
    """One cost against one size.

    Attributes:
        axis: what grows.
        cost: what is timed: `score`, `confidence` or `CoS-Low`.
        points: the sizes, or names of models.
        full: further sizes of a full run.
        fixed: what is kept fixed, in words.
        expected: the exponent of the operations alone for large sizes, in words.
    """

    axis: str
    cost: str
    points: tuple[int | str, ...]
    full: tuple[int | str, ...]
    fixed: str
    expected: str


SIZES = ("1M", "10M", "100M", "300M")
LENGTHS = (64, 128, 256, 512, 1024, 2048)
LINES = {
    "pool": Line(
        "rows of the pool",
        "score",
        (100, 300, 1000, 3000, 10_000),
        (30_000, 100_000, 300_000, 1_000_000),
        f"tiny model, {POOL_TOKENS} tokens per prompt, {POOL_ANSWER} per answer",
        "1",
    ),
    "prompt, confidence": Line(
        "tokens of a prompt", "confidence", LENGTHS, (), "10M, 8 prompts, 4 new tokens", "1 to 2"
    ),
    "prompt, CoS-Low": Line(
        "tokens of a prompt", "CoS-Low", LENGTHS, (), "10M, 4 examples", "1 to 2"
    ),
    "examples": Line(
        "examples, N",
        "CoS-Low",
        (8, 16, 32, 64, 128, 256, 512),
        (),
        "1M, 48 tokens per example",
        "1 to 2",
    ),
    "model, confidence": Line(
        "weights", "confidence", SIZES, (), "8 prompts of 64 tokens, 4 new tokens", "1"
    ),
    "model, CoS-Low": Line("weights", "CoS-Low", SIZES, (), "4 examples of 64 tokens", "1"),
}


@dataclass(frozen=True)
class Fitted:
    """The rows of a series in order of size, and its power laws."""

    line: Line
    x: list[float]
    seconds: list[float]
    memory: list[float]
    over_all: Growth
    over_upper: Growth
    of_memory: Growth


def fit_lines(rows: Sequence[Row]) -> dict[str, Fitted]:
    """The power laws of every series with at least two sizes."""
    found = {}
    for name, line in LINES.items():
        own = sorted((row for row in rows if row["line"] == name), key=lambda row: row["x"])
        if len({row["x"] for row in own}) < 2:
            continue
        x = [row["x"] for row in own]
        seconds = [row["seconds"] for row in own]
        memory = [float(max(row["peak_above_model"], 1)) for row in own]
        found[name] = Fitted(
            line,
            x,
            seconds,
            memory,
            fit(x, seconds),
            upper(x, seconds),
            upper(x, memory),
        )
    return found


def describe(fitted: dict[str, Fitted]) -> list[dict[str, Any]]:
    """JSON-ready figures of every series, for the table of docs/speed.md."""
    return [
        {
            "line": name,
            "axis": one.line.axis,
            "cost": one.line.cost,
            "fixed": one.line.fixed,
            "expected": one.line.expected,
            "from": one.x[0],
            "to": one.x[-1],
            "seconds": [one.seconds[0], one.seconds[-1]],
            "megabytes": [round(one.memory[0] / 1e6, 1), round(one.memory[-1] / 1e6, 1)],
            "exponent": round(one.over_all.exponent, 3),
            "error": round(one.over_all.error, 3),
            "upper_exponent": round(one.over_upper.exponent, 3),
            "upper_error": round(one.over_upper.error, 3),
            "memory_exponent": round(one.of_memory.exponent, 3),
        }
        for name, one in fitted.items()
    ]
