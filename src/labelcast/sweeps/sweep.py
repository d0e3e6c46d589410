"""A sweep: tasks x budgets x seeds of one model and recipe, kept in a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from shutil import rmtree

from labelcast.errors import InputError
from labelcast.execution.workers import Event, Workers, run_jobs
from labelcast.files.json_files import read_json, write_json
from labelcast.files.untrusted import refuse_links
from labelcast.models.identity import Description
from labelcast.models.loading import describe
from labelcast.runs.records import parse
from labelcast.runs.run import Run, versions
from labelcast.sweeps.job import SweepJob, SweepSettings, SweepTask, split
from labelcast.sweeps.records import ScoreRow, SweepFile
from labelcast.sweeps.scores import MeasuredCurve, ScoresFile, curves_of
from labelcast.tasks.sources import open_source
from labelcast.tasks.task import Task

_POOL = 5000


def sweep_task(
    spec: str, settings: SweepSettings, data: str | None = None, test_data: str | None = None
) -> SweepTask:
    """A task with its data; raises InputError if either is missing.

    A generated task without a size gets one that stays the same when the sweep is extended up to
    5,000 labels.

    Args:
        spec: a task file, or the name of a task in the catalogue.
        settings: of the sweep.
        data: labelled examples, as `open_source` takes them; the task's own by default.
        test_data: test examples; drawn from `data` by default.
    """
    task = Task.load(spec)
    source = data or task.data
    if source is None and task.hub is not None:
        source = task.hub.spec("train")
        # A test split without labels cannot be used.
        roles = ("valid",) if task.hub.unlabelled else ("test", "valid")
        held = [role for role in roles if role in task.hub.splits]
        test_data = test_data or (task.hub.spec(held[0]) if held else None)  # type: ignore[arg-type]
    if source is None:
        raise InputError(f"task {task.name}: it names no data of its own. Give --data.")
    if source.startswith("generated:") and source.count(":") == 1:
        source += f":{max(_POOL, *settings.budgets) + settings.test_size}"
    if not source.startswith(("hub:", "generated:")):
        source = open_source(source).spec
    return SweepTask(task, source, test_data)


def check_data(source: SweepTask, settings: SweepSettings) -> str:
    """Read a task's data without a model; returns the digest of its test set.

    Raises:
        InputError: a record is wrong, or there are too few for the budgets and the test set.
    """
    seed, split_seed = settings.seeds[0], settings.split_seed
    splits = split(source, settings.test_size, seed=seed, split_seed=split_seed)
    largest = max(settings.budgets)
    if largest > splits.largest_budget:
        raise InputError(
            f"task {source.task.name}: {source.data} leaves {splits.largest_budget} examples to "
            f"train on beside {len(splits.test)} for the test, fewer than the largest budget of "
            f"{largest}. Give more data, or lower --budgets or --test-size."
        )
    return splits.test_digest


class Sweep:
    """A sweep's folder: `sweep.json`, `scores.jsonl`, `curve.json`, and `jobs/` while it runs."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.file = self.path / "sweep.json"
        self.scores = ScoresFile(self.path / "scores.jsonl")

    @classmethod
    def open(cls, path: str | Path) -> Sweep:
        """An existing sweep; raises InputError if the folder has none."""
        sweep = cls(path)
        if not sweep.file.exists():
            raise InputError(f"{path}: no sweep (it has no sweep.json).")
        refuse_links(sweep.path)
        return sweep

    def read(self) -> SweepFile:
        """The content of `sweep.json`; raises InputError if it is damaged."""
        way_out = "Sweep again into another --out."
        content = parse(SweepFile, read_json(self.file), str(self.file), way_out)
        for name, entry in content.tasks.items():
            # The name is part of paths; only a task's own name cannot lead out of the folder.
            if entry.task.name != name:
                raise InputError(f"{self.file}: damaged ({name!r} is another task's). {way_out}")
        return content

    def begin(self, tasks: Sequence[SweepTask], settings: SweepSettings) -> tuple[SweepJob, ...]:
        """Check everything before any work, write `sweep.json`, and list the jobs.

        Small budgets come first, so that a first curve appears early.

        Raises:
            InputError: wrong or too little data, a task given twice, or a folder with a link to
                outside or with a sweep of another model, recipe, task or test set.
        """
        refuse_links(self.path)
        names = [source.task.name for source in tasks]
        if len(set(names)) < len(names):
            raise InputError("--task: a task is given twice.")
        now = _content(tasks, settings, describe(settings.model))
        if self.file.exists():
            now = _joined(self.path, self.read(), now)
        elif self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path}: a file, where a folder is needed.")
        elif self.scores.path.exists():
            raise InputError(
                f"{self.path}: holds scores.jsonl but no sweep.json. Choose another --out."
            )
        if not self.file.exists() or now != self.read():
            with Run(self.path).locked():
                # Another process may have started or extended this sweep meanwhile.
                if self.file.exists():
                    now = _joined(self.path, self.read(), now)
                write_json(self.file, now.to_dict())
        folder = self.path.resolve() / "jobs"
        return tuple(
            SweepJob(
                settings, source, budget, seed, str(folder / f"{source.task.name}-{budget}-{seed}")
            )
            for budget in sorted(settings.budgets)
            for source in tasks
            for seed in settings.seeds
        )

    def missing(
        self, jobs: Sequence[SweepJob], *, retry_failed: bool = False
    ) -> tuple[SweepJob, ...]:
        """The jobs that have no row yet; with `retry_failed` also those that failed."""
        done = {row.key for row in self.scores.rows() if not (retry_failed and row.error)}
        return tuple(job for job in jobs if job.key not in done)

    def run(
        self,
        jobs: Sequence[SweepJob],
        workers: Workers[ScoreRow],
        *,
        retries: int = 1,
        on_result: Callable[[int, ScoreRow], None] = lambda number, row: None,
        on_event: Callable[[Event[ScoreRow]], None] = lambda event: None,
    ) -> None:
        """Run jobs from `missing`, append a row for each, and write the curves.

        The arguments are those of `run_jobs`; `on_result` is called when a row is on the disk.

        Raises:
            RunError: the folder cannot be written, or another process is using this sweep.
        """
        with Run(self.path).locked():
            known = self.read().tasks
            # Another process may have worked here since `missing`.
            still = {job.key for job in self.missing(jobs, retry_failed=True)}
            left = [number for number, job in enumerate(jobs) if job.key in still]
            self.scores.drop(still)

            def keep(position: int, row: ScoreRow) -> None:
                if not row.error and row.test_digest != known[row.task].test_digest:
                    fault = "the data has changed since the sweep began: the test set differs"
                    row = row.model_copy(update={"score": None, "score_sd": None, "error": fault})
                self.scores.append(row)
                on_result(left[position], row)

            try:
                run_jobs(
                    workers,
                    [jobs[number] for number in left],
                    retries=retries,
                    on_result=keep,
                    on_event=lambda event: on_event(replace(event, number=left[event.number])),
                )
            finally:
                self.write_curves()
            rmtree(self.path / "jobs", ignore_errors=True)

    def write_curves(self) -> dict[str, MeasuredCurve]:
        """Write `curve.json`, the curve of each task, and return it."""
        tasks = {name: entry.task for name, entry in self.read().tasks.items()}
        curves = curves_of(self.scores.rows(), tasks)
        write_json(self.path / "curve.json", {name: vars(curve) for name, curve in curves.items()})
        return curves


