"""A calibration card from measured curves and CoS-Low of several tasks, compared with baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from labelcast.errors import InputError
from labelcast.forecast.calibration import Calibration
from labelcast.forecast.line import MIN_TASKS, ErrorDifference, fit_line, loto_difference
from labelcast.models.choices import check_dtype, choose_device
from labelcast.runs.records import CONSTRAINED, FREE
from labelcast.runs.run import versions
from labelcast.sweeps.probes import Probes, ProbeSettings, estimate_probes, measure_probes
from labelcast.sweeps.records import SweepFile
from labelcast.sweeps.sweep import Sweep

BASELINES = {
    "coslow": "CoS-Low",
    "random_cosine": "cosine of random examples",
    "gradient_norm": "mean gradient norm",
    "mean_confidence": "mean confidence",
    "zero_shot": "zero-shot score",
}
"""What the AUC is predicted from, in the order in which it is shown."""
MEAN = "the mean of the other tasks"
MIXED = "mixed"
"""The decoding of a card whose tasks differ in it."""


@dataclass(frozen=True)
class TaskCurve:
    """The area of a task's measured curve, and the sweep that it comes from."""

    sweep: Sweep
    task: str
    auc: float
    zero_shot: float
    censored: bool
    constrained: bool = False  # whether the model decoded along the allowed answers


@dataclass(frozen=True)
class CalibrationTask(Probes):
    """A task of a card: its probes, and its measured curve."""

    auc: float
    zero_shot: float
    censored: bool


@dataclass(frozen=True)
class PredictorError:
    """How well one quantity predicts the AUC over tasks; without numbers if no line fits."""

    name: str  # a key of `BASELINES`, or ``mean``
    loto_mae: float | None  # leave-one-task-out mean absolute error
    r: float | None  # correlation with the AUC; None for ``mean``


@dataclass(frozen=True)
class Calibrated:
    """A card and what it is based on."""

    card: Calibration
    errors: tuple[PredictorError, ...]  # of CoS-Low, the baselines and the mean, on the same tasks
    tasks: dict[str, CalibrationTask]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self)


def calibrate(
    folders: str | Path | Sequence[str | Path],
    name: str,
    settings: ProbeSettings | None = None,
    say: Callable[[str], None] = lambda text: None,
    probes_of: str | Path | None = None,
) -> Calibrated:
    """Fit a card on the tasks of some sweeps, after measuring the probes that are missing.

    Args:
        folders: folders of sweeps with one model and recipe.
        name: name of the card.
        settings: settings of the probes; None takes `ProbeSettings()`: 3 draws of 32 examples, 2
            sketches.
        say: called with what is measured next.
        probes_of: a sweep with the probes of all tasks, of the same model and test sets, with any
            recipe; None measures them in the sweeps' own folders.

    Raises:
        InputError: the sweeps do not belong together, or fewer than 8 tasks have a curve.
        RunError: a sweep's folder cannot be written.

    Source: Je and Raffel (2025), the linear map and its baselines. The CoS-Low of a task is the
    mean over draws and sketches.

    Examples:
        >>> done = calibrate(["sweep"], "my-model")  # doctest: +SKIP
        >>> done.card.save("my-model.json")  # doctest: +SKIP
        >>> forecast(0.3, done.card).labels_needed.median  # doctest: +SKIP
        580
    """
    settings = settings or ProbeSettings()
    sweeps = _opened(folders, settings)
    probed = None if probes_of is None else Sweep.open(probes_of)
    curves, skipped = _curves(sweeps)
    if len(curves) < MIN_TASKS:
        few = "1 task has" if len(curves) == 1 else f"{len(curves)} tasks have"
        raise InputError(
            f"{few} a measured curve, and a card needs {MIN_TASKS} or more: "
            "with fewer, the error of the line cannot be estimated. Sweep more tasks, or use the "
            f"pooled card.{''.join(f' {line}.' for line in skipped)}"
        )
    if probed is not None:
        _check_same_tasks(probed, curves)
    probes: dict[str, Probes] = {}
    for sweep in sweeps if probed is None else [probed]:
        names = [curve.task for curve in curves if probed is not None or curve.sweep is sweep]
        probes |= measure_probes(sweep, names, settings, say)
    return fit_card(curves, probes, name, settings, sweeps[0].read(), skipped)


