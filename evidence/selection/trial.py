"""Whether a selection method needs fewer labels than random draws.

    python -m evidence.selection.trial [--recipe linear] [--out PICTURE] [--ship]

Reads the committed rows: random ones of `evidence/own_curves/rows`, selected ones of
`evidence/selection/rows`. The tasks are those that the recipe learns from random labels. For each
method and budget it prints the mean difference of the score to random, over seeds that both have,
and how many tasks improve. Labels needed: targets are what random labels reach on average with 100,
200 and 500; the labels at which the method's mean curve reaches them, interpolated in log2(n), over
those numbers; and the same with the method's scores as targets. Intervals are 90%, by drawing tasks
with replacement: what they leave out is that the tasks themselves are not drawn at random. The
tasks that the recipe does not learn have a table of differences of their own. `--ship` writes the
differences that warnings quote into the package.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import altair as alt
import numpy as np
from pydantic import TypeAdapter

from evidence.charts import BLUE, GREY, chart_of, save
from evidence.charts import Rows as ChartRows
from evidence.own_curves.rows import FACTS, ROWS, SELECTED, Rows, RowsByTask
from labelcast.files.json_files import read_json, write_text
from labelcast.forecast.efficiency import Array
from labelcast.runs.records import RANDOM
from labelcast.selection.measured import BudgetEffect, MeanDifference, MeasuredEffects

FROM = (100, 200, 500)
"""Labels whose mean score is a target."""
BUDGETS = (20, 50, 100, 200, 500, 1000)
_LEARNED = 0.03
"""What 1,000 random labels add to always giving the most frequent answer, at least."""
_DRAWS = 4000
SHIPPED = ROWS.parents[2] / "src/labelcast/selection/measured.json"

Scores = dict[tuple[str, str], dict[int, dict[int, float]]]
"""By task and method, then by budget, then by seed."""


class Effect(NamedTuple):
    """A mean over tasks with a 90% interval, and how many of them are above 0."""

    mean: float
    low: float
    high: float
    better: int
    tasks: int

    def text(self) -> str:
        """For a table."""
        ends = f"{self.low:+.3f} to {self.high:+.3f}"
        return f"{self.mean:+.3f} ({ends}), {self.better}/{self.tasks}"


def read(recipe: str) -> Scores:
    """The scores of a recipe on minilm, with the seeds of a method that random draws have too."""
    found: Scores = defaultdict(lambda: defaultdict(dict))
    drawn, chosen = Rows.of("minilm", recipe), RowsByTask(SELECTED / f"minilm-{recipe}")
    for row in (*drawn.rows(), *chosen.rows()):
        if row.budget in BUDGETS and row.score is not None:
            found[row.task, row.selector][row.budget][row.seed] = row.score
    return found


def learned(scores: Scores) -> list[str]:
    """The tasks with random scores at 1,000 labels that are clearly above the usual answer's."""
    usual = {task: facts["most frequent answer"] for task, facts in read_json(FACTS).items()}
    found = []
    for task, method in scores:
        at = scores[task, method].get(BUDGETS[-1])
        if method == RANDOM and at and np.mean(list(at.values())) > usual[task] + _LEARNED:
            found.append(task)
    return sorted(found)


def differences(scores: Scores, tasks: Sequence[str], method: str, budget: int) -> list[float]:
    """The mean difference to random over shared seeds, one for each task that has any."""
    found = []
    for task in tasks:
        chosen = scores.get((task, method), {}).get(budget, {})
        drawn = scores[task, RANDOM].get(budget, {})
        shared = chosen.keys() & drawn.keys()
        if shared:
            found.append(float(np.mean([chosen[seed] - drawn[seed] for seed in shared])))
    return found


def means(scores: Scores, task: str, method: str, seeds: set[int]) -> tuple[Array, Array]:
    """Budgets and mean scores over some seeds, those that all of them have."""
    of = scores[task, method]
    budgets = [n for n in BUDGETS if seeds <= of.get(n, {}).keys()]
    values = [np.mean([of[n][seed] for seed in seeds]) for n in budgets]
    return np.array(budgets, float), np.array(values)


def share_of_labels(scores: Scores, task: str, method: str) -> float | None:
    """log2 of the labels that a method needs over those of random draws, mean over targets.

    A curve counts as the highest score so far. A target that is not reached counts as twice the
    largest budget, one that the smallest budget reaches as that budget: both understate the
    difference. None without a seed at all budgets.
    """
    complete = [
        set.intersection(*(set(scores.get((task, one), {}).get(n, {})) for n in BUDGETS))
        for one in (method, RANDOM)
    ]
    seeds = complete[0] & complete[1]
    if not seeds:
        return None
    n, values = means(scores, task, method, seeds)
    _, drawn = means(scores, task, RANDOM, seeds)
    # Noise in a target makes its own curve look early, so each curve gives targets in turn.
    return (later(n, values, drawn) - later(n, drawn, values)) / 2


def later(n: Array, scores: Array, other: Array) -> float:
    """log2 of the labels that a curve needs over those of another, for the other's scores.

    Args:
        n: the budgets, [K].
        scores: of the curve, [K].
        other: of the curve that gives the targets, those at `FROM`, [K].
    """
    rising, targets = np.maximum.accumulate(scores), np.maximum.accumulate(other)
    found = []
    for labels in FROM:
        target = targets[BUDGETS.index(labels)]
        place = int(np.argmax(rising >= target))
        if rising[-1] < target:
            needed = np.log2(2 * n[-1])
        elif place == 0:
            needed = np.log2(n[0])
        else:
            ends = np.log2(n[place - 1 : place + 1])
            part = (target - rising[place - 1]) / (rising[place] - rising[place - 1])
            needed = ends[0] + part * (ends[1] - ends[0])
        found.append(needed - np.log2(n[int(np.argmax(targets >= target))]))
    return float(np.mean(found))


