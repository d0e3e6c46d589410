"""A sweep: tasks x budgets x seeds of one model and recipe, kept in a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from shutil import rmtree
from typing import Any

from labelcast.errors import InputError
from labelcast.execution.jobs import Event, Workers, run_jobs
from labelcast.files.json_files import read_json, write_json
from labelcast.files.untrusted import refuse_links
from labelcast.models.identity import Description
from labelcast.models.loading import describe
from labelcast.runs.records import parse
from labelcast.runs.run import Run, versions
from labelcast.sweeps.job import Job, JobResult
from labelcast.sweeps.measured import curves_of
from labelcast.sweeps.records import SweepFile
from labelcast.sweeps.scores import Key, ScoresFile, key_of
from labelcast.tasks.prompts import Example, Render, examples
from labelcast.tasks.sources import open_source
from labelcast.tasks.task import Task
from labelcast.training.recipe import Recipe
from labelcast.training.splits import Splits

BUDGETS = (0, 50, 100, 200, 500, 1000, 2500, 5000)
"""The budgets of the published curves."""

_POOL = 5000


@dataclass(frozen=True)
class SweepTask:
    """One task of a sweep and where its labelled examples come from."""

    task: Task
    data: str
    test_data: str | None = None


@dataclass(frozen=True)
class Settings:
    """What is the same for every job of a sweep.

    Attributes:
        model: as `load_model` takes it.
        recipe: of the fine-tuning.
        budgets: labels, each from 0 up.
        seeds: of the draw of training examples and of training.
        test_size: test examples of each task.
        split_seed: of the test set.
        device, dtype: as `load_model` takes them.
        batch_size: prompts at once in the evaluation; None takes one for the device.
        max_new_tokens: where an answer is cut off.
        threads: of torch in each job; None leaves that to torch.
        processes: of one job; above 1 it runs under accelerate.
    """

    model: str
    recipe: Recipe
    budgets: tuple[int, ...] = BUDGETS
    seeds: tuple[int, ...] = (1,)
    test_size: int = 500
    split_seed: int = 0
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int | None = None
    max_new_tokens: int = 30
    threads: int | None = None
    processes: int = 1

    def __post_init__(self) -> None:
        """Refuse budgets and seeds that no sweep can have."""
        for name, values in (("--budgets", self.budgets), ("--seeds", self.seeds)):
            if not values or min(values) < 0 or len(set(values)) < len(values):
                raise InputError(
                    f"{name}: whole numbers from 0 up, separated by commas, no two alike."
                )
        if self.test_size < 1:
            raise InputError(f"--test-size {self.test_size}: at least 1 test example is needed.")


def sweep_task(
    spec: str, settings: Settings, data: str | None = None, test_data: str | None = None
) -> SweepTask:
    """A task with its data.

    A generated task without a size gets one that does not change when a sweep is extended as far
    as 5,000 labels.

    Args:
        spec: a task file, or a task of the catalogue by its name.
        settings: of the sweep.
        data: labelled examples, as `open_source` takes them; the task's own by default.
        test_data: the same for the test set; by default it comes out of `data`.

    Raises:
        InputError: no such task, or no data for it.
    """
    task = Task.load(spec)
    source = data or task.data
    if source is None and task.hub is not None:
        source = task.hub.spec("train")
        # A test split without labels cannot be scored on.
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


def check_data(chosen: SweepTask, settings: Settings) -> str:
    """Read a task's data once, without a model, and name its test set by its contents.

    Raises:
        InputError: a record is broken, or there are too few for the budgets and the test set.
    """
    splits = split(
        chosen, settings.test_size, seed=settings.seeds[0], split_seed=settings.split_seed
    )
    largest = max(settings.budgets)
    if largest > splits.largest_budget:
        raise InputError(
            f"task {chosen.task.name}: {chosen.data} leaves {splits.largest_budget} examples to "
            f"train on beside {len(splits.test)} for the test, and a budget of {largest} is asked "
            "for. Give more data, or lower --budgets or --test-size."
        )
    return splits.test_digest


def split(
    chosen: SweepTask,
    test_size: int,
    *,
    seed: int,
    split_seed: int = 0,
    render: Render | None = None,
) -> Splits:
    """The split of a task's data, as its jobs make it.

    Args:
        chosen: the task and its data.
        test_size: how many to test on.
        seed: of the training order.
        split_seed: of the test set.
        render: the model's chat template; None leaves the user text alone, which changes no split.
    """
    render = render or (lambda instruction, user: user)

    def read(spec: str) -> Iterator[Example]:
        return examples(open_source(spec), chosen.task, render, need_answer=True)

    test = None if chosen.test_data is None else read(chosen.test_data)
    return Splits.of(read(chosen.data), test, test_size, seed=seed, split_seed=split_seed)


class Sweep:
    """A sweep's folder: `sweep.json`, `scores.jsonl`, `curve.json`, and `jobs/` while it runs."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.scores = ScoresFile(self.path / "scores.jsonl")

    @classmethod
    def open(cls, path: str | Path) -> Sweep:
        """A sweep that has been begun.

        Raises:
            InputError: the folder holds none.
        """
        sweep = cls(path)
        if not (sweep.path / "sweep.json").exists():
            raise InputError(f"{path}: no sweep (it has no sweep.json).")
        refuse_links(sweep.path)
        return sweep

    @property
    def settings(self) -> dict[str, Any]:
        """What `sweep.json` holds."""
        content = read_json(self.path / "sweep.json")
        if not isinstance(content, dict) or not isinstance(content.get("tasks"), dict):
            raise InputError(f"{self.path / 'sweep.json'}: damaged (no 'tasks' in it).")
        where, way_out = f"{self.path / 'sweep.json'}", "Sweep again into another --out."
        parse(SweepFile, content, where, way_out)
        for name, entry in content["tasks"].items():
            # The name stands in paths, and a task's own name cannot lead out of the folder.
            if Task.build(entry["task"], where).name != name:
                raise InputError(f"{where}: damaged ({name!r} is another task's). {way_out}")
        return content

    def begin(self, tasks: Sequence[SweepTask], settings: Settings) -> tuple[Job, ...]:
        """Check everything before any work, write `sweep.json`, and name the jobs.

        Raises:
            InputError: broken or too little data, a task twice, or a folder with a sweep of
                another model, recipe, task or test set, or with a link out of it.
        """
        refuse_links(self.path)
        names = [chosen.task.name for chosen in tasks]
        if len(set(names)) < len(names):
            raise InputError("--task: a task is named twice.")
        now = _content(tasks, settings, describe(settings.model))
        file = self.path / "sweep.json"
        if file.exists():
            now = _joined(self.path, self.settings, now)
        elif self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path}: a file, where a folder is needed.")
        elif self.scores.path.exists():
            raise InputError(
                f"{self.path}: holds scores.jsonl but no sweep.json. Choose another --out."
            )
        if not file.exists() or now != self.settings:
            with Run(self.path).locked():
                # Another process may have begun or extended this sweep meanwhile.
                write_json(file, _joined(self.path, self.settings, now) if file.exists() else now)
        return self.jobs(tasks, settings)

    def jobs(self, tasks: Sequence[SweepTask], settings: Settings) -> tuple[Job, ...]:
        """Every job: small budgets first, so that a first curve shows early."""
        shared = {
            name: getattr(settings, name)
            for name in (
                *("model", "recipe", "test_size", "split_seed", "device", "dtype"),
                *("batch_size", "max_new_tokens", "threads", "processes"),
            )
        }
        return tuple(
            Job(
                task=chosen.task.model_dump(mode="json"),
                data=chosen.data,
                test_data=chosen.test_data,
                budget=budget,
                seed=seed,
                folder=str(self.path.resolve() / "jobs" / f"{chosen.task.name}-{budget}-{seed}"),
                **shared,
            )
            for budget in sorted(settings.budgets)
            for chosen in tasks
            for seed in settings.seeds
        )

    def missing(self, jobs: Sequence[Job], *, retry_failed: bool = False) -> tuple[Job, ...]:
        """The jobs that have no row yet; with `retry_failed` those that failed too."""
        done = {key_of(row) for row in self.scores.rows() if not (retry_failed and row["error"])}
        return tuple(job for job in jobs if _key(job) not in done)

    def run(
        self,
        jobs: Sequence[Job],
        workers: Workers,
        *,
        retries: int = 1,
        on_result: Callable[[JobResult], None] = lambda result: None,
        on_event: Callable[[Event], None] = lambda event: None,
    ) -> None:
        """Do the given jobs and append each result once; the curves are written at the end.

        Args:
            jobs: what `missing` named.
            workers: where they run; closed at the end.
            retries: further tries of a failed job before its error is recorded.
            on_result: called when a result is on the disk.
            on_event: as `run_jobs` has it.

        Raises:
            RunError: the folder cannot be written, or another process works on this sweep.
        """
        with Run(self.path).locked():
            known = self.settings["tasks"]
            self.scores.heal()
            # Another process may have worked here since `missing`: what has a score stays.
            jobs = [job for job in jobs if job in self.missing(jobs, retry_failed=True)]
            self.scores.drop(_key(job) for job in jobs)

            def keep(result: JobResult) -> None:
                result = _same_test(result, known[result.task]["test_digest"])
                self.scores.append(result.row())
                on_result(result)

            try:
                run_jobs(workers, jobs, retries=retries, on_result=keep, on_event=on_event)
            finally:
                self.write_curves()
            rmtree(self.path / "jobs", ignore_errors=True)

    def write_curves(self) -> dict[str, Any]:
        """Write `curve.json`: for each task budgets, mean scores, AUC; and return it."""
        tasks = {
            name: Task.model_validate(entry["task"])
            for name, entry in self.settings["tasks"].items()
        }
        curves = curves_of(self.scores.rows(), tasks)
        write_json(self.path / "curve.json", curves)
        return curves


