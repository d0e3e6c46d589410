"""What a sweep will cost: seconds from a few measured steps, or operations from a formula."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from labelcast.sweeps.job import Job
from labelcast.tasks.prompts import Render
from labelcast.training.recipe import Recipe
from labelcast.training.splits import Splits

_STEPS = 4
_MOST_TESTED = 32


@dataclass(frozen=True)
class Speed:
    """What was measured of one model on one task's examples on this machine.

    Attributes:
        load: seconds to load the model.
        train: seconds of a forward and backward pass for each sequence.
        validate: seconds of a forward pass for each sequence.
        test: seconds to answer a test example.
        device: where.
    """

    load: float
    train: float
    validate: float
    test: float
    device: str


def steps(recipe: Recipe) -> tuple[int, int]:
    """The fewest and the most training steps of a job.

    At the earliest, the first validation loss is the best one, and early stopping waits for
    `patience` more.

    >>> from labelcast.training.recipe import FULL
    >>> steps(FULL)
    (44, 500)
    """
    return min(recipe.max_steps, recipe.evaluate_every * (recipe.patience + 1)), recipe.max_steps


def seconds(job: Job, speed: Speed) -> tuple[float, float]:
    """The least and the most seconds that a job will take, from measured speeds."""
    recipe = job.recipe
    ends = steps(recipe) if job.budget else (0, 0)
    fixed = speed.load + job.test_size * speed.test
    held_out = job.budget * recipe.validation_share
    low, high = (
        fixed
        + count * recipe.batch_size * speed.train
        + count / recipe.evaluate_every * held_out * speed.validate
        for count in ends
    )
    return low, high


def operations(
    parameters: float,
    recipe: Recipe,
    *,
    budget: int,
    steps: int,
    tokens: float,
    test_size: int = 500,
    answer_tokens: float = 5,
) -> float:
    """Floating-point operations of one job, by a formula.

    A weight costs 2 operations a token in the forward pass and 4 in the backward pass; 2 of these
    fall away where it is frozen (LoRA). So with P weights, sequences of L tokens, batch b, v
    validation sequences measured every e steps and m test examples with answers of A tokens:
    ``P (6 b L + 2 v L / e) steps + 2 P m (L + A)``. Attention's own products, the adapters and
    the optimiser are left out (some percent at a few hundred tokens).

    Args:
        parameters: P, weights of the model.
        recipe: of the fine-tuning.
        budget: labels, validation among them.
        steps: that are trained.
        tokens: L, of a prompt with its answer.
        test_size: m.
        answer_tokens: A.

    Returns:
        The number of operations; divided by what a device does in a second it gives seconds.
    """
    held_out = budget * recipe.validation_share
    trained = _passes(recipe) * recipe.batch_size * tokens if budget else 0
    validated = 2 * held_out * tokens / recipe.evaluate_every
    return parameters * ((trained + validated) * steps + 2 * test_size * (tokens + answer_tokens))


def measure_speed(job: Job, splits: Callable[[Render], Splits]) -> Speed:
    """Load a job's model and time a few of its steps on its own examples; nothing is kept.

    Args:
        job: one of the sweep; its model, recipe and device are used.
        splits: the task's split, given a way to render prompts.

    Raises:
        InputError: the model cannot be loaded, or the examples cannot be tuned on.
    """
    from labelcast.models.loading import load_model
    from labelcast.training.evaluate import evaluate
    from labelcast.training.finetune import fine_tune

    begin = time.perf_counter()
    lm = load_model(job.model, device=job.device, dtype=job.dtype)
    loaded = time.perf_counter()
    found = splits(lm.render)
    tested = found.test[:_MOST_TESTED]
    begun = time.perf_counter()
    evaluate(lm, tested, job.metric, max_new_tokens=job.max_new_tokens, batch_size=job.batch_size)
    test = (time.perf_counter() - begun) / len(tested)
    size = job.recipe.batch_size
    ends: list[float] = []
    few = {"max_steps": _STEPS + 1, "evaluate_every": _STEPS}
    batch = (found.order * size)[:size]
    fine_tune(
        lm,
        batch,
        batch,
        job.recipe.model_copy(update=few),
        seed=job.seed,
        progress=lambda step, most, loss: ends.append(time.perf_counter()),
    )
    # The first step warms up; the validation comes between the last two.
    step = (ends[_STEPS - 1] - ends[0]) / (_STEPS - 1)
    validated = max(ends[_STEPS] - ends[_STEPS - 1] - step, 0.0)
    return Speed(loaded - begin, step / size, validated / size, test, str(lm.device))


def _passes(recipe: Recipe) -> int:
    """Operations that a weight costs for each token of a training step."""
    return (6 if recipe.method == "full" else 4) + 2 * recipe.gradient_checkpointing


def total(pairs: Iterable[tuple[float, float]], slots: int) -> tuple[float, float]:
    """Least and most seconds of jobs that run `slots` side by side on devices of their own."""
    lows, highs = zip(*pairs, strict=True)
    return sum(lows) / slots, sum(highs) / slots
