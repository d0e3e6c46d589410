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
ones too, go to `evidence/selection/pool_rows`. `--rows FOLDER` measures everything anew: rows and
what is known of the test sets go there. `--task-files FOLDER` has tasks of yours, in files as in
`tasks/`. `--group-by FIELD` names the field with the subtasks for the methods that choose by them;
their rows have a file of their own. With `--constrain` a language model decodes along the allowed
answers only.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import dataclass, replace
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
    file_name,
    tasks_in,
)
from evidence.smollm2.rows import without_blanks
from labelcast.errors import InputError
from labelcast.execution.local import LocalWorkers
from labelcast.files.json_files import read_json, write_json, write_text
from labelcast.runs.records import RANDOM
from labelcast.sweeps.job import SweepJob, SweepSettings
from labelcast.sweeps.records import ScoreRow
from labelcast.sweeps.sweep import Sweep, sweep_task
from labelcast.sweeps.task_data import SweepTask, split
from labelcast.tasks.task import Task
from labelcast.training.backend import recipe_for
from labelcast.training.splits import Splits

BUDGETS = (0, 10, 20, 50, 100, 200, 500, 1000, 2000, 4000)
TEST = 500
TARGET_SEED = 1000


@dataclass(frozen=True)
class Measurement:
    """What is measured, from which data, and where it goes.

    Attributes:
        tasks: with data in files, by name; others are generated.
        data: the folder with these files.
        out: the folder of the sweep.
        rows: the rows that are kept.
        committed: rows whose scores are shown beside new ones of the same kind.
        facts: the file of what is known of the test sets.
        settings: model, recipe, budgets, seeds and selection methods.
        target: labels of the target set.
        pool: examples to choose from; 0 means all.
        group_by: the field with the subtasks.
        constrain: whether a language model decodes along the answers.
    """

    tasks: dict[str, Task]
    data: Path
    out: Path
    rows: Rows
    committed: Rows
    facts: Path
    settings: SweepSettings
    target: int = 0
    pool: int = 0
    group_by: str | None = None
    constrain: bool = False

    def run(self, names: list[str]) -> None:
        """Run the jobs that have no row yet, those of one seed and task together."""
        model, method = file_name(self.settings.model), self.settings.recipe.method
        sweep = Sweep(self.out / f"{model}-{method}{suffix(self.pool, self.group_by)}")
        self.rows.extend(sweep.scores.rows())  # of a call that was interrupted
        jobs: list[SweepJob] = []
        for name in names:
            source, budgets = self._prepared(name)
            if budgets:  # none where a task has too few examples for all of them
                jobs += sweep.begin([source], replace(self.settings, budgets=budgets))
        if not jobs:
            raise InputError(f"no task of {', '.join(names)} has enough examples for --budgets.")
        known, seeds = self.rows.keys(), self.settings.seeds
        # Zero-shot, neither a seed nor a selection method changes anything.
        zero = {seeds[0]} if self.settings.selectors == (RANDOM,) else set[int]()
        left = [job for job in jobs if job.key not in known and (job.budget or job.seed in zero)]
        left.sort(key=lambda job: (seeds.index(job.seed), names.index(job.name)))

        before = {row.key: row.score for row in self.committed.rows()}

        def keep(number: int, row: ScoreRow) -> None:
            self.rows.extend([row])
            found = row.error or f"{row.score:.3f}"
            if row.key in before:
                found += f" (committed: {before[row.key]:.3f})"
            place = f"{row.task} {row.budget} seed {row.seed} {row.selector}"
            print(f"{place}: {found}, {row.seconds:.0f} s", flush=True)

        workers = LocalWorkers[ScoreRow](1, logs=sweep.path / "logs")
        sweep.run(sweep.missing(left, retry_failed=True), workers, on_result=keep)

    def _prepared(self, name: str) -> tuple[SweepTask, tuple[int, ...]]:
        """A task with its data, and the budgets for which it has examples beside its test set."""
        source = self._source(name)
        if self.constrain:
            source = replace(source, task=source.task.model_copy(update={"constrain": True}))
        if self.target:
            source = self._with_target(source)
        splits = self._split(source, seed=0)
        self._note(name, splits)
        most = min(splits.largest_budget, self.pool or splits.largest_budget)
        source = self._with_pool(source) if self.pool else source
        budgets = tuple(budget for budget in self.settings.budgets if budget <= most)
        return replace(source, group_by=self.group_by), budgets

    def _source(self, name: str) -> SweepTask:
        if name not in self.tasks:
            return sweep_task(name, self.settings)
        task = self.tasks[name]
        fields = [field.field for field in task.inputs]
        data = without_blanks(self.data / f"{name}.jsonl", fields, self.out / "data")
        return SweepTask(task, str(data))

    def _split(self, source: SweepTask, seed: int) -> Splits:
        return split(source, self.settings.test_size, seed=seed)

    def _with_pool(self, source: SweepTask) -> SweepTask:
        """The task with its test set and other examples, drawn at random, not of the target."""
        splits = self._split(source, TARGET_SEED)
        kept = sorted(one.index for one in (*splits.test, *splits.order[-self.pool :]))
        return replace(source, data=self._lines_of(source, kept, f"pool-{self.pool}"))

    def _with_target(self, source: SweepTask) -> SweepTask:
        """The task with a target set, drawn at random from the examples not in the test."""
        drawn = self._split(source, TARGET_SEED).order[: self.target]
        kept = [example.index for example in drawn]
        return replace(source, target=self._lines_of(source, kept, f"target-{self.target}"))

    def _lines_of(self, source: SweepTask, kept: list[int], words: str) -> str:
        """A file with these lines of the task's data."""
        lines = Path(source.data).read_text("utf-8").splitlines(keepends=True)
        file = self.out / "data" / f"{source.task.name}-{words}.jsonl"
        write_text(file, "".join(lines[index] for index in kept))
        return str(file)

    def _note(self, name: str, splits: Splits) -> None:
        """Keep what the test set of a task is like."""
        answers = Counter(example.answer for example in splits.test)
        fact = {
            "most frequent answer": answers.most_common(1)[0][1] / len(splits.test),
            "other examples": splits.largest_budget,
            "test_digest": splits.test_digest,
        }
        known = read_json(self.facts) if self.facts.exists() else {}
        if known.get(name) != fact:
            self.facts.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.facts, dict(sorted((known | {name: fact}).items())))


