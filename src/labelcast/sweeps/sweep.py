"""Learning curves: tasks x budgets x seeds of one model and recipe, kept in a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from multiprocessing import current_process
from pathlib import Path
from shutil import rmtree

from labelcast.errors import InputError, RunError
from labelcast.execution.local import LocalWorkers, cores
from labelcast.execution.workers import Event, Workers, run_jobs
from labelcast.files.json_files import write_json
from labelcast.files.untrusted import check_new_folder, refuse_links
from labelcast.models.checks import check_answers
from labelcast.models.confidence import MAX_NEW_TOKENS
from labelcast.models.identity import KIND
from labelcast.models.loading import describe
from labelcast.runs.records import RANDOM, parse_file
from labelcast.runs.run import Run, versions
from labelcast.sweeps.extension import extended
from labelcast.sweeps.job import BUDGETS, SweepJob, SweepSettings
from labelcast.sweeps.records import ScoreRow, SweepFile
from labelcast.sweeps.scores import MeasuredCurve, ScoresFile, curves_of
from labelcast.sweeps.selected import check_selectors
from labelcast.sweeps.stages import LABELS, Stages
from labelcast.sweeps.task_data import SweepTask, check_data
from labelcast.tasks.sources import open_source
from labelcast.tasks.task import Role, Task
from labelcast.training.backend import check_recipe, recipe_for, trained_dtype
from labelcast.training.recipe import Recipe
from labelcast.training.reporting import trackers

_POOL = 5000
_GUARD = 'call `sweep` under `if __name__ == "__main__":`, since its jobs run in new processes.'


def sweep(
    tasks: Sequence[str | SweepTask],
    out: str | Path,
    *,
    model: str = "smollm2",
    recipe: str | Path | Recipe = "full",
    budgets: Sequence[int] = BUDGETS,
    seeds: Sequence[int] = (1,),
    selectors: Sequence[str] = (RANDOM,),
    stage_tasks: Sequence[str | SweepTask] = (),
    stages: Sequence[str] = (),
    stage_labels: int = LABELS,
    test_size: int = 500,
    device: str = "auto",
    dtype: str = "auto",
    batch_size: int | None = None,
    max_new_tokens: int = MAX_NEW_TOKENS,
    jobs: int | None = None,
    report_to: Sequence[str] = (),
    retries: int = 1,
    retry_failed: bool = False,
    on_result: Callable[[int, ScoreRow], None] = lambda number, row: None,
) -> dict[str, MeasuredCurve]:
    """Measure learning curves: fine-tune and score each task at each budget with each seed.

    After an interruption, the same call runs only the missing jobs. More tasks, budgets, seeds or
    selectors extend the sweep. Jobs run in their own processes, so call it under
    ``if __name__ == "__main__":``.

    Args:
        tasks: task files or catalogue names that have their own data, or results of `sweep_task`,
            which takes other data.
        out: the sweep's folder.
        model: as `load_model` takes it.
        recipe: ``full``, ``lora``, ``linear``, a YAML file, or a `Recipe`.
        budgets: labels, validation included; 0 is zero-shot.
        seeds: seeds of the draw of training examples and of training.
        selectors: methods that choose the training examples. Those with the same seed share the
            test set, which is drawn at random first.
        stage_tasks: tasks to train on before, as `tasks`.
        stages: orders of their names, such as ``none`` and ``trec+emotion``; by default these are
            none and all in the order of `stage_tasks`.
        stage_labels: labels of each stage; a stage with fewer uses all.
        test_size: test examples per task.
        device: as `load_model` takes it.
        dtype: as `load_model` takes it.
        batch_size: prompts at once when scoring; None chooses for the device.
        max_new_tokens: where an answer is cut off.
        jobs: how many run at once; None runs one per GPU, or one.
        report_to: experiment trackers for the losses: trackio, wandb, mlflow, tensorboard (into
            ``OUT/tensorboard``).
        retries: how often a failed job is tried again before its error is kept.
        retry_failed: also run jobs that failed in an earlier call.
        on_result: called after each job with its number and its row of `scores.jsonl`.

    Returns:
        By task: ``budgets`` [K], ``scores`` [K] in [0, 1] (means over seeds), ``auc`` in [0, 1]
        and the other fields of `curve.json`. Curves of other selectors than random have names such
        as ``TASK [k-centre]``, those after stages ``TASK [after trec+emotion]``.

    Raises:
        InputError: broken or too little data, a folder with another sweep, or a selector that
            needs what a sweep does not have.
        RunError: the folder cannot be written, another process is using it, or all jobs failed.

    Examples:
        >>> curves = sweep(["hyperbaton"], "sweep", budgets=(0, 50, 100))  # doctest: +SKIP
        >>> curves["hyperbaton"].scores  # doctest: +SKIP
        [0.52, 0.71, 0.78]
    """
    if getattr(current_process(), "_inheriting", False):  # as multiprocessing itself checks
        raise RunError(f"a worker of a sweep ran the whole script again: {_GUARD}")
    workers = LocalWorkers[ScoreRow](jobs, device=device, logs=Path(out) / "logs")
    settings = SweepSettings(
        model=model,
        recipe=recipe_for(recipe, model),
        budgets=tuple(budgets),
        seeds=tuple(seeds),
        selectors=tuple(selectors),
        test_size=test_size,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        max_new_tokens=max_new_tokens,
        threads=max(1, cores() // workers.slots),
        report_to=trackers(",".join(report_to)),
    )
    chosen, before = (
        [one if isinstance(one, SweepTask) else sweep_task(one, settings) for one in given]
        for given in (tasks, stage_tasks)
    )
    settings = replace(settings, stages=Stages.of(before, stages, stage_labels))
    found = Sweep(out)
    asked = found.begin(chosen, settings)
    missing = found.missing(asked, retry_failed=retry_failed)
    if missing:
        found.run(missing, workers, retries=retries, on_result=on_result)
    keys = {job.key for job in asked}
    errors = {row.key: row.error for row in found.scores.rows() if row.key in keys}
    if errors and all(errors.values()):
        first = next(iter(errors.values()))
        raise RunError(
            f"{out}: all {len(errors)} jobs failed: {first}. If the script has no guard: {_GUARD} "
            "Then give retry_failed=True."
        )
    curves = found.write_curves()
    names = settings.curve_names(one.task.name for one in chosen)
    return {name: curves[name] for name in names}


def sweep_task(
    spec: str,
    settings: SweepSettings,
    data: str | None = None,
    test_data: str | None = None,
    target: str | None = None,
) -> SweepTask:
    """A task with its data; raises InputError if either is missing.

    A generated task without a size gets one that stays the same when the sweep is extended up to
    5,000 labels.

    Args:
        spec: a task file, or the name of a task in the catalogue.
        settings: settings of the sweep.
        data: labelled examples; the task's own by default.
        test_data: test examples; drawn from `data` by default.
        target: labelled examples for the methods that choose by them.
    """
    task = Task.load(spec)
    source = data or task.data
    if source is None and task.hub is not None:
        source = task.hub.spec("train")
        # A test split without labels cannot be used.
        roles: tuple[Role, ...] = ("valid",) if task.hub.unlabelled else ("test", "valid")
        held = [role for role in roles if role in task.hub.splits]
        test_data = test_data or (task.hub.spec(held[0]) if held else None)
    if source is None:
        raise InputError(
            f"task {task.name}: it names no data of its own. Give --data (a stage: --stage-data)."
        )
    if source.startswith("generated:") and source.count(":") == 1:
        source += f":{max(_POOL, *settings.budgets) + settings.test_size}"
    test_data, target = (spec and _absolute(spec) for spec in (test_data, target))
    return SweepTask(task, _absolute(source), test_data, target)


def _absolute(spec: str) -> str:
    """A source that is the same from every current folder."""
    return spec if spec.startswith(("hub:", "generated:")) else open_source(spec).spec


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
        fix = "Sweep again into another --out."
        content = parse_file(SweepFile, self.file, fix)
        for name, entry in content.tasks.items():
            # The name is part of paths; only a task's own name cannot lead out of the folder.
            if entry.task.name != name:
                raise InputError(f"{self.file}: damaged ({name!r} is another task's). {fix}")
        return content

    def begin(
        self, tasks: Sequence[SweepTask], settings: SweepSettings, *, dry_run: bool = False
    ) -> tuple[SweepJob, ...]:
        """Check everything before any work, write `sweep.json`, and list the jobs.

        A dry run writes nothing, and its jobs have no folders.

        Small budgets come first, so that a first curve appears early. Zero-shot is measured once
        for all selectors. Raises InputError for wrong or too little data, a selector that needs
        what a sweep does not have, and a folder of another sweep or with a link to outside.
        """
        refuse_links(self.path)
        names = [source.task.name for source in tasks]
        if len(set(names)) < len(names):
            raise InputError("--task: a task is given twice.")
        check_recipe(settings.recipe, settings.model)
        if settings.recipe.method in ("full", "setfit") and any(settings.budgets):
            trained_dtype(settings.recipe, settings.dtype)
        tasks = [self._with_group_by(source) for source in tasks]
        now = _content(tasks, settings)
        joined = self._joined(now)
        if not dry_run and joined != (self.read() if self.file.exists() else None):
            with Run(self.path).locked():
                # Another process may have started or extended this sweep meanwhile.
                write_json(self.file, self._joined(now).to_dict())
        folder = self.path.resolve() / "jobs"
        jobs = tuple(
            SweepJob(settings, source, n, seed, selector=selector, stages=order)
            for n in sorted(settings.budgets)
            for source in tasks
            for seed in settings.seeds
            for order in settings.stages.orders
            for selector in (settings.selectors if n else (RANDOM,))
        )
        if dry_run:
            return jobs
        return tuple(replace(job, folder=str(folder / job.key.file_name)) for job in jobs)

    def _with_group_by(self, source: SweepTask) -> SweepTask:
        """A task with the `group_by` of an earlier call, if this one has none."""
        known = self.read().tasks.get(source.task.name) if self.file.exists() else None
        if known is None or source.group_by is not None:
            return source
        return replace(source, group_by=known.group_by)

    def _joined(self, now: SweepFile) -> SweepFile:
        """The file with what a rerun adds; refuses a rerun of another sweep."""
        if not self.file.exists():
            check_new_folder(self.path, "sweep")
            return now
        return extended(self.read(), now, self.path)

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
        """
        with Run(self.path).locked():
            known = self.read().tasks
            # Another process may have worked here since `missing`.
            still = {job.key for job in self.missing(jobs, retry_failed=True)}
            left = {number: job for number, job in enumerate(jobs) if job.key in still}
            self.scores.drop(still)

            def keep(number: int, row: ScoreRow) -> None:
                if not row.error and row.test_digest != known[row.task].test_digest:
                    fault = "the data has changed since the sweep began: the test set differs"
                    row = row.model_copy(update={"score": None, "score_sd": None, "error": fault})
                self.scores.append(row)
                on_result(number, row)

            try:
                run_jobs(workers, left, retries=retries, on_result=keep, on_event=on_event)
            finally:
                self.write_curves()
            rmtree(self.path / "jobs", ignore_errors=True)

    def write_curves(self) -> dict[str, MeasuredCurve]:
        """Write `curve.json`, the curve of each task and selector, and return it."""
        content = self.read()
        tasks = {name: entry.task for name, entry in content.tasks.items()}
        curves = curves_of(self.scores.rows(), tasks, content.selectors, content.stages)
        write_json(self.path / "curve.json", {name: vars(curve) for name, curve in curves.items()})
        return curves


