"""The options of a forecast, listed once: for Python, the command line, a run, page and report.

With the checks of the numbers that they take.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

from labelcast.errors import InputError

if TYPE_CHECKING:
    from labelcast.forecast.calibration import Calibration

Metric = Literal["score", "error", "loss"]
"""A score that rises to the scale's top, an error rate that falls to 0, or a loss without a top."""

Observed = (
    tuple[int, float]
    | tuple[int, float, float | None]
    | tuple[int, float, float | None, int | None]
)
"""A budget and the score there, with the sd of all its noise and the size of its test set where
they are known; the sd counts where both are given."""

DEFAULT_TARGET = 0.9
DEFAULT_LEVEL = 0.9

LARGEST_HORIZON = 1_000_000
LARGEST_SIZE = 10**12
"""No test set is larger."""

LEVELS = (0.001, 0.999)
"""Within these the quantiles are good to the digits that are printed."""


class Options(TypedDict, total=False):
    """What a forecast can be asked. The note on each type is the help of the command line.

    Attributes:
        target: fraction of the gain from zero-shot to the ceiling, above 0, at most 1; 0.9 where
            neither target is given.
        target_score: the target as a score instead.
        zero_shot: the score without labels; None: estimated from other tasks.
        ceiling: the score that more labels are not expected to pass; None: estimated from other
            tasks.
        observations: (budget, score) of models fine-tuned already, any number of them; budget 0
            gives zero_shot. A third number is the sd of all of that score's noise, a fourth the
            size of its test set; None where unknown.
        observe_size: test examples behind each score and zero-shot; 500 by default. Not for losses.
        observe_sd: noise sd that the test set gives a score, instead of observe_size, for a metric
            that is not a mean over examples (say, by bootstrap). The noise of the training seed is
            added.
        level: level of the intervals, 0.001 to 0.999.
        budget: asks the reverse: the score with this many labels.
        horizon: the most labels to consider, up to 1,000,000; 5,000 by default, or four times the
            most labels that have a score, or the size of a run's pool, where that is more.
        scale: the largest value that a score can take, such as 100; 1 by default.
        lower_is_better: the score is a loss, or with `scale` an error rate.
        metric: "score", "error" or "loss", where the two above do not decide it.
        label_cost: cost of one label, in money; with the next two it decides the next budget.
        run_cost: cost of one training run.
        value: value of meeting the target.
        recipe: the planned fine-tuning; a card for another recipe gives a warning.
        frozen: only a head is trained on a frozen model; such models never learn some tasks. By
            default true for the recipe ``linear``. Not used for losses.
    """

    target: Annotated[
        float | None, "Fraction of the gain from zero-shot to the ceiling.  [default: 0.9]"
    ]
    target_score: Annotated[float | None, "The target as a score, instead of --target."]
    zero_shot: Annotated[
        float | None, "Score without fine-tuning.  [default: estimated from other tasks]"
    ]
    ceiling: Annotated[
        float | None,
        "Best score expected with any number of labels.  [default: that of the run's task]",
    ]
    observations: Iterable[Observed]
    observe_size: Annotated[int | None, "Test examples behind each score.  [default: 500]"]
    observe_sd: Annotated[
        float | None,
        "Noise sd of each score from its test set, instead of --observe-size, for a metric that "
        "is not a mean over examples (estimate it by bootstrap).",
    ]
    scale: Annotated[float | None, "Largest value of a score, such as 100.  [default: 1]"]
    lower_is_better: Annotated[bool, "Scores are losses, or with --scale error rates."]
    metric: Annotated[Metric | None, "score, error or loss, if --lower-is-better is not enough."]
    level: Annotated[float, "Confidence level of the intervals.  [default: 0.9]"]
    budget: Annotated[int | None, "Ask the reverse: the score with this many labels."]
    horizon: Annotated[
        int | None,
        "Most labels to consider, up to 1,000,000.  [default: 5,000, or more for a larger pool or "
        "for scores beyond 1,250 labels]",
    ]
    label_cost: Annotated[float | None, "What a label costs, to choose the next budget."]
    run_cost: Annotated[float | None, "What a training run costs."]
    value: Annotated[float | None, "What meeting the target is worth."]
    recipe: Annotated[
        str | None,
        "The fine-tuning recipe, such as LoRA; a run's scores count only if they are of this "
        "recipe.",
    ]
    frozen: Annotated[bool, "Only a head is trained on a frozen model, as with the recipe linear."]


class RunOptions(Options, total=False):
    """What the commands and a run ask: the options and the calibration."""

    calibration: Calibration | str | Path | None


def checked_number(option: str, value: Any) -> float:
    """Return a finite number."""
    if isinstance(value, Real) and not isinstance(value, bool):
        with suppress(OverflowError):  # a whole number of hundreds of digits
            if math.isfinite(value):
                return float(value)
    raise InputError(f"{option}: expected a finite number, not {value!r:.60}")


def checked_count(option: str, value: Any, least: int, most: int) -> int | None:
    """Return a whole number within bounds; None stays None."""
    if value is None:
        return None
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or not least <= value <= most:
        raise InputError(
            f"{option}: expected a whole number from {least:,} to {most:,}, not {value!r}"
        )
    return int(value)


def checked_amount(option: str, value: Any, what: str) -> float | None:
    """Return a number of 0 or more; None stays None. `what` names it, with its article."""
    if value is None:
        return None
    number = checked_number(option, value)
    if number < 0:
        raise InputError(f"{option}: {what} is 0 or more, not {number:g}")
    return number


def checked_level(value: Any) -> float:
    """Return the level of the intervals.

    Raises:
        InputError: it is not a number within `LEVELS`.
    """
    level = checked_number("--level", value)
    if not LEVELS[0] <= level <= LEVELS[1]:
        raise InputError(
            f"--level: lies within {LEVELS[0]} to {LEVELS[1]} (say 0.9), not {level:.17g}"
        )
    return level