def suffix(pool: int, group_by: str | None) -> str:
    """What tells the rows of a pool and of subtasks from others in a file's name."""
    return (f"-{pool}" if pool else "") + (f"-by-{group_by}" if group_by else "")


def main() -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, metavar="TASKS")
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--recipe", default="linear")
    parser.add_argument("--tasks", help="names; all by default")
    parser.add_argument("--task-files", type=Path, metavar="FOLDER", help="tasks of your own")
    parser.add_argument("--budgets", default=",".join(map(str, BUDGETS)))
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--select", default=RANDOM)
    parser.add_argument("--target", type=int, default=0, help="labels of the target set")
    parser.add_argument("--pool", type=int, default=0, help="examples to choose from; 0: all")
    parser.add_argument("--group-by", metavar="FIELD", help="the field with the subtasks")
    parser.add_argument("--constrain", action="store_true", help="decode along the answers")
    parser.add_argument("--rows", type=Path, metavar="FOLDER", help="rows of your own, all anew")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    if given.task_files and not given.rows:
        parser.error("--task-files needs --rows: the committed rows are of other tasks")
    settings = SweepSettings(
        model=given.model,
        recipe=recipe_for(given.recipe, given.model),
        budgets=tuple(int(n) for n in given.budgets.split(",")),
        seeds=tuple(int(n) for n in given.seeds.split(",")),
        test_size=TEST,
        threads=1,
        selectors=tuple(given.select.split(",")),
    )
    name = f"{file_name(given.model)}-{Path(given.recipe).stem}{suffix(given.pool, given.group_by)}"
    selected = given.select != RANDOM and not given.pool

    def rows_in(folder: Path | None) -> Rows:
        if selected:
            return RowsByTask((folder or SELECTED) / name)
        return Rows((folder or (FROM_POOLS if given.pool else ROWS)) / f"{name}.jsonl")

    tasks = tasks_in(given.task_files) if given.task_files else TASKS
    generated = () if given.task_files else GENERATED
    measurement = Measurement(
        tasks=tasks,
        data=given.data,
        out=given.out,
        rows=rows_in(given.rows),
        committed=rows_in(None),
        facts=given.rows / FACTS.name if given.rows else FACTS,
        settings=settings,
        target=given.target,
        pool=given.pool,
        group_by=given.group_by,
        constrain=given.constrain,
    )
    try:
        measurement.run(given.tasks.split(",") if given.tasks else [*tasks, *generated])
    except InputError as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
