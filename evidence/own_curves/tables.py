"""The summary of the trial as Markdown, as docs/was-it-right.md has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evidence.own_curves.headline import inside_of


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
        parts += [f"| {' | '.join(_COLUMNS)} |", f"|{'---|' * len(_COLUMNS)}"]
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
        "| curves of | labels | tasks | sd over seeds | assumed | largest ratio | test set |",
        "|---|---|---|---|---|---|---|",
    ]
    parts += [
        f"| {row['curves of']} | {row['labels']:,} | {row['tasks']} | {row['sd']:.3f} "
        f"| {row['seed']:.3f} | {row['largest']:.2f} | {row['test set']:.3f} |"
        for row in found["noise"]
    ]
    return "\n".join(parts)


def _headline_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    first = min(row["seed"] for row in rows)
    once = sorted(
        (row for row in rows if row["seed"] == first), key=lambda row: (row["inside"], row["task"])
    )
    return [
        "| task | forecast | 90% interval | measured | inside | above the majority | all seeds |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {row['task']} | {row['forecast']:.3f} | {row['low']:.3f} to {row['high']:.3f} "
            f"| {row['measured']:.3f} | {_yes(row['inside'])} | {_yes(row['above'])} "
            f"| {inside_of([one for one in rows if one['task'] == row['task']])} |"
            for row in once
        ),
    ]


def _yes(value: bool) -> str:
    return "yes" if value else "**no**"


_COLUMNS = {
    "from scores at": ("from", ""),
    "method": ("way", ""),
    "error": ("error", ".3f"),
    "bias": ("bias", "+.3f"),
    "log2 labels": ("log2 labels", ".2f"),
    "90% of labels": ("labels covered", ".2f"),
    "log2 width": ("log2 width of labels", ".1f"),
    "50%": ("covered 50%", ".2f"),
    "80%": ("covered 80%", ".2f"),
    "90%": ("covered 90%", ".2f"),
    "90% width": ("width 90%", ".2f"),
    "90% score": ("interval score 90%", ".2f"),
}
"""The columns of the table of methods: the value and its format."""


def _table_row(row: dict[str, Any]) -> str:
    cells = [format(row[name], spec) if name in row else "" for name, spec in _COLUMNS.values()]
    return f"| {' | '.join(cells)} |"
