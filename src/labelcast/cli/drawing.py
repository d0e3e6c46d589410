"""The forecast curve, drawn in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from labelcast.report.frame import LabelsAxis, target_value

if TYPE_CHECKING:
    from labelcast.forecast import Forecast

WIDTH, HEIGHT = 60, 12
KEYS = ("low", "mean", "high")


def draw_curve(answer: Forecast, *, unicode: bool = True) -> str:
    """The curve's mean and band over labels (log axis) and the target, as lines of text.

    Args:
        answer: the forecast.
        unicode: whether the output can show block characters; plain ones replace them if not.
    """
    shade, dot, line, edge = ("░", "●", "┄", "│") if unicode else (":", "o", "-", "|")
    axis = LabelsAxis.of(answer)
    target = target_value(answer)
    inside = [] if target is None or (answer.curve_unit == "gain" and target < 0) else [target]
    lowest = [0.0] if answer.curve_unit == "gain" else []
    bottom = min(*(p.low for p in answer.curve), *lowest, *inside)
    top = max(*(p.high for p in answer.curve), *inside)
    span = (top - bottom) or 1.0
    decimals = max(answer.decimals - 1, 0)

    def row(value: float) -> int:
        return HEIGHT - 1 - round((value - bottom) / span * (HEIGHT - 1))

    grid = [[" "] * (WIDTH + 1) for _ in range(HEIGHT)]
    marked = row(inside[0]) if inside else None
    if marked is not None:
        grid[marked] = [line] * (WIDTH + 1)
    x, places = np.linspace(0, 1, WIDTH + 1), [axis.place(p.n) for p in answer.curve]
    ends = (np.interp(x, places, [getattr(p, k) for p in answer.curve]) for k in KEYS)
    for column, (low, mean, high) in enumerate(zip(*ends, strict=True)):
        for height in range(row(high), row(low) + 1):
            grid[height][column] = shade
        grid[row(mean)][column] = dot
    lines = []
    for number, cells in enumerate(grid):
        value = top - span * number / (HEIGHT - 1)
        mark = f"{value:6.{decimals}f}" if number % 3 == 0 or number == HEIGHT - 1 else " " * 6
        name = " target" if number == marked else ""
        lines.append(f"{mark} {edge}{''.join(cells)}{name}".rstrip())
    lines.append(_ticks(axis))
    lines.append(f"{'':8}{answer.curve_unit} against labels; band: {100 * answer.level:.4g}%")
    return "\n".join(lines)


def _ticks(axis: LabelsAxis) -> str:
    cells = [" "] * (WIDTH + 8)
    for n in axis.ticks(few=True):
        text = f"{n:,}"
        start = min(round(axis.place(n) * WIDTH), WIDTH + 6 - len(text))
        cells[start : start + len(text)] = text
    return f"{'':8}{''.join(cells).rstrip()}"
