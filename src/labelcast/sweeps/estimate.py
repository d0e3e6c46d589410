"""How long a sweep will take, from a few measured steps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from labelcast.sweeps.job import SweepJob
from labelcast.training.backend import backend_of
from labelcast.training.recipe import Recipe
from labelcast.training.reporting import Reports
from labelcast.training.splits import Budget

_STEPS = 4
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
    return min(recipe.max_steps, recipe.evaluate_every * (recipe.patience + 1)), recipe.max_steps


def seconds(job: SweepJob, speed: Speed) -> tuple[float, float]:
    """The least and the most seconds of a job."""
    recipe = job.settings.recipe
    held_out = job.budget * recipe.validation_share
    step = recipe.batch_size * speed.train + held_out * speed.validate / recipe.evaluate_every
    fixed = speed.load + job.settings.test_size * speed.test
    low, high = steps(recipe) if job.budget else (0, 0)
    return fixed + low * step, fixed + high * step


def measure_speed(job: SweepJob) -> Speed:
    """Load a job's model and time a few of its steps on its own examples; nothing is kept."""
    settings, size = job.settings, job.settings.recipe.batch_size
    few = {"max_steps": _STEPS + 1, "evaluate_every": _STEPS}
    recipe = settings.recipe.model_copy(update=few)
    backend, placement = backend_of(recipe), replace(job.placement, processes=1, reports=Reports())
    begin = time.perf_counter()
    lm = backend.load(settings.model, recipe, placement)
    load = time.perf_counter() - begin
    found = job.splits(lm.render)
    ends: list[float] = []
    batch = (found.order * size)[:size]
    tuned = backend.fit(
        lm,
        Budget(batch, batch),
        recipe,
        seed=job.seed,
        placement=placement,
        progress=lambda step, most, loss: ends.append(time.perf_counter()),
    )
    tested = found.test[:_MOST_TESTED]
    begin = time.perf_counter()
    backend.score(tuned.lm, tested, job.scoring, placement=placement)
    test = (time.perf_counter() - begin) / len(tested)
    # The first step warms up; validation runs between the last two.
    step = (ends[_STEPS - 1] - ends[0]) / (_STEPS - 1)
    validated = max(ends[_STEPS] - ends[_STEPS - 1] - step, 0.0)
    return Speed(load, step / size, validated / size, test, str(lm.device))


def total(pairs: Sequence[tuple[float, float]], devices: int) -> tuple[float, float]:
    """Least and most seconds of jobs on several devices, one job at a time on each."""
    return sum(low for low, _ in pairs) / devices, sum(high for _, high in pairs) / devices
