"""`labelcast sweep`: measured curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from labelcast.cli.console import cell, print_json, say, span, stdout, tell, waiting
from labelcast.cli.options import BatchSize, Device, Dtype, Json, Model, Recipe, ReportTo
from labelcast.errors import InputError, RunError

if TYPE_CHECKING:
    from labelcast.sweeps.job import SweepJob, SweepSettings
    from labelcast.sweeps.scores import MeasuredCurve
    from labelcast.sweeps.sweep import Sweep


def sweep(
    task: Annotated[
        list[str], Option("--task", "-t", help="A task file or a catalogue name; repeatable.")
    ],
    out: Annotated[Path, Option("--out", "-o", help="The sweep's folder.")],
    model: Model = "smollm2",
    data: Annotated[
        list[str] | None,
        Option(help="Labelled examples, a source for each --task; the task's own by default."),
    ] = None,
    test_data: Annotated[
        list[str] | None,
        Option(help="Test examples, a source for each --task; drawn from --data by default."),
    ] = None,
    budgets: Annotated[
        str, Option(help="Numbers of labels, validation included; 0 is zero-shot.")
    ] = "0,50,100,200,500,1000,2500,5000",
    seeds: Annotated[
        str, Option(help="Training seeds, separated by commas; each draws its own labels.")
    ] = "1",
    select: Annotated[
        str, Option(help="Methods that choose the labels, separated by commas: random,k-centre.")
    ] = "random",
    target: Annotated[
        list[str] | None,
        Option(help="Labelled examples that methods choose by, a file for each --task."),
    ] = None,
    group_by: Annotated[
        str | None,
        Option(help="The field with the subtask of each example, for methods that use it."),
    ] = None,
    stage: Annotated[
        list[str] | None, Option(help="A task to train on first (warm start); repeatable.")
    ] = None,
    stage_data: Annotated[
        list[str] | None,
        Option(help="Labelled examples, a source for each --stage; the task's own by default."),
    ] = None,
    stages: Annotated[
        str | None,
        Option(help="Orders of stages: none,trec,trec+emotion.  [default: none, and all in order]"),
    ] = None,
    stage_labels: Annotated[int, Option(help="Labels of each stage, at most.")] = 1000,
    recipe: Recipe = "full",
    test_size: Annotated[int, Option(help="Test examples of each task.")] = 500,
    engine: Annotated[str, Option(help="Where jobs run: local or ray.")] = "local",
    address: Annotated[
        str | None, Option(help="Address of a Ray cluster; starts a local one by default.")
    ] = None,
    jobs: Annotated[
        int | None,
        Option(help="Jobs at once; by default one, or as many as fit on the GPUs.", min=1),
    ] = None,
    gpus_per_job: Annotated[
        float, Option(help="GPUs for each job, or a fraction of one.", min=0.01, max=1024)
    ] = 1.0,
    retries: Annotated[int, Option(help="How often a failed job is tried again.", min=0)] = 1,
    retry_failed: Annotated[
        bool, Option("--retry-failed", help="Also run jobs that failed in an earlier run.")
    ] = False,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Time a few steps, estimate the hours, and stop.")
    ] = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch_size: BatchSize = None,
    max_new_tokens: Annotated[int, Option(help="Most tokens of an answer.", min=1)] = 30,
    report_to: ReportTo = None,
    as_json: Json = False,
) -> None:
    """Measure curves: fine-tune and score each task at each budget.

    If it is interrupted, run the same command to resume: only missing jobs run.

    The test set is drawn at random, and is the same for all seeds and methods of --select.

    Example: labelcast sweep --task boolean_expressions --budgets 0,50,100,200,500 --out sweep
    Example: labelcast sweep --task sst2.yaml --select random,k-centre --seeds 1,2,3 --out sweep
    Example: labelcast sweep --task sst2.yaml --stage trec.yaml --stages none,trec --out sweep
    """
    from labelcast.cli.sweep_table import SweepTable
    from labelcast.execution.local import LocalWorkers, cores
    from labelcast.execution.ray_workers import RayWorkers
    from labelcast.models.choices import check_dtype, choose_device, refuse_spread
    from labelcast.sweeps import estimate
    from labelcast.sweeps.job import SweepSettings
    from labelcast.sweeps.records import ScoreRow
    from labelcast.sweeps.stages import Stages
    from labelcast.sweeps.sweep import Sweep, sweep_task
    from labelcast.training.backend import recipe_for
    from labelcast.training.reporting import trackers

    if engine not in ("local", "ray"):
        raise InputError(f"--engine {engine}: choose local or ray.")
    if address is not None and engine != "ray":
        raise InputError("--address: is for --engine ray.")
    check_dtype(dtype)
    # A cluster may have devices that this machine does not have.
    check_device = refuse_spread if engine == "ray" or device == "auto" else choose_device
    check_device(device)
    here: LocalWorkers[ScoreRow] | None = None
    if engine == "local":
        here = LocalWorkers(jobs, gpus_per_job=gpus_per_job, device=device, logs=out / "logs")
    settings = SweepSettings(
        model=model,
        recipe=recipe_for(recipe, model),
        budgets=_numbers("--budgets", budgets),
        seeds=_numbers("--seeds", seeds),
        selectors=tuple(name.strip() for name in select.split(",")),
        test_size=test_size,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        max_new_tokens=max_new_tokens,
        threads=max(1, cores() // here.slots) if here else 1,
        processes=max(1, int(gpus_per_job)),
        report_to=trackers(report_to),
    )
    if gpus_per_job > 1 and gpus_per_job % 1:
        raise InputError(
            f"--gpus-per-job {gpus_per_job:g}: must be a whole number, or a fraction of one GPU."
        )
    sources = {"--data": data, "--test-data": test_data, "--target": target}
    given = zip(task, *(_each(name, each, task) for name, each in sources.items()), strict=True)
    tasks = [
        replace(sweep_task(spec, settings, *sources), group_by=group_by) for spec, *sources in given
    ]
    before = stage or []
    sources_before = zip(before, _each("--stage-data", stage_data, before, "--stage"), strict=True)
    settings = replace(
        settings,
        stages=Stages.of(
            [sweep_task(spec, settings, source) for spec, source in sources_before],
            [order.strip() for order in stages.split(",")] if stages else (),
            stage_labels,
        ),
    )
    found = Sweep(out)
    with waiting("Reading the tasks' data"):
        all_jobs = found.begin(tasks, settings, dry_run=dry_run)
    missing = found.missing(all_jobs, retry_failed=retry_failed)
    if dry_run:
        # Jobs on one device share its speed; only more devices take less time.
        _estimate(all_jobs, missing, here.devices if here else jobs or 1, as_json)
        return
    done = len(all_jobs) - len(missing)
    say(f"{len(all_jobs)} jobs: {done} done, {len(missing)} to do.")
    if missing:
        few, most = estimate.steps(settings.recipe)
        range_of = f"{few} to {most}" if few < most else f"{most}"
        steps = "one fit of a head" if most == 1 else f"{range_of} training steps"
        say(f"Each has {steps}; --dry-run says how long that takes.")
        workers: LocalWorkers[ScoreRow] | RayWorkers[ScoreRow] | None = here
        if workers is None:
            with waiting("Joining the Ray cluster"):
                workers = RayWorkers(address, gpus_per_job=gpus_per_job, size=jobs)
        say(workers.where)
        with SweepTable(missing, workers.slots, found.scores.rows()) as table:
            result, event = table.on_result, table.on_event
            found.run(missing, workers, retries=retries, on_result=result, on_event=event)
    names = [source.task.name for source in tasks]
    _show(found, names, settings, all_jobs, as_json)


def _numbers(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"{option} {text}: whole numbers separated by commas, such as 0,50,100."
        ) from None


def _each(
    option: str, given: Sequence[str] | None, task: Sequence[str], beside: str = "--task"
) -> Sequence[str | None]:
    """One value for each task; None for all if none is given."""
    if not given:
        return [None] * len(task)
    if len(given) != len(task):
        raise InputError(
            f"{option}: given {len(given)} times for {len(task)} tasks. Give one for each "
            f"{beside}, in the same order."
        )
    return given


def _estimate(
    every: Sequence[SweepJob], missing: Sequence[SweepJob], devices: int, as_json: bool
) -> None:
    """Print how long the missing jobs will take."""
    from labelcast.runs.records import RANDOM
    from labelcast.sweeps import estimate
    from labelcast.sweeps.records import NO_STAGES

    speeds: dict[str, estimate.Speed] = {}
    # The last job of each task has its largest budget.
    largest = {job.name: job for job in every}

    def say_rough(speed: estimate.Speed) -> None:
        if not speeds:
            ends = estimate.total([estimate.seconds(job, speed) for job in missing], devices)
            say(f"Roughly {span(*ends)} for {len(missing)} jobs, from a few forward passes.")

    many = "1 task" if len(largest) == 1 else f"{len(largest)} tasks"
    say(f"Timing real steps of {many}; the first loads the model.")
    for name, job in largest.items():
        with waiting(f"Timing a few steps of {name}"):
            speeds[name] = estimate.measure_speed(job, say_rough)
        if len(speeds) < len(largest):
            say(f"  timed {name}: {len(speeds)} of {len(largest)}")
    pairs = [estimate.seconds(job, speeds[job.name]) for job in missing]
    low, high = estimate.total(pairs, devices)
    selects = any(job.selector != RANDOM for job in missing)
    left_out = ["the time to choose labels"] if selects else []
    left_out += ["the stages before"] if any(job.stages != NO_STAGES for job in missing) else []
    basis = "measured: a few training steps and answers of each task"
    basis += f"; not counted: {' and '.join(left_out)}" if left_out else ""
    if as_json:
        print_json(
            {
                "jobs": len(every),
                "missing": len(missing),
                "hours_low": low / 3600,
                "hours_high": high / 3600,
                "devices": devices,
                "basis": basis,
                "speed": {name: vars(speed) for name, speed in speeds.items()},
            }
        )
        return
    few, most = estimate.steps(every[0].settings.recipe)
    tell(f"{span(low, high)} for {len(missing)} of {len(every)} jobs")
    device = next(iter(speeds.values())).device
    say(f"  measured: {many}, a few training steps and answers each, on {device}")
    if left_out:
        say(f"  not counted: {' and '.join(left_out)}")
    if most > few:
        say(f"  from {few} steps per job (if early stopping ends it as soon as it can) to {most}")


def _show(
    found: Sweep,
    tasks: Sequence[str],
    settings: SweepSettings,
    jobs: Sequence[SweepJob],
    as_json: bool,
) -> None:
    curves, keys = found.write_curves(), {job.key for job in jobs}
    failed = [row for row in found.scores.rows() if row.error and row.key in keys]
    names = settings.curve_names(tasks)
    if as_json:
        print_json(
            {
                "out": str(found.path),
                "scores": str(found.scores.path),
                "jobs": len(jobs),
                "failed": len(failed),
                "curves": {name: curves[name].to_dict() for name in names},
            }
        )
    else:
        for name in names:
            _show_curve(name, curves[name])
    for error in dict.fromkeys(row.error for row in failed):
        first, *more = [row for row in failed if row.error == error]
        others = f", and {len(more)} more jobs" if more else ""
        say(f"failed: {first.key}{others}: {error}")
    if failed:
        raise RunError(
            f"{len(failed)} of {len(jobs)} jobs failed; their errors are in {found.scores.path}. "
            "Run the same command with --retry-failed to try them again."
        )
    say(f"Scores are in {found.scores.path}, the curves in {found.path / 'curve.json'}.")


def _show_curve(name: str, curve: MeasuredCurve) -> None:
    from rich.table import Column, Table

    columns = (Column(title, justify="right") for title in ("labels", "score", "seeds"))
    title = cell(f"{name} ({curve.metric})")
    table = Table(*columns, title=title, box=None, title_justify="left")
    for budget, score, many in zip(curve.budgets, curve.scores, curve.seeds, strict=True):
        table.add_row(f"{budget:,}", f"{score:.3f}", str(many))
    stdout().print(table)
    if curve.auc is None:
        say(f"  no AUC: {curve.note}")
    else:
        ends = ", last score carried on to 5,000" if curve.censored else ""
        tell(f"AUC {curve.auc:.4f}{ends}")
        if curve.note:
            say(f"  {curve.note}")