def estimate_calibration(
    folders: str | Path | Sequence[str | Path],
    settings: ProbeSettings,
    tasks: Sequence[str] = (),
    probes_of: str | Path | None = None,
) -> float:
    """Roughly how many seconds the missing probes of some tasks (by default all) will take."""
    sweeps = _opened(folders, settings)
    probed = sweeps if probes_of is None else [Sweep.open(probes_of)]
    wanted = _wanted(sweeps, tasks)
    return sum(
        estimate_probes(sweep, [name for name in sweep.read().tasks if name in wanted], settings)
        for sweep in probed
    )


def measure_sweeps_probes(
    folders: str | Path | Sequence[str | Path],
    settings: ProbeSettings,
    say: Callable[[str], None] = lambda text: None,
    tasks: Sequence[str] = (),
) -> dict[str, Probes]:
    """Measure the probes of some tasks (by default all) of sweeps with one model and recipe."""
    sweeps = _opened(folders, settings)
    wanted = _wanted(sweeps, tasks)
    probes: dict[str, Probes] = {}
    for sweep in sweeps:
        names = [name for name in sweep.read().tasks if name in wanted]
        probes |= measure_probes(sweep, names, settings, say)
    return probes


def fit_card(
    curves: Sequence[TaskCurve],
    probes: Mapping[str, Probes],
    name: str,
    settings: ProbeSettings,
    content: SweepFile,
    warnings: Sequence[str] = (),
) -> Calibrated:
    """Fit the card and compare it with its baselines; raises as `Calibration.fit`.

    There is one curve per task, and `content` is `sweep.json` of one of the sweeps.
    """
    tasks = {
        curve.task: CalibrationTask(
            **vars(probes[curve.task]),
            auc=curve.auc,
            zero_shot=curve.zero_shot,
            censored=curve.censored,
        )
        for curve in curves
    }
    aucs = [task.auc for task in tasks.values()]
    columns = {key: [getattr(task, key) for task in tasks.values()] for key in BASELINES}
    columns["coslow"] = [task.mean_coslow for task in tasks.values()]
    errors = [_error(key, values, aucs) for key, values in columns.items()]
    of_mean = fit_line(range(len(aucs)), aucs).loo_mae_of_mean
    errors.append(PredictorError("mean", of_mean, None))
    model = content.model
    gain = loto_difference(columns["coslow"], aucs)
    card = Calibration.fit(
        columns["coslow"],
        aucs,
        name=name,
        tasks=list(tasks),
        model=model.name,
        hub_ids=[model.hub_id] if model.hub_id else [],
        recipe=content.recipe.name,
        source=_source(len(curves), settings, errors, gain),
        fingerprints=[model.fingerprint],
        architecture={k: v for k, v in (model.architecture or {}).items() if v is not None},
        versions=versions(),
    )
    kinds = {curve.constrained for curve in curves}
    decoding = MIXED if len(kinds) > 1 else CONSTRAINED if kinds == {True} else FREE
    card = replace(card, loto_difference=gain, decoding=decoding)
    return Calibrated(card, tuple(errors), tasks, (*warnings, *_warnings(curves, card)))


def _wanted(sweeps: Sequence[Sweep], tasks: Sequence[str]) -> Sequence[str]:
    """`tasks`, or those of all sweeps if there are none; refuses a task that no sweep has."""
    known = [name for sweep in sweeps for name in sweep.read().tasks]
    for name in tasks:
        if name not in known:
            raise InputError(f"--task {name}: not in these sweeps ({', '.join(known)}).")
    return tasks or known


def _error(name: str, values: Sequence[float], aucs: Sequence[float]) -> PredictorError:
    try:
        line = fit_line(values, aucs)
    except InputError:
        return PredictorError(name, None, None)
    return PredictorError(name, line.loo_mae, line.r)


def _opened(folders: str | Path | Sequence[str | Path], settings: ProbeSettings) -> list[Sweep]:
    """The sweeps of some folders, which must have one model and one recipe."""
    choose_device(settings.device)
    check_dtype(settings.dtype)
    folders = [folders] if isinstance(folders, str | Path) else folders
    sweeps = [Sweep.open(folder) for folder in folders]
    if not sweeps:
        raise InputError("no sweep given: labelcast calibrate DIR... --name NAME")
    first = sweeps[0].read()
    for sweep in sweeps[1:]:
        _check_same_model(sweep, sweeps[0])
        content = sweep.read()
        if content.recipe_digest != first.recipe_digest:
            raise InputError(
                f"{sweep.path}: its recipe is {content.recipe.name!r}, and that of "
                f"{sweeps[0].path} is {first.recipe.name!r} (or differs in a setting). "
                "A card is for one recipe."
            )
    return sweeps


