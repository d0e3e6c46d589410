"""`labelcast forecast`: how many labels a task needs."""

from __future__ import annotations

import textwrap
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from labelcast.cli.console import print_json, takes_unicode, tell, warn
from labelcast.cli.forecast_options import takes_forecast_options
from labelcast.cli.options import Json
from labelcast.errors import InputError
from labelcast.files.untrusted import one_line
from labelcast.forecast.options import RunOptions
from labelcast.forecast.wording import labels

if TYPE_CHECKING:
    from labelcast.forecast import Forecast
    from labelcast.report.frame import LabelsAxis

_WIDTH = 79
_COLUMNS, _ROWS = 60, 12


@takes_forecast_options
def forecast(
    asked: RunOptions,
    run: Annotated[
        Path | None, Argument(help="A run folder; none with --coslow or scores alone.")
    ] = None,
    coslow: Annotated[float | None, Option(help="CoS-Low, measured elsewhere.")] = None,
    as_json: Json = False,
) -> None:
    """Forecast how many labels the task needs, with an interval.

    Example: labelcast forecast run --target 0.9
    Example: labelcast forecast --coslow 0.42 --calibration llama-3.1-8b-instruct --target 0.9
    Example: labelcast forecast run --target-score 0.85 --zero-shot 0.52 --ceiling 0.95
    Example: labelcast forecast --observe 0=0.52 --observe 50=0.71 --observe-size 1000
    Example: labelcast forecast --scores percent.csv --scale 100 --target-score 85 --horizon 20000
    """
    if run is not None and coslow is not None:
        raise InputError("give a run or --coslow, not both.")
    found: tuple[str, ...] = ()
    if run is None:
        from labelcast.forecast import forecast as answer_question

        answer = answer_question(coslow, **asked)
    else:
        from labelcast.runs.forecast import forecast_run
        from labelcast.runs.run import Run

        answer, found = forecast_run(Run.open(run), **asked)
    show(answer, found, as_json=as_json)


def show(answer: Forecast, found: tuple[str, ...] = (), *, as_json: bool = False) -> None:
    """Print a forecast: the sentence, a small table, the curve, the warnings."""
    if as_json:
        print_json(answer.to_dict() | {"warnings": [*found, *answer.warnings]})
        return
    tell(answer.sentence())
    if answer.at_budget is not None:
        tell(answer.budget_sentence())
    tell()
    tell(_table(answer))
    tell(draw_curve(answer, unicode=takes_unicode()))
    if advice := answer.advice():
        words = f"Next: {advice[0].lower()}{advice[1:]}"
        tell("\n" + textwrap.fill(words, _WIDTH, break_on_hyphens=False))
    for warning in (*found, *answer.warnings):
        warn(warning)


def _table(answer: Forecast) -> str:
    needed, auc, lines = answer.labels_needed, answer.auc, []
    count = partial(labels, horizon=answer.horizon)

    def row(name: str, value: str, *ends: str) -> None:
        lines.append(f"{name:<26}{value:>8}  {' to '.join(ends)}".rstrip() + "\n")

    row("data efficiency (AUC)", f"{auc.mean:.3f}", f"{auc.low:.3f}", f"{auc.high:.3f}")
    row("labels needed", *map(count, (needed.point, needed.low, needed.high)))
    if needed.if_reached is not None:
        reached = (needed.if_reached, needed.if_reached_low, needed.if_reached_high)
        row(f"  if {answer.horizon:,} suffice", *map(count, reached))
    row("  half of the curves by", count(needed.median))
    if answer.power_law is not None:
        row("  by the paper's formula", count(answer.power_law.labels_needed))
    row("calibration", one_line(answer.calibration or "none"))
    row("rests on", answer.basis())
    return "".join(lines)


def draw_curve(answer: Forecast, *, unicode: bool = True) -> str:
    """The curve's mean and band over labels (log axis) and the target, as lines of text.

    Args:
        answer: the forecast.
        unicode: whether the output can show block characters; plain ones replace them if not.
    """
    import numpy as np

    from labelcast.report.frame import LabelsAxis, target_value

    shade, dot, line, edge = ("░", "●", "┄", "│") if unicode else (":", "o", "-", "|")
    axis = LabelsAxis.of(answer)
    target = target_value(answer)
    inside = [] if target is None or (answer.curve_unit == "gain" and target < 0) else [target]
    lowest = [0.0] if answer.curve_unit == "gain" else []
    bottom = min(*(p.low for p in answer.curve), *lowest, *inside)
    top = max(*(p.high for p in answer.curve), *inside)
    span = (top - bottom) or 1.0
    decimals = max(answer.decimals - 1, 0)
    width = max(6, *(len(f"{value:.{decimals}f}") for value in (bottom, top)))

    def row(value: float) -> int:
        return _ROWS - 1 - round((value - bottom) / span * (_ROWS - 1))

    grid = [[" "] * (_COLUMNS + 1) for _ in range(_ROWS)]
    marked = row(inside[0]) if inside else None
    if marked is not None:
        grid[marked] = [line] * (_COLUMNS + 1)
    x, places = np.linspace(0, 1, _COLUMNS + 1), [axis.place(p.n) for p in answer.curve]
    ends = (
        np.interp(x, places, [getattr(p, k) for p in answer.curve]) for k in ("low", "mean", "high")
    )
    for column, (low, mean, high) in enumerate(zip(*ends, strict=True)):
        for height in range(row(high), row(low) + 1):
            grid[height][column] = shade
        grid[row(mean)][column] = dot
    lines = []
    for number, cells in enumerate(grid):
        value = top - span * number / (_ROWS - 1)
        is_marked = number % 3 == 0 or number == _ROWS - 1
        mark = f"{value:{width}.{decimals}f}" if is_marked else " " * width
        name = " target" if number == marked else ""
        lines.append(f"{mark} {edge}{''.join(cells)}{name}".rstrip())
    indent = " " * (width + 2)
    lines.append(f"{indent}{_ticks(axis)}")
    lines.append(f"{indent}{answer.curve_unit} against labels; band: {100 * answer.level:.4g}%")
    return "\n".join(lines)


def _ticks(axis: LabelsAxis) -> str:
    cells = [" "] * (_COLUMNS + 8)
    for n in axis.ticks(few=True):
        text = f"{n:,}"
        start = min(round(axis.place(n) * _COLUMNS), _COLUMNS + 6 - len(text))
        cells[start : start + len(text)] = text
    return "".join(cells).rstrip()
