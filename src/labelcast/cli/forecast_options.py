"""The options of a forecast, as `labelcast forecast` and `labelcast report` take them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

CalibrationCard = Annotated[
    str | None, typer.Option(help="A shipped card (labelcast calibrations) or a card's file.")
]
TargetGain = Annotated[
    float | None,
    typer.Option(help="Fraction of the gain from zero-shot to the ceiling.  [default: 0.9]"),
]
TargetScore = Annotated[
    float | None, typer.Option(help="The target as a score, instead of --target.")
]
ZeroShot = Annotated[
    float | None, typer.Option(help="Score without labels, 0 to 1; may be unknown.")
]
Ceiling = Annotated[
    float | None,
    typer.Option(help="Best score to be hoped for; the task's by default, may be unknown."),
]
Observe = Annotated[
    list[str] | None,
    typer.Option(help="A score that was measured: N=SCORE. Any number of times."),
]
ObserveSize = Annotated[int | None, typer.Option(help="Test examples behind each score.")]
ObserveSd = Annotated[
    float | None,
    typer.Option(
        help="Noise sd of each score from its test set (say, by bootstrap), where the metric "
        "is no mean; instead of --observe-size."
    ),
]
Level = Annotated[float, typer.Option(help="Of the intervals.")]
Budget = Annotated[
    int | None, typer.Option(help="Ask the reverse: what is reached with so many labels.")
]
Recipe = Annotated[str | None, typer.Option(help="The fine-tuning that is meant, such as LoRA.")]


def gathered(
    *,
    target: float | None = None,
    target_score: float | None = None,
    zero_shot: float | None = None,
    ceiling: float | None = None,
    observe: list[str] | None = None,
    observe_size: int | None = None,
    observe_sd: float | None = None,
    level: float = 0.9,
    budget: int | None = None,
    recipe: str | None = None,
) -> dict[str, Any]:
    """The options as `curves.forecast` takes them.

    Raises:
        InputError: an observed score is not written N=SCORE.
    """
    return {
        "target": target,
        "target_score": target_score,
        "zero_shot": zero_shot,
        "ceiling": ceiling,
        "observations": [_observation(text) for text in observe or []],
        "observe_size": observe_size,
        "observe_sd": observe_sd,
        "level": level,
        "budget": budget,
        "recipe": recipe,
    }


def _observation(text: str) -> tuple[int, float]:
    from labelcast.errors import InputError

    budget, equals, score = text.partition("=")
    try:
        if not equals:
            raise ValueError
        return int(budget), float(score)
    except ValueError:
        raise InputError(f"--observe {text}: expected N=SCORE, such as 50=0.71.") from None