def _content(tasks: Sequence[SweepTask], settings: SweepSettings, model: Description) -> SweepFile:
    return SweepFile.model_validate(
        {
            "model": asdict(model.identity) | {"parameters": model.parameters},
            "recipe": settings.recipe.model_dump(mode="json"),
            "recipe_digest": settings.recipe.digest,
            "test_size": settings.test_size,
            "split_seed": settings.split_seed,
            "max_new_tokens": settings.max_new_tokens,
            "tasks": {
                source.task.name: {
                    "task": source.task,
                    "data": source.data,
                    "test_data": source.test_data,
                    "test_digest": check_data(source, settings),
                }
                for source in tasks
            },
            "budgets": sorted(settings.budgets),
            "seeds": sorted(settings.seeds),
            "versions": versions(),
        }
    )


def _joined(path: Path, before: SweepFile, now: SweepFile) -> SweepFile:
    """A sweep's file extended by what a rerun adds; refuses a rerun of another sweep."""
    was = _shared(before)
    for name, (words, value) in _shared(now).items():
        if was[name][1] != value:
            raise InputError(
                f"{path}: holds a sweep with another {name} ({was[name][0]}; now {words}). "
                "Choose another --out."
            )
    for name, entry in now.tasks.items():
        known = before.tasks.get(name, entry)
        if (known.task, known.test_digest) != (entry.task, entry.test_digest):
            other = "task file" if known.task != entry.task else "test set"
            raise InputError(
                f"{path}: holds scores of {name} with another {other}. Scores of the two cannot "
                "be compared: choose another --out."
            )
    added = {
        "tasks": before.tasks | now.tasks,
        "budgets": sorted({*before.budgets, *now.budgets}),
        "seeds": sorted({*before.seeds, *now.seeds}),
    }
    return before.model_copy(update=added)


def _shared(content: SweepFile) -> dict[str, tuple[object, object]]:
    """What all jobs of a sweep share: its text in messages, and the value that is compared."""
    return {
        "model": (content.model.name, content.model.fingerprint),
        "recipe": (content.recipe.name, content.recipe_digest),
        "test size": (content.test_size, content.test_size),
        "split seed": (content.split_seed, content.split_seed),
        "answer length": (content.max_new_tokens, content.max_new_tokens),
    }