def _content(tasks: Sequence[SweepTask], settings: SweepSettings) -> SweepFile:
    identity, parameters = describe(settings.model)
    encoder = identity.architecture.get(KIND) == "encoder"
    for source in (*tasks, *settings.stages.tasks) if encoder else ():
        check_answers(identity.name, source.task.answers, f"task {source.task.name}")
    after_labelling = check_selectors(
        settings.selectors,
        encoder=encoder,
        target=all(source.target is not None for source in tasks),
        subtasks=all(source.group_by is not None for source in tasks),
    )
    data = {
        "test_size": settings.test_size,
        "largest": max(settings.budgets),
        "seed": settings.seeds[0],
    }
    return SweepFile.model_validate(
        {
            "model": asdict(identity) | {"parameters": parameters},
            "recipe": settings.recipe.model_dump(mode="json"),
            "recipe_digest": settings.recipe.digest,
            "test_size": settings.test_size,
            "split_seed": 0,
            "max_new_tokens": settings.max_new_tokens,
            "tasks": {
                source.task.name: vars(source) | check_data(source, **data) for source in tasks
            },
            "budgets": sorted(settings.budgets),
            "seeds": sorted(settings.seeds),
            "selectors": list(settings.selectors),
            "after_labelling": after_labelling,
            "stages": list(settings.stages.orders),
            "stage_tasks": settings.stages.check(settings.recipe),
            "versions": versions(),
        }
    )
