"""Selection from small pools beside random draws from the same pools.

    python -m evidence.selection.pools

Reads the rows that `evidence.own_curves.measure --pool` has committed. Each cell has the mean score
over the method's seeds, and the mean and standard deviation over all seeds of random draws. The
last column is the time of the longest selection, mostly that of its signals, in minutes. "by label"
means that the subtasks are the values of the field `label`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, stdev

from evidence.own_curves.rows import FROM_POOLS, Rows
from labelcast.runs.records import RANDOM

BY = "-by-"


def tables() -> dict[str, list[str]]:
    """A Markdown table for each model, recipe and size of the pool, by these names."""
    files: dict[str, list[Path]] = defaultdict(list)
    for file in sorted(FROM_POOLS.glob("*.jsonl")):
        files[file.stem.partition(BY)[0]].append(file)
    return {name: list(_lines(found)) for name, found in files.items()}


def _lines(files: list[Path]) -> Iterator[str]:
    found: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    minutes: dict[tuple[str, str], float] = defaultdict(float)
    for file in files:
        field = file.stem.partition(BY)[2]
        for row in Rows(file).rows():
            if row.score is None or not row.budget:
                continue
            method = f"{row.selector}, by {field}" if field else row.selector
            found[row.task, method, row.budget].append(row.score)
            key = row.task, method
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
    """Print the tables."""
    for name, lines in tables().items():
        model_recipe, _, size = name.rpartition("-")
        print(f"{model_recipe}, {size} examples to choose from:\n")
        print("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
