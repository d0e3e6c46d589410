"""`labelcast calibrate`: a calibration card from sweeps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from labelcast.cli.console import print_json, print_table, say, span, tell, warn
from labelcast.cli.options import Device, DryRun, Dtype, Json
from labelcast.errors import InputError
from labelcast.files.untrusted import refuse_run_file

if TYPE_CHECKING:
    from labelcast.sweeps.calibrate import Calibrated
    from labelcast.sweeps.probes import Probes


def calibrate(
    sweeps: Annotated[list[Path], Argument(help="Folders of `labelcast sweep`.")],
    name: Annotated[str | None, Option(help="Name of the card.")] = None,
    out: Annotated[
        Path | None, Option("--out", "-o", help="The card's file; NAME.json by default.")
    ] = None,
    draws: Annotated[int, Option(help="Draws of the low-confidence examples.")] = 3,
    sketch_seeds: Annotated[int, Option(help="Sketches for each draw.")] = 2,
    pool: Annotated[int, Option(help="Examples to measure the confidence of.")] = 1600,
    n_label: Annotated[int, Option(help="Examples in a draw.")] = 32,
    exact: Annotated[
        bool, Option("--exact", help="Also measure CoS-Low without a sketch.")
    ] = False,
    probes_only: Annotated[
        bool, Option("--probes-only", help="Measure CoS-Low and baselines; fit no card.")
    ] = False,
    task: Annotated[
        list[str] | None,
        Option("--task", "-t", help="With --probes-only: the tasks; all by default."),
    ] = None,
    keep_grams: Annotated[
        bool, Option("--keep-grams", help="Keep the gradients' inner products by layer.")
    ] = False,
    probes: Annotated[
        Path | None,
        Option(help="A sweep with the probes of all tasks; each sweep's own by default."),
    ] = None,
    dry_run: DryRun = False,
    force: Annotated[bool, Option("--force", help="Replace an existing file.")] = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
    as_json: Json = False,
) -> None:
    """Fit a calibration card to the curves of 8 or more tasks.

    CoS-Low and its baselines are measured first, where they are missing. If it is interrupted, run
    the same command to resume.

    Example: labelcast calibrate sweep --name my-model
    Example: labelcast calibrate sweep --dry-run
    Example: labelcast calibrate sweep --probes-only --task boolean_expressions
    Example: labelcast forecast run --calibration my-model.json
    """
    from labelcast.sweeps.calibrate import calibrate as calibrate_sweeps
    from labelcast.sweeps.calibrate import estimate_calibration, measure_sweeps_probes
    from labelcast.sweeps.probes import ProbeSettings

    settings = ProbeSettings(
        draws=draws,
        sketch_seeds=sketch_seeds,
        pool=pool,
        n_label=n_label,
        exact=exact,
        keep_grams=keep_grams,
        device=device,
        dtype=dtype,
    )
    for option, value in (("--name", name), ("--out", out), ("--probes", probes)):
        if probes_only and value is not None:
            raise InputError(f"{option}: not with --probes-only, which fits no card.")
    if task and not probes_only:
        raise InputError("--task: only with --probes-only; a card uses all tasks of its sweeps.")
    if dry_run:
        seconds = estimate_calibration(sweeps, settings, task or (), probes)
        if as_json:
            print_json({"seconds": seconds})
        else:
            tell(f"roughly {span(seconds, seconds)} to measure what is missing")
        return
    if probes_only:
        _show_probes(measure_sweeps_probes(sweeps, settings, say, task or ()), as_json)
        return
    if name is None:
        raise InputError("--name: a card needs a name (or give --probes-only).")
    file = out or Path(f"{name}.json")
    if file.suffix != ".json":
        raise InputError(f"--out {file}: a card's file ends in .json.")
    if not force:
        if file.exists():
            raise InputError(f"{file}: already exists. Choose another --out, or give --force.")
        refuse_run_file(file)
    done = calibrate_sweeps(sweeps, name, settings, say, probes)
    done.card.save(file)
    for warning in done.warnings:
        warn(warning)
    if as_json:
        print_json(done.to_dict() | {"file": str(file)})
        return
    _show(done)
    say(f"Wrote {file}. Next:")
    say(f"  labelcast forecast run --calibration {file}")


def _show_probes(probes: dict[str, Probes], as_json: bool) -> None:
    if as_json:
        print_json({name: vars(row) for name, row in probes.items()})
        return
    titles = ("task", "CoS-Low", "draws", "sketch sd", "overlap", "exact", "random", "confidence")
    rows = []
    for name, row in probes.items():
        spread = _number(row.sketch_sd, 4), _number(row.overlap, 2), _number(row.exact)
        means = _number(row.random_cosine), _number(row.mean_confidence)
        rows.append((name, *_coslow(row), *spread, *means))
    print_table(titles, rows)


def _coslow(row: Probes) -> tuple[str, str]:
    """The mean and the draws."""
    return _number(row.mean_coslow), ", ".join(map(_number, row.coslow))


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _show(done: Calibrated) -> None:
    from labelcast.sweeps.calibrate import BASELINES, MEAN

    card = done.card
    tell(
        f"AUC = {card.slope:.3f} * CoS-Low + {card.intercept:.3f}, residual sd "
        f"{card.residual_sd:.3f}, {card.tasks} tasks, {card.recipe}"
    )
    gain = card.loto_difference
    if gain is not None:
        tell(
            f"The error of {MEAN} is larger by {gain.mean:.3f} (90% interval {gain.low:.3f} to "
            f"{gain.high:.3f})."
        )
    tasks = ((name, _number(row.auc), *_coslow(row)) for name, row in done.tasks.items())
    print_table(("task", "AUC", "CoS-Low", "draws"), tasks)
    tell("\nLeave-one-task-out mean absolute error:")
    errors = (
        (BASELINES.get(error.name, MEAN), _number(error.loto_mae), _number(error.r, 2))
        for error in done.errors
    )
    print_table(("predicted from", "error of the AUC", "r"), errors)
