"""`labelcast forecast`: the answer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labelcast.cli import forecast_options as options
from labelcast.cli.console import Json, print_json, say, tell
from labelcast.strange import one_line

if TYPE_CHECKING:
    from labelcast.forecast import Forecast


def forecast(
    run: Annotated[Path | None, typer.Argument(help="A run folder; none with --coslow.")] = None,
    coslow: Annotated[float | None, typer.Option(help="CoS-Low, measured elsewhere.")] = None,
    calibration: options.CalibrationCard = None,
    target: options.TargetGain = None,
    target_score: options.TargetScore = None,
    zero_shot: options.ZeroShot = None,
    ceiling: options.Ceiling = None,
    observe: options.Observe = None,
    observe_size: options.ObserveSize = None,
    observe_sd: options.ObserveSd = None,
    level: options.Level = 0.9,
    budget: options.Budget = None,
    recipe: options.Recipe = None,
    as_json: Json = False,
) -> None:
    """Forecast how many labels the task needs, with an interval.

    Example: labelcast forecast run --target 0.9
    Example: labelcast forecast --coslow 0.42 --calibration llama-3.1-8b-instruct --target 0.9
    Example: labelcast forecast run --target-score 0.85 --zero-shot 0.52 --ceiling 0.95
    Example: labelcast forecast --observe 0=0.52 --observe 50=0.71 --observe-size 1000
    """
    from labelcast.errors import InputError

    asked = options.gathered(
        target=target,
        target_score=target_score,
        zero_shot=zero_shot,
        ceiling=ceiling,
        observe=observe,
        observe_size=observe_size,
        observe_sd=observe_sd,
        level=level,
        budget=budget,
        recipe=recipe,
    )
    if run is not None and coslow is not None:
        raise InputError("give a run or --coslow, not both.")
    found: tuple[str, ...] = ()
    if run is None:
        from labelcast.forecast import forecast as answer_question

        answer = answer_question(coslow, calibration, **asked)
    else:
        from labelcast.runs.answering import forecast_run
        from labelcast.runs.run import Run

        answer, found = forecast_run(Run.open(run), calibration=calibration, **asked)
    show(answer, found, as_json=as_json)


def show(answer: Forecast, found: tuple[str, ...] = (), *, as_json: bool = False) -> None:
    """Print a forecast: the sentence, a small table, the curve, the warnings."""
    if as_json:
        print_json(answer.to_dict() | {"warnings": [*found, *answer.warnings]})
        return
    from labelcast.cli.drawing import draw_curve

    tell(answer.sentence())
    if answer.at_budget is not None:
        at = answer.at_budget
        tell(
            f"With {at.n:,} labels: {answer.curve_unit} {at.mean:.3f}, between {at.low:.3f} and "
            f"{at.high:.3f}; chance that the target is met: {at.chance:.0%}."
        )
    tell()
    tell(_table(answer))
    tell(draw_curve(answer, encoding=sys.stdout.encoding))
    if answer.advice():
        advice = answer.advice()
        tell(f"\nNext: {advice[0].lower()}{advice[1:]}")
    for warning in (*found, *answer.warnings):
        say(f"warning: {one_line(warning)}")


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
    rows.append(("calibration", one_line(answer.calibration or "none"), ""))
    rows.append(("rests on", answer.basis(), ""))
    return "".join(f"{name:<26}{value:>8}  {ends}".rstrip() + "\n" for name, value, ends in rows)


def _ends(low: float | None, high: float | None) -> str:
    return f"{_labels(low)} to {_labels(high)}"


def _labels(value: float | None) -> str:
    if value is None:
        return "> 5,000"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