def _key(job: Job) -> Key:
    return job.name, job.budget, job.seed


def _same_test(result: JobResult, digest: str) -> JobResult:
    """The result; an error where it was tested on other data than the rest of its sweep."""
    if result.failed or result.test_digest == digest:
        return result
    fault = "the data has changed since the sweep began: its test set is another one"
    return replace(result, score=None, score_sd=None, error=fault)


def _content(tasks: Sequence[SweepTask], settings: Settings, model: Description) -> dict[str, Any]:
    """What `sweep.json` says of a sweep."""
    return {
        "model": asdict(model.identity) | {"parameters": model.parameters},
        "recipe": settings.recipe.model_dump(mode="json"),
        "recipe_digest": settings.recipe.digest,
        "test_size": settings.test_size,
        "split_seed": settings.split_seed,
        "max_new_tokens": settings.max_new_tokens,
        "tasks": {
            chosen.task.name: {
                "task": chosen.task.model_dump(mode="json"),
                "data": chosen.data,
                "test_data": chosen.test_data,
                "test_digest": check_data(chosen, settings),
            }
            for chosen in tasks
        },
        "budgets": sorted(settings.budgets),
        "seeds": sorted(settings.seeds),
        "versions": versions(),
    }


def _joined(path: Path, before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """One sweep's settings with what a rerun adds to them; refuses what cannot be one sweep."""
    was = _what_counts(before)
    for name, value in _what_counts(now).items():
        if was[name][-1] != value[-1]:
            raise InputError(
                f"{path}: holds a sweep with another {name} ({was[name][0]}; now {value[0]}). "
                "Choose another --out."
            )
    for name, entry in now["tasks"].items():
        known = before["tasks"].get(name, entry)
        for part, words in (("task", "task file"), ("test_digest", "test set")):
            if known.get(part) != entry[part]:
                raise InputError(
                    f"{path}: holds scores of {name} with another {words}. Scores of the two "
                    "cannot be compared: choose another --out."
                )
    return before | {
        "tasks": before["tasks"] | now["tasks"],
        "budgets": sorted({*before["budgets"], *now["budgets"]}),
        "seeds": sorted({*before["seeds"], *now["seeds"]}),
    }


def _what_counts(content: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    """What every job of a sweep must share: its name in words first, what is compared last."""
    return {
        "model": (content["model"]["name"], content["model"]["fingerprint"]),
        "recipe": (content["recipe"]["name"], content["recipe_digest"]),
        "test size": (content["test_size"],),
        "split seed": (content["split_seed"],),
        "answer length": (content["max_new_tokens"],),
    }


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
