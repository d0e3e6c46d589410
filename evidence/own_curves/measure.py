"""Measure the curves: minilm, or another model, on twelve real tasks and on generated ones.

    python -m evidence.own_curves.measure TASKS --recipe linear --out FOLDER

TASKS is a folder with a JSON Lines file for each file in `tasks/`, with the fields that it names.
The jobs are those of `labelcast sweep`, with one thread of torch each, in a sweep in FOLDER; each
row is also appended to `rows/MODEL-RECIPE.jsonl`. The first seed runs for all tasks before the
second one. If it is interrupted, run the same command to resume; jobs that have a row there are not
run again, also on another machine. With `--select` selection methods choose the labels, and the
rows go to `evidence/selection/rows`; `random` is measured without it. `--target 100` gives the
methods that choose by a target set 100 labels drawn at random, which are not counted. `--pool 100`
leaves that many examples to choose from, for methods that need hours for more; its rows, `random`
ones too, go to `evidence/selection/pool_rows`. `--group-by FIELD` names the field with the subtasks
for the methods that choose by them; their rows have a file of their own. With `--constrain` a
language model decodes along the allowed answers only.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

from evidence.own_curves.rows import (
    FACTS,
    FROM_POOLS,
    GENERATED,
    ROWS,
    SELECTED,
    TASKS,
    Rows,
    RowsByTask,
)
from evidence.smollm2.rows import without_blanks
from labelcast.execution.local import LocalWorkers
from labelcast.files.json_files import read_json, write_json, write_text
from labelcast.sweeps.job import SweepJob, SweepSettings
from labelcast.sweeps.records import RANDOM, ScoreRow
from labelcast.sweeps.sweep import Sweep, sweep_task
from labelcast.sweeps.task_data import SweepTask, split
from labelcast.training.backend import recipe_for

BUDGETS = (0, 10, 20, 50, 100, 200, 500, 1000, 2000, 4000)
TEST = 500
TARGET_SEED = 1000


def source_of(name: str, data: Path, out: Path, settings: SweepSettings) -> SweepTask:
    """A task with its data."""
    if name not in TASKS:
        return sweep_task(name, settings)
    task = TASKS[name]
    fields = [field.field for field in task.inputs]
    return SweepTask(task, str(without_blanks(data / f"{name}.jsonl", fields, out / "data")))


def with_pool(source: SweepTask, size: int, out: Path, settings: SweepSettings) -> SweepTask:
    """The task with its test set and `size` other examples, drawn at random, not of the target."""
    splits = split(source, settings.test_size, seed=TARGET_SEED)
    lines = Path(source.data).read_text("utf-8").splitlines(keepends=True)
    kept = sorted(one.index for one in (*splits.test, *splits.order[-size:]))
    file = out / "data" / f"{source.task.name}-pool-{size}.jsonl"
    write_text(file, "".join(lines[index] for index in kept))
    return replace(source, data=str(file))


def with_target(source: SweepTask, size: int, out: Path, settings: SweepSettings) -> SweepTask:
    """The task with a target set of `size` labels, drawn at random from those not in the test."""
    splits = split(source, settings.test_size, seed=TARGET_SEED)
    lines = Path(source.data).read_text("utf-8").splitlines(keepends=True)
    file = out / "data" / f"{source.task.name}-target-{size}.jsonl"
    write_text(file, "".join(lines[example.index] for example in splits.order[:size]))
    return replace(source, target=str(file))


def capped(source: SweepTask, settings: SweepSettings, facts: Path) -> tuple[int, ...]:
    """The budgets for which the task has data beside its test set; notes what the set is like."""
    splits = split(source, settings.test_size, seed=0)
    answers = Counter(example.answer for example in splits.test)
    known = read_json(facts) if facts.exists() else {}
    known[source.task.name] = {
        "most frequent answer": answers.most_common(1)[0][1] / len(splits.test),
        "other examples": splits.largest_budget,
        "test_digest": splits.test_digest,
    }
    write_json(facts, dict(sorted(known.items())))
    return tuple(budget for budget in settings.budgets if budget <= splits.largest_budget)


def measure(
    names: list[str],
    data: Path,
    out: Path,
    settings: SweepSettings,
    rows: Rows,
    *,
    target: int = 0,
    pool: int = 0,
    group_by: str | None = None,
    constrain: bool = False,
) -> None:
    """Run the jobs that have no row yet, those of one seed and task together."""
    sweep = Sweep(out / f"{settings.model}-{settings.recipe.method}{suffix(pool, group_by)}")
    rows.extend(sweep.scores.rows())  # of a call that was interrupted
    jobs: list[SweepJob] = []
    for name in names:
        source = source_of(name, data, out, settings)
        if constrain:
            source = replace(source, task=source.task.model_copy(update={"constrain": True}))
        source = with_target(source, target, out, settings) if target else source
        budgets = capped(source, settings, FACTS)
        if pool:
            source = with_pool(source, pool, out, settings)
            budgets = tuple(budget for budget in budgets if budget <= pool)
        source = replace(source, group_by=group_by)
        jobs += sweep.begin([source], replace(settings, budgets=budgets))
    known = rows.keys()
    # Zero-shot, neither a seed nor a selection method changes anything.
    zero = {settings.seeds[0]} if settings.selectors == (RANDOM,) else set[int]()
    left = [job for job in jobs if job.key not in known and (job.budget or job.seed in zero)]
    left.sort(key=lambda job: (settings.seeds.index(job.seed), names.index(job.name)))

    def keep(number: int, row: ScoreRow) -> None:
        rows.extend([row])
        found = row.error or f"{row.score:.3f}"
        place = f"{row.task} {row.budget} seed {row.seed} {row.selector}"
        print(f"{place}: {found}, {row.seconds:.0f} s", flush=True)

    workers = LocalWorkers[ScoreRow](1, logs=sweep.path / "logs")
    sweep.run(sweep.missing(left, retry_failed=True), workers, on_result=keep)


def suffix(pool: int, group_by: str | None) -> str:
    """What tells the rows of a pool and of subtasks from others in a file's name."""
    return (f"-{pool}" if pool else "") + (f"-by-{group_by}" if group_by else "")


def main() -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, metavar="TASKS")
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--recipe", default="linear")
    parser.add_argument("--tasks", default=",".join([*TASKS, *GENERATED]))
    parser.add_argument("--budgets", default=",".join(map(str, BUDGETS)))
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--select", default=RANDOM)
    parser.add_argument("--target", type=int, default=0, help="labels of the target set")
    parser.add_argument("--pool", type=int, default=0, help="examples to choose from; 0: all")
    parser.add_argument("--group-by", metavar="FIELD", help="the field with the subtasks")
    parser.add_argument("--constrain", action="store_true", help="decode along the answers")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    settings = SweepSettings(
        model=given.model,
        recipe=recipe_for(given.recipe, given.model),
        budgets=tuple(int(n) for n in given.budgets.split(",")),
        seeds=tuple(int(n) for n in given.seeds.split(",")),
        test_size=TEST,
        threads=1,
        selectors=tuple(given.select.split(",")),
    )
    name = f"{given.model}-{given.recipe}{suffix(given.pool, given.group_by)}"
    rows = Rows((FROM_POOLS if given.pool else ROWS) / f"{name}.jsonl")
    if given.select != RANDOM and not given.pool:
        rows = RowsByTask(SELECTED / name)
    measure(
        given.tasks.split(","),
        given.data,
        given.out,
        settings,
        rows,
        target=given.target,
        pool=given.pool,
        group_by=given.group_by,
        constrain=given.constrain,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
