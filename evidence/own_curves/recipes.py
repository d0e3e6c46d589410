"""`full` beside `linear`: scores of the committed rows of `minilm`, and the steps of `full`.

python -m evidence.own_curves.recipes
"""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean

from evidence.own_curves.rows import Rows

BUDGETS = (50, 100, 200, 1000)


def main() -> None:
    """Print a table: the first seed of `full`, and the mean over the seeds of `linear`."""
    full = {(r.task, r.budget): r for r in Rows.of("minilm", "full").rows() if r.seed == 0}
    linear: dict[tuple[str, int], list[float]] = defaultdict(list)
    for row in Rows.of("minilm", "linear").rows():
        assert row.score is not None
        linear[row.task, row.budget].append(row.score)
    print(f"| task | {' | '.join(f'{n:,}' for n in BUDGETS)} |\n|---|---|---|---|---|")
    for task in sorted({task for task, _ in full}):
        known = [(full.get((task, n)), linear[task, n]) for n in BUDGETS]
        cells = [f"{row.score:.3f}, {fmean(others):.3f}" if row else "" for row, others in known]
        print(f"| {task} | {' | '.join(cells)} |")
    steps = [row.steps for (_, budget), row in full.items() if budget == BUDGETS[0]]
    print(f"steps of full with {BUDGETS[0]} labels: {min(steps)} to {max(steps)}")


if __name__ == "__main__":
    main()
