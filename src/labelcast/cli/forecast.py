"""`labelcast forecast`: the answer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labelcast.cli.console import Json, print_json, say

if TYPE_CHECKING:
    from labelcast.curves import Forecast


def forecast(
    run: Annotated[Path | None, typer.Argument(help="A run folder; none with --coslow.")] = None,
    coslow: Annotated[float | None, typer.Option(help="CoS-Low, measured elsewhere.")] = None,
    calibration: Annotated[
        str | None, typer.Option(help="A shipped card (labelcast calibrations) or a card's file.")
    ] = None,
    target: Annotated[
        float | None,
        typer.Option(help="Fraction of the gain from zero-shot to the ceiling.  [default: 0.9]"),
    ] = None,
    target_score: Annotated[
        float | None, typer.Option(help="The target as a score, instead of --target.")
    ] = None,
    zero_shot: Annotated[
        float | None, typer.Option(help="Score without labels, 0 to 1; may be unknown.")
    ] = None,
    ceiling: Annotated[
        float | None,
        typer.Option(help="Best score to be hoped for; the task's by default, may be unknown."),
    ] = None,
    observe: Annotated[
        list[str] | None,
        typer.Option(help="A score that was measured: N=SCORE. Any number of times."),
    ] = None,
    observe_size: Annotated[
        int | None, typer.Option(help="Test examples behind each score.")
    ] = None,
    observe_sd: Annotated[
        float | None,
        typer.Option(
            help="Noise sd of each score from its test set (say, by bootstrap), where the metric "
            "is no mean; instead of --observe-size."
        ),
    ] = None,
    level: Annotated[float, typer.Option(help="Of the intervals.")] = 0.9,
    budget: Annotated[
        int | None, typer.Option(help="Ask the reverse: what is reached with so many labels.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="The fine-tuning that is meant, such as LoRA.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Forecast how many labels the task needs, with an interval.

    Example: labelcast forecast run --target 0.9
    Example: labelcast forecast --coslow 0.42 --calibration llama-3.1-8b-instruct --target 0.9
    Example: labelcast forecast run --target-score 0.85 --zero-shot 0.52 --ceiling 0.95
    Example: labelcast forecast --observe 0=0.52 --observe 50=0.71 --observe-size 1000
    """
    from labelcast.errors import InputError

    options = {
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
    if run is not None and coslow is not None:
        raise InputError("give a run or --coslow, not both.")
    found: tuple[str, ...] = ()
    if run is None:
        from labelcast.curves import forecast as answer_question

        answer = answer_question(coslow, calibration, **options)  # type: ignore[arg-type]
    else:
        from labelcast.runs.answering import forecast_run
        from labelcast.runs.run import Run

        answer, found = forecast_run(Run.open(run), calibration=calibration, **options)
    show(answer, found, as_json=as_json)


def show(answer: Forecast, found: tuple[str, ...] = (), *, as_json: bool = False) -> None:
    """Print a forecast: the sentence, a small table, the curve, the warnings."""
    if as_json:
        print_json(answer.to_dict() | {"warnings": [*found, *answer.warnings]})
        return
    from labelcast.cli.drawing import draw_curve

    print(answer.sentence())
    if answer.at_budget is not None:
        at = answer.at_budget
        print(
            f"With {at.n:,} labels: {answer.curve_unit} {at.mean:.3f}, between {at.low:.3f} and "
            f"{at.high:.3f}; chance that the target is met: {at.chance:.0%}."
        )
    print()
    sys.stdout.write(_table(answer))
    print()
    print(draw_curve(answer, encoding=sys.stdout.encoding))
    if answer.advice():
        advice = answer.advice()
        print(f"\nNext: {advice[0].lower()}{advice[1:]}")
    for warning in (*found, *answer.warnings):
        say(f"warning: {warning}")


def _table(answer: Forecast) -> str:
    rows = [
        ("data efficiency (AUC)", f"{answer.auc.mean:.3f}", _ends(answer.auc.low, answer.auc.high)),
        (
            "labels needed",
            _labels(answer.labels_needed.median),
            _ends(answer.labels_needed.low, answer.labels_needed.high),
        ),
    ]
    if answer.labels_needed.if_reached is not None:
        rows.append(("  if 5,000 suffice", _labels(answer.labels_needed.if_reached), ""))
    if answer.power_law is not None:
        rows.append(("  by the paper's formula", _labels(answer.power_law.labels_needed), ""))
    rows.append(("calibration", answer.calibration or "none", ""))
    rows.append(("rests on", answer.basis(), ""))
    return "".join(f"{name:<26}{value:>8}  {ends}".rstrip() + "\n" for name, value, ends in rows)


def _ends(low: float | None, high: float | None) -> str:
    return f"{_labels(low)} to {_labels(high)}"


def _labels(value: float | None) -> str:
    if value is None:
        return "> 5,000"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _observation(text: str) -> tuple[int, float]:
    from labelcast.errors import InputError

    budget, equals, score = text.partition("=")
    try:
        if not equals:
            raise ValueError
        return int(budget), float(score)
    except ValueError:
        raise InputError(f"--observe {text}: expected N=SCORE, such as 50=0.71.") from None
