"""The summary of the trial as Markdown, as docs/was-it-right.md has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def tables(found: dict[str, Any]) -> str:
    """The sentences, and tables of the forecasts, the methods and the noise."""
    parts = [*found["sentences"], ""]
    for group in dict.fromkeys(row["curves of"] for row in found["headline"]):
        parts += [f"{group}, the score at 1,000 labels, first seed, misses first:", ""]
        parts += _headline_table([r for r in found["headline"] if r["curves of"] == group])
        parts.append("")
    for group in dict.fromkeys(row["curves of"] for row in found["compared"]):
        rows = [row for row in found["compared"] if row["curves of"] == group]
        parts += [f"{group}, {max(row['tasks'] for row in rows)} tasks:", ""]
        parts += [
            "| from scores at | method | error | bias | log2 labels | 50% holds | 80% holds "
            "| 90% holds | interval score, 90% |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        parts += [_table_row(row) for row in rows]
        parts.append("")
    parts += [
        "| curves of | target | way | searches | met | labels | runs | labels + 50 a run |",
        "|---|---|---|---|---|---|---|---|",
    ]
    parts += [
        f"| {row['curves of']} | {'reached' if row['reachable'] else 'never'} | {row['way']} "
        f"| {row['searches']} | {row['met']:.2f} | {row['labels']:,.0f} | {row['runs']:.1f} "
        f"| {row['cost']:,.0f} |"
        for row in found["spent"]
    ]
    parts.append("")
    parts += [
        "| curves of | labels | tasks | sd over seeds | seed noise, model | test set |",
        "|---|---|---|---|---|---|",
    ]
    parts += [
        f"| {row['curves of']} | {row['labels']:,} | {row['tasks']} | {row['sd']:.3f} "
        f"| {row['seed']:.3f} | {row['test set']:.3f} |"
        for row in found["noise"]
    ]
    return "\n".join(parts)


def _headline_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    first = min(row["seed"] for row in rows)
    once = sorted(
        (row for row in rows if row["seed"] == first), key=lambda row: (row["held"], row["task"])
    )
    return [
        "| task | scores at | forecast | 90% interval | measured | inside | learned | all seeds |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {row['task']} | {row['from']} | {row['forecast']:.3f} "
            f"| {row['low']:.3f} to {row['high']:.3f} | {row['measured']:.3f} "
            f"| {_yes(row['held'])} | {_yes(row['learned'])} | {_count(rows, row['task'])} |"
            for row in once
        ),
    ]


def _yes(value: bool) -> str:
    return "yes" if value else "**no**"


def _count(rows: Sequence[dict[str, Any]], task: str) -> str:
    held = [row["held"] for row in rows if row["task"] == task]
    return f"{sum(held)} of {len(held)}"


def _table_row(row: dict[str, Any]) -> str:
    def shown(name: str, digits: str) -> str:
        return format(row[name], digits) if name in row else ""

    cells = [
        row["from"],
        row["way"],
        shown("error", ".3f"),
        shown("bias", "+.3f"),
        shown("log2 labels", ".2f"),
        *(shown(f"covered {level}", ".2f") for level in ("50%", "80%", "90%")),
        shown("interval score 90%", ".2f"),
    ]
    return f"| {' | '.join(cells)} |"