def _check_same_model(sweep: Sweep, other: Sweep) -> None:
    model, wanted = sweep.read().model, other.read().model
    if model.key != wanted.key:
        raise InputError(
            f"{sweep.path}: its model is {model.name}, and that of {other.path} is {wanted.name}. "
            "A card is for one model, which has one last name in all sweeps."
        )


def _check_same_tasks(probed: Sweep, curves: Sequence[TaskCurve]) -> None:
    """Refuse probes of another model or task, or of a task with another test set."""
    for curve in curves:
        _check_same_model(probed, curve.sweep)
        entry, own = probed.read().tasks.get(curve.task), curve.sweep.read().tasks[curve.task]
        if entry is None:
            raise InputError(f"{probed.path}: has no task {curve.task}, which has a curve.")
        if (entry.task, entry.test_digest) != (own.task, own.test_digest):
            raise InputError(
                f"{probed.path}: task {curve.task} has another task file or test set there than in "
                f"{curve.sweep.path}. Measure its probes again."
            )


def _curves(sweeps: Sequence[Sweep]) -> tuple[list[TaskCurve], list[str]]:
    """The curves that have an area, and why the others have none."""
    found: dict[str, TaskCurve] = {}
    skipped: list[str] = []
    for sweep in sweeps:
        written, content = sweep.write_curves(), sweep.read()
        for task, entry in content.tasks.items():
            curve = written[task]  # of random labels
            if task in found:
                raise InputError(
                    f"task {task} is in {found[task].sweep.path} and in {sweep.path}. "
                    "Give each task once."
                )
            if curve.auc is None or curve.zero_shot is None or 0 not in curve.budgets:
                skipped.append(f"{task} is left out: {curve.note}")
                continue
            if lacking := sorted({*content.budgets} - {*curve.budgets}):
                at = ", ".join(f"{budget:,}" for budget in lacking)
                skipped.append(
                    f"{task} has no score at {at} labels, which its sweep lists: its area is that "
                    "of the other scores"
                )
            found[task] = TaskCurve(
                sweep,
                task,
                curve.auc,
                curve.zero_shot,
                bool(curve.censored),
                entry.task.constrain,
            )
    return list(found.values()), skipped


def _source(
    size: int, settings: ProbeSettings, errors: Sequence[PredictorError], gain: ErrorDifference
) -> str:
    shown = "; ".join(
        f"{BASELINES.get(error.name, MEAN)} {error.loto_mae:.3f}"
        for error in errors
        if error.loto_mae is not None
    )
    return (
        f"Measured with labelcast sweep and calibrate on {size} tasks: CoS-Low is the mean "
        f"over {settings.draws} draws of {settings.n_label} from the least confident tenth of "
        f"{settings.pool} and {settings.sketch_seeds} sketches each. Leave-one-task-out error of "
        f"the AUC, predicted from: {shown}. The error of the mean is larger than that of CoS-Low "
        f"by {gain.mean:.3f} (90% interval by bootstrap over tasks {gain.low:.3f} to "
        f"{gain.high:.3f}), so CoS-Low is {'' if gain.line_is_better else 'not '}shown to be the "
        "better predictor."
    )


def _warnings(curves: Sequence[TaskCurve], card: Calibration) -> list[str]:
    found = []
    censored = sum(curve.censored for curve in curves)
    if censored:
        found.append(
            f"{censored} of {len(curves)} curves end below 5,000 labels; their last score is "
            "carried on, so their AUC may be too low or too high"
        )
    if card.decoding == MIXED:
        found.append("some tasks decode along their allowed answers only, others freely")
    if card.leans_on_prior:
        found.append(
            "on these tasks CoS-Low is not shown to predict the AUC better than the mean of the "
            "other tasks: a forecast with this card ignores CoS-Low, and uses the AUC of these "
            "tasks and the observed scores"
        )
    return found
