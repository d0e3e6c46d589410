"""Selection from small pools beside random draws from the same pools.

    python -m evidence.selection.pools

Reads the rows that `evidence.own_curves.measure --pool` has committed. Each cell has the mean score
over the method's seeds, and the mean and standard deviation over all seeds of random draws. The
last column is the time of the longest selection, mostly that of its signals, in minutes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, stdev

from evidence.own_curves.rows import FROM_POOLS, Rows
from labelcast.sweeps.records import RANDOM


def lines(file: Path) -> Iterator[str]:
    """A table of one file as Markdown."""
    found: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    minutes: dict[tuple[str, str], float] = defaultdict(float)
    for row in Rows(file).rows():
        if row.score is not None and row.budget:
            found[row.task, row.selector, row.budget].append(row.score)
            key = row.task, row.selector
            minutes[key] = max(minutes[key], row.selection_seconds / 60)
    budgets = sorted({budget for _, _, budget in found})
    titles = ["task", "method", "seeds", *(f"at {n:,}" for n in budgets), "minutes"]
    yield "| " + " | ".join(titles) + " |"
    yield "|---" * len(titles) + "|"
    for task, method in sorted({(task, method) for task, method, _ in found}):
        cells = [_cell(found.get((task, method, n), []), method) for n in budgets]
        seeds = max(len(found.get((task, method, n), [])) for n in budgets)
        time = f"{minutes[task, method]:.1f}"
        yield "| " + " | ".join([task, method, str(seeds), *cells, time]) + " |"


def _cell(scores: list[float], method: str) -> str:
    if not scores:
        return "-"
    spread = f" (sd {stdev(scores):.3f})" if method == RANDOM and len(scores) > 1 else ""
    return f"{fmean(scores):.3f}{spread}"


def main() -> None:
    """Print a table for each file of rows."""
    for file in sorted(FROM_POOLS.glob("*.jsonl")):
        model_recipe, _, size = file.stem.rpartition("-")
        print(f"{model_recipe}, {size} examples to choose from:\n")
        print("\n".join(lines(file)) + "\n")


if __name__ == "__main__":
    main()
