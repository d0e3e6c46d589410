"""How long a sweep, a fine-tuning run or a calibration will take, from a few steps or passes."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from labelcast.errors import LabelcastWarning
from labelcast.models.confidence import score_confidence
from labelcast.models.loading import AnyModel
from labelcast.sweeps.job import SweepJob
from labelcast.tasks.prompts import Example
from labelcast.training.backend import Fit, Placement, backend_of
from labelcast.training.recipe import Recipe
from labelcast.training.splits import Budget

_STEPS = 4
_FEW = 4
_MOST_TESTED = 32


@dataclass(frozen=True)
class Speed:
    """The seconds that one model needs on one task's examples on this machine."""

    load: float
    train: float  # a sequence, forward and backward
    validate: float  # a sequence, forward
    test: float  # the answer to a test example
    device: str


def steps(recipe: Recipe) -> tuple[int, int]:
    """The fewest steps of a job, if early stopping ends it as soon as it can, and the most.

    >>> from labelcast.training.recipe import FULL
    >>> steps(FULL)
    (44, 500)
    """
    most = recipe.most_steps
    if recipe.method == "setfit":  # does not stop early
        return most, most
    return min(most, recipe.evaluate_every * (recipe.patience + 1)), most


def seconds(job: SweepJob, speed: Speed) -> tuple[float, float]:
    """The least and the most seconds of a job."""
    low, high = tuning_seconds(job.settings.recipe, job.budget, job.settings.test_size, speed)
    return speed.load + low, speed.load + high


def tuning_seconds(recipe: Recipe, budget: int, tested: int, speed: Speed) -> tuple[float, float]:
    """The least and the most seconds to fine-tune on a budget and to score on `tested` examples."""
    held_out = budget * recipe.held_out(budget)
    step = recipe.batch_size * speed.train + held_out * speed.validate / recipe.evaluate_every
    if recipe.method == "linear":
        step = budget * speed.validate
    low, high = steps(recipe) if budget else (0, 0)
    return tested * speed.test + low * step, tested * speed.test + high * step


def rough_speed(
    lm: AnyModel, labelled: Sequence[Example], max_new_tokens: int, load: float = 0.0
) -> Speed:
    """The speed from a few answers and forward passes, within seconds for a small model.

    A backward pass is taken to cost two forward passes.
    """
    few = labelled[:_FEW]
    prompts = [one.prompt for one in few]
    begin = time.perf_counter()
    score_confidence(lm, prompts, batch_size=len(few), max_new_tokens=max_new_tokens)
    answered = time.perf_counter()
    # The warning of a text that is cut off.
    with warnings.catch_warnings(action="ignore", category=LabelcastWarning):
        lm.embed(prompts, batch_size=len(few), progress=lambda done: None)
    forward = (time.perf_counter() - answered) / len(few)
    return Speed(load, 3 * forward, forward, (answered - begin) / len(few), str(lm.device))


def measure_speed(job: SweepJob, on_rough: Callable[[Speed], None] = lambda speed: None) -> Speed:
    """Load a job's model and time a few of its steps on its own examples; nothing is kept.

    `on_rough` is called first, with `rough_speed`.
    """
    settings, size = job.settings, job.settings.recipe.batch_size
    few = {"max_steps": _STEPS + 1, "evaluate_every": _STEPS}
    recipe = settings.recipe.model_copy(update=few)
    backend = backend_of(recipe, settings.model)
    placement = Placement(settings.device, settings.dtype)
    begin = time.perf_counter()
    lm = backend.load(settings.model, recipe, placement).for_answers(job.source.task.answers)
    load = time.perf_counter() - begin
    found = job.splits(lm.render)
    on_rough(rough_speed(lm, found.test, settings.max_new_tokens, load))
    ends: list[float] = []
    batch = (found.order * size)[:size]
    begin = time.perf_counter()
    fit = Fit(
        Budget(batch, batch),
        recipe,
        job.seed,
        placement,
        progress=lambda step, most, loss: ends.append(time.perf_counter()),
    )
    tuned = backend.fit(lm, fit)
    fitted = time.perf_counter() - begin
    tested = found.test[:_MOST_TESTED]
    begin = time.perf_counter()
    backend.score(tuned.lm, tested, replace(job.scoring, placement=placement))
    test = (time.perf_counter() - begin) / len(tested)
    if recipe.method == "linear":
        return Speed(load, 0.0, fitted / len(batch), test, str(lm.device))
    # The first step warms up; validation runs between the last two.
    step = (ends[_STEPS - 1] - ends[0]) / (_STEPS - 1)
    validated = max(ends[_STEPS] - ends[_STEPS - 1] - step, 0.0)
    return Speed(load, step / size, validated / size, test, str(lm.device))


def total(pairs: Sequence[tuple[float, float]], devices: int) -> tuple[float, float]:
    """Least and most seconds of jobs on several devices, one job at a time on each."""
    return sum(low for low, _ in pairs) / devices, sum(high for _, high in pairs) / devices
