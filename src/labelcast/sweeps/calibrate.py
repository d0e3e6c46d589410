"""A calibration card from measured curves and CoS-Low of several tasks, beside its baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from labelcast.errors import InputError
from labelcast.forecast.calibration import Calibration
from labelcast.forecast.line import MIN_TASKS, Difference, fit_line, loto_difference
from labelcast.runs.run import Run, versions
from labelcast.sweeps.probe_settings import ProbeSettings
from labelcast.sweeps.probes import Probes, measure_probes
from labelcast.sweeps.sweep import Sweep

BASELINES = {
    "coslow": "CoS-Low",
    "random_cosine": "cosine of random examples",
    "gradient_norm": "mean gradient norm",
    "mean_confidence": "mean confidence",
    "zero_shot": "zero-shot score",
}
"""What the AUC is predicted from, in the order in which they are shown."""


@dataclass(frozen=True)
class Curve:
    """The measured curve of a task, and the sweep that holds it."""

    sweep: Sweep
    task: str
    auc: float
    zero_shot: float
    censored: bool


@dataclass(frozen=True)
class Error:
    """How well one quantity predicts the AUC over tasks.

    Attributes:
        name: of the quantity, a key of `BASELINES` or ``mean``.
        loto_mae: mean absolute error of the AUC, each task predicted from the others; None
            where no line can be drawn.
        r: correlation with the AUC; None for ``mean``.
    """

    name: str
    loto_mae: float | None
    r: float | None


@dataclass(frozen=True)
class Calibrated:
    """A card and what it rests on.

    Attributes:
        card: the calibration.
        errors: of CoS-Low, the baselines and the mean, on the same tasks.
        tasks: by name the AUC and the probes.
        warnings: in words.
    """

    card: Calibration
    errors: tuple[Error, ...]
    tasks: dict[str, dict[str, Any]]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "card": asdict(self.card),
            "errors": [asdict(error) for error in self.errors],
            "tasks": self.tasks,
            "warnings": list(self.warnings),
        }


def calibrate(
    folders: Sequence[str | Path],
    name: str,
    settings: ProbeSettings,
    say: Callable[[str], None] = lambda text: None,
    probes_of: str | Path | None = None,
) -> Calibrated:
    """Fit a card on the tasks of some sweeps, measuring the probes that are missing.

    Args:
        folders: of sweeps with one model and recipe.
        name: of the card.
        settings: of the probes.
        say: told what is measured now.
        probes_of: a sweep that holds the probes of all tasks, of the same model and test sets,
            whatever its recipe; None measures them in the sweeps' own folders.

    Raises:
        InputError: sweeps that do not belong together, or under 8 tasks with a curve.
        RunError: a sweep's folder cannot be written.

    Source: Je and Raffel (2025), the linear map and its baselines; the CoS-Low of a task is the
    mean over draws and sketches.
    """
    settings.check_machine()
    sweeps = [Sweep.open(folder) for folder in folders]
    _belong_together(sweeps)
    probed = None if probes_of is None else Sweep.open(probes_of)
    curves, skipped = _curves(sweeps)
    if len(curves) < MIN_TASKS:
        raise InputError(
            f"{len(curves)} tasks have a measured curve, and a card needs {MIN_TASKS} or more: "
            "below that the error of the line cannot be told from the scatter of the tasks. "
            f"Sweep more tasks, or use the pooled card.{_list(skipped)}"
        )
    probes: dict[str, Probes] = {}
    if probed is not None:
        _same_material(probed, curves)
        with Run(probed.path).locked():
            probes = measure_probes(probed, [curve.task for curve in curves], settings, say)
        return fit(curves, probes, name, settings, sweeps[0].settings, skipped)
    for sweep in sweeps:
        names = [curve.task for curve in curves if curve.sweep is sweep]
        with Run(sweep.path).locked():
            probes |= measure_probes(sweep, names, settings, say)
    return fit(curves, probes, name, settings, sweeps[0].settings, skipped)


def measure(
    folders: Sequence[str | Path],
    settings: ProbeSettings,
    say: Callable[[str], None] = lambda text: None,
    tasks: Sequence[str] = (),
) -> dict[str, Probes]:
    """Measure the probes of some sweeps' tasks, whether or not they have a curve yet.

    Args:
        folders: of sweeps with one model and recipe.
        settings: of the probes.
        say: told what is measured now.
        tasks: which ones; all by default.

    Raises:
        InputError: sweeps that do not belong together, or a task that none of them has.
        RunError: a sweep's folder cannot be written.
    """
    settings.check_machine()
    sweeps = [Sweep.open(folder) for folder in folders]
    _belong_together(sweeps)
    probes: dict[str, Probes] = {}
    known = [name for sweep in sweeps for name in sweep.settings["tasks"]]
    for name in tasks:
        if name not in known:
            raise InputError(f"--task {name}: not in these sweeps ({', '.join(known)}).")
    for sweep in sweeps:
        names = [name for name in sweep.settings["tasks"] if name in (tasks or known)]
        with Run(sweep.path).locked():
            probes |= measure_probes(sweep, names, settings, say)
    return probes


def fit(
    curves: Sequence[Curve],
    probes: Mapping[str, Probes],
    name: str,
    settings: ProbeSettings,
    content: Mapping[str, Any],
    warnings: Sequence[str] = (),
) -> Calibrated:
    """Fit the card and judge it beside its baselines.

    Args:
        curves: one a task, 8 or more.
        probes: of the same tasks.
        name: of the card.
        settings: of the probes.
        content: `sweep.json` of one of the sweeps, for model and recipe.
        warnings: to go with those found here.

    Raises:
        InputError: as `Calibration.fit`.
    """
    aucs = [curve.auc for curve in curves]
    tasks = [curve.task for curve in curves]
    columns = {
        "coslow": [probes[task].mean_coslow for task in tasks],
        "random_cosine": [probes[task].random_cosine for task in tasks],
        "gradient_norm": [probes[task].gradient_norm for task in tasks],
        "mean_confidence": [probes[task].mean_confidence for task in tasks],
        "zero_shot": [curve.zero_shot for curve in curves],
    }
    errors = [_error(key, values, aucs) for key, values in columns.items()]
    of_mean = fit_line(range(len(aucs)), aucs).loo_mae_of_mean
    errors.append(Error("mean", of_mean, None))
    model = content["model"]
    tried = loto_difference(columns["coslow"], aucs)
    card = Calibration.fit(
        columns["coslow"],
        aucs,
        name=name,
        tasks=tasks,
        model=model["name"],
        hub_ids=[model["hub_id"]] if model.get("hub_id") else [],
        recipe=content["recipe"]["name"],
        source=_source(curves, settings, errors, tried),
        fingerprints=[model["fingerprint"]],
        architecture={k: v for k, v in (model.get("architecture") or {}).items() if v is not None},
        versions=versions(),
    )
    card = replace(card, loto_difference=tried)
    rows = {
        curve.task: {"auc": curve.auc, "zero_shot": curve.zero_shot, "censored": curve.censored}
        | asdict(probes[curve.task])
        for curve in curves
    }
    return Calibrated(card, tuple(errors), rows, (*warnings, *_warnings(curves, card)))


def _error(name: str, values: Sequence[float], aucs: Sequence[float]) -> Error:
    try:
        line = fit_line(values, aucs)
    except InputError:
        return Error(name, None, None)
    return Error(name, line.loo_mae, line.r)


def _belong_together(sweeps: Sequence[Sweep]) -> None:
    if not sweeps:
        raise InputError("no sweep given: labelcast calibrate DIR... --name NAME")
    first = sweeps[0].settings
    for sweep in sweeps[1:]:
        content = sweep.settings
        if content["model"]["fingerprint"] != first["model"]["fingerprint"]:
            raise InputError(
                f"{sweep.path}: its model is {content['model']['name']}, and that of "
                f"{sweeps[0].path} is {first['model']['name']}. A card is for one model."
            )
        if content["recipe_digest"] != first["recipe_digest"]:
            raise InputError(
                f"{sweep.path}: its recipe is {content['recipe']['name']!r}, and that of "
                f"{sweeps[0].path} is {first['recipe']['name']!r} (or differs in a setting). "
                "A card is for one recipe."
            )


def _same_material(probed: Sweep, curves: Sequence[Curve]) -> None:
    """Refuse probes of another model, of another task, or beside another test set."""
    content = probed.settings
    for curve in curves:
        own = curve.sweep.settings
        if content["model"]["fingerprint"] != own["model"]["fingerprint"]:
            raise InputError(
                f"{probed.path}: its model is {content['model']['name']}, and that of "
                f"{curve.sweep.path} is {own['model']['name']}."
            )
        entry = content["tasks"].get(curve.task)
        if entry is None:
            raise InputError(f"{probed.path}: holds no task {curve.task}, which has a curve.")
        if any(entry[key] != own["tasks"][curve.task][key] for key in ("task", "test_digest")):
            raise InputError(
                f"{probed.path}: task {curve.task} has another task file or test set there than in "
                f"{curve.sweep.path}. Measure its probes again."
            )


def _curves(sweeps: Sequence[Sweep]) -> tuple[list[Curve], list[str]]:
    """The curves that have an area, and what is wrong with the others."""
    found: dict[str, Curve] = {}
    skipped: list[str] = []
    for sweep in sweeps:
        for task, curve in sweep.write_curves().items():
            if task in found:
                raise InputError(
                    f"task {task} stands in {found[task].sweep.path} and in {sweep.path}. "
                    "Give each task once."
                )
            if curve["auc"] is None:
                skipped.append(f"{task} is left out: {curve['note']}")
                continue
            found[task] = Curve(
                sweep, task, curve["auc"], curve["zero_shot"], bool(curve["censored"])
            )
    return list(found.values()), skipped


def _source(
    curves: Sequence[Curve], settings: ProbeSettings, errors: Sequence[Error], tried: Difference
) -> str:
    told = "; ".join(
        f"{BASELINES.get(error.name, 'the mean of the other tasks')} {error.loto_mae:.3f}"
        for error in errors
        if error.loto_mae is not None
    )
    return (
        f"Measured with labelcast sweep and calibrate on {len(curves)} tasks: CoS-Low is the mean "
        f"over {settings.draws} draws of {settings.n_label} from the least confident tenth of "
        f"{settings.pool} and {settings.sketch_seeds} sketches each. Leave-one-task-out error of "
        f"the AUC, predicted from: {told}. The mean errs more than CoS-Low by {tried.mean:.3f} "
        f"(90% interval by bootstrap over tasks {tried.low:.3f} to {tried.high:.3f}), so CoS-Low "
        f"is {'' if tried.line_is_better else 'not '}shown to be the better."
    )


def _warnings(curves: Sequence[Curve], card: Calibration) -> list[str]:
    found = []
    censored = sum(curve.censored for curve in curves)
    if censored:
        found.append(
            f"{censored} of {len(curves)} curves end below 5,000 labels; their last score is "
            "carried on, so their AUC may be too low or too high"
        )
    if card.leans_on_prior:
        found.append(
            "on these tasks CoS-Low is not shown to predict the AUC better than the mean of the "
            "other tasks does: a forecast with this card leaves CoS-Low out, takes the AUC of "
            "these tasks, and rests on the observed scores"
        )
    return found


def _list(lines: Sequence[str]) -> str:
    return "".join(f" {line}." for line in lines)
