"""What the documentation's pictures share: colours, the axis of labels, and saving."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import altair as alt

from labelcast.forecast.efficiency import log_position

Rows = list[dict[str, Any]]
Chart = Any
"""An altair chart; altair's own types are incomplete."""

GREY, BLUE = "#9a9a9a", "#1f6fb2"
ORANGE = "#d9722e"
_TICKS = log_position([0, 50, 500, 5000]).tolist()
_LABELS = "datum.value < 0.01 ? '0' : format(round(pow(5000, datum.value)), ',')"


def chart_of(rows: Rows) -> Chart:
    """Return a chart of these rows."""
    return alt.Chart(alt.Data(values=rows))  # type: ignore[no-untyped-call]


def save(chart: Chart, path: Path) -> None:
    """Write a chart on an opaque white background, readable on a light or dark page."""
    chart.configure_view(strokeWidth=0).configure(background="white", padding=12).save(path)
    print(path)


def labels_axis() -> alt.X:
    """Return the axis of labels: log2(labels), with 0 instead of 1."""
    axis = alt.Axis(
        values=_TICKS, labelExpr=_LABELS, labelOverlap=False, title="labels", grid=False
    )
    return alt.X("x:Q", axis=axis, scale=alt.Scale(domain=[0, 1]))
