"""Draw the picture of docs/speed.md: CPU seconds against each size, with fits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
from growth_lines import Fitted

COSTS = {"score": "#5a5a5a", "confidence": "#1f6fb2", "CoS-Low": "#d9722e"}


def draw(fitted: Mapping[str, Fitted], path: Path) -> Path:
    """Write one panel for each kind of size; the lines are the fits of the larger half."""
    axes = list(dict.fromkeys(one.line.axis for one in fitted.values()))
    panels = [panel([o for o in fitted.values() if o.line.axis == axis], axis) for axis in axes]
    rows = [alt.hconcat(*panels[i : i + 2], spacing=26) for i in range(0, len(panels), 2)]
    chart = alt.vconcat(*rows, spacing=18)
    path.parent.mkdir(parents=True, exist_ok=True)
    chart.configure_view(strokeWidth=0).configure(background="white", padding=12).save(path)
    return path


def panel(lines: list[Fitted], axis: str) -> Any:
    """Points and fits of the costs that grow with one kind of size."""
    points, fits = [], []
    for one in lines:
        cost = one.line.cost
        law = one.over_upper
        points += [{"x": x, "y": y, "cost": cost} for x, y in zip(one.x, one.seconds, strict=True)]
        fits += [
            {"x": float(x), "y": law.at(float(x)), "cost": cost}
            for x in np.geomspace(one.x[-law.points], one.x[-1], 8)
        ]
    laws = ", ".join(f"{o.line.cost} {o.over_upper.exponent:.2f}" for o in lines)
    log = alt.Scale(type="log", nice=False)
    x = alt.X("x:Q", title=axis, scale=log, axis=alt.Axis(format="~s", tickCount=5, grid=False))
    y = alt.Y("y:Q", title="CPU seconds", scale=log, axis=alt.Axis(format="~g", tickCount=4))
    colour = alt.Color(
        "cost:N",
        scale=alt.Scale(domain=list(COSTS), range=list(COSTS.values())),
        legend=alt.Legend(title=None),
    )
    title = alt.Title(f"exponent: {laws}", fontSize=11, fontWeight="normal", anchor="start")
    return alt.layer(
        _chart(fits).mark_line(strokeWidth=1.5).encode(x, y, colour),
        _chart(points).mark_point(size=40, filled=True, opacity=1).encode(x, y, colour),
    ).properties(width=280, height=190, title=title)


def _chart(rows: list[dict[str, Any]]) -> Any:
    return alt.Chart(alt.Data(values=rows))  # type: ignore[no-untyped-call]