def effect(values: Sequence[float], sign: int = 1) -> Effect:
    """The mean of one value per task; `better` counts those with this sign."""
    given = np.array(values)
    draws = np.random.default_rng(0).integers(len(given), size=(_DRAWS, len(given)))
    low, high = np.quantile(given[draws].mean(1), [0.05, 0.95])
    return Effect(float(given.mean()), low, high, int((sign * given > 0).sum()), len(given))


def lines(scores: Scores) -> Iterator[str]:
    """The report, as tables in Markdown."""
    measured = {task for task, method in scores if method != RANDOM}
    tasks = [task for task in learned(scores) if task in measured]
    yield f"{len(tasks)} measured tasks that it learns: {described(scores, tasks)}"
    yield ""
    yield from difference_table(scores, tasks)
    yield ""
    yield "| method | labels needed, as a share of random's | tasks with fewer |"
    yield "|---|---|---|"
    for method in methods_of(scores):
        shares = [share_of_labels(scores, task, method) for task in tasks]
        known = [share for share in shares if share is not None]
        if known:
            one = effect(known, -1)
            ends = 2**one.mean, 2**one.low, 2**one.high
            yield (
                f"| {method} | {ends[0]:.2f} ({ends[1]:.2f} to {ends[2]:.2f}) | "
                f"{one.better} of {one.tasks} |"
            )
    others = sorted(measured - {*tasks})
    if len(others) > 1:
        yield ""
        yield f"{len(others)} that it does not learn: {described(scores, others)}"
        yield ""
        yield from difference_table(scores, others)


def methods_of(scores: Scores) -> list[str]:
    """The methods that are compared with random draws."""
    return sorted({method for _, method in scores} - {RANDOM})


def described(scores: Scores, tasks: Sequence[str]) -> str:
    """Some tasks, and how many seeds their selected rows have."""
    seeds = {
        len(by_seed)
        for (task, method), by_budget in scores.items()
        if method != RANDOM and task in tasks
        for by_seed in by_budget.values()
    }
    return f"{', '.join(tasks)}; seeds: {sorted(seeds)}"


def difference_table(scores: Scores, tasks: Sequence[str]) -> Iterator[str]:
    """The mean difference of the score to random, by method and budget."""
    yield "| method | " + " | ".join(f"at {n:,}" for n in BUDGETS) + " |"
    yield "|---" * (len(BUDGETS) + 1) + "|"
    for method in methods_of(scores):
        cells = []
        for budget in BUDGETS:
            values = differences(scores, tasks, method, budget)
            cells.append(effect(values).text() if values else "-")
        yield f"| {method} | " + " | ".join(cells) + " |"


def shipped(scores: Scores) -> MeasuredEffects:
    """The differences at each budget, and of the rise from it to the last one."""
    measured = {task for task, method in scores if method != RANDOM}
    tasks = [task for task in learned(scores) if task in measured]
    methods: dict[str, dict[int, BudgetEffect]] = {}
    for method in methods_of(scores):
        last = np.array(differences(scores, tasks, method, BUDGETS[-1]))
        at: dict[int, BudgetEffect] = {}
        for budget in BUDGETS:
            values = np.array(differences(scores, tasks, method, budget))
            found = (rounded(effect(part.tolist())) for part in (values, last - values))
            at[budget] = BudgetEffect(*found)
        methods[method] = at
    return MeasuredEffects("minilm and a linear head", len(tasks), methods)


def rounded(one: Effect) -> MeanDifference:
    """The mean and its interval with four decimals."""
    return MeanDifference(*(round(float(value), 4) for value in (one.mean, one.low, one.high)))


def draw(scores: Scores, path: Path) -> None:
    """A panel a method: the mean difference to random by budget, with its interval."""
    tasks, panels = learned(scores), []
    for method in methods_of(scores):
        points: ChartRows = []
        for budget in BUDGETS:
            values = differences(scores, tasks, method, budget)
            if values:
                one = effect(values)
                ends = {"low": one.low, "high": one.high}
                points.append({"labels": float(budget), "score": one.mean} | ends)
        axis = alt.Axis(values=list(BUDGETS), format=",d", title=None, grid=False)
        x = alt.X("labels:Q", scale=alt.Scale(type="log", domain=[17, 1200]), axis=axis)
        scale = alt.Scale(domain=[-0.3, 0.15], clamp=True)
        y = alt.Y("score:Q", scale=scale, axis=alt.Axis(title=None, grid=False, format="+.1f"))
        layers = [
            chart_of([{"score": 0.0}]).mark_rule(strokeDash=[3, 3], color=GREY).encode(y),
            chart_of(points)
            .mark_rule(strokeWidth=2, color=BLUE)
            .encode(x, alt.Y("low:Q", scale=scale), alt.Y2("high:Q")),
            chart_of(points).mark_line(point=True, color=BLUE).encode(x, y),
        ]
        panels.append(alt.layer(*layers).properties(width=170, height=110, title=method))
    save(alt.concat(*panels, columns=4, spacing=14), path)


def main() -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipe", default="linear")
    parser.add_argument("--out", type=Path, help="an .svg file for the picture")
    parser.add_argument("--ship", action="store_true", help="of `linear`, into the package")
    given = parser.parse_args()
    scores = read(given.recipe)
    for line in lines(scores):
        print(line)
    if given.out is not None:
        draw(scores, given.out)
    if given.ship:
        write_text(
            SHIPPED, TypeAdapter(MeasuredEffects).dump_json(shipped(read("linear"))).decode() + "\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
