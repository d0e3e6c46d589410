"""Draw the pictures of docs/was-it-right.md from the committed rows and the committed summary.

    python -m evidence.own_curves.pictures [--out docs/img]

One picture a model and recipe has a panel a task, with the first seed: the forecast from the scores
at 50 and 100 labels (LoRA: 200) with its 90% band, and the scores that were then measured. The
README shows a row of it, the first tasks by name.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np

from evidence.charts import BLUE, GREY, ORANGE, Chart, Rows, chart_of, save
from evidence.own_curves.curves import Own, curves_of, first_seed, headline_case
from evidence.own_curves.methods import LEVELS, SHIPPED
from evidence.own_curves.rows import OUTSIDE, ROWS
from evidence.own_curves.trial import SUMMARY
from evidence.transport import LEVEL, Case, labelcast_way
from labelcast.forecast.families import Prior

COLUMNS = 4
IN_README = "was-it-right-minilm-linear"
WIDTH, HEIGHT = 170, 110
LARGEST = 4000
BEGUN = "smollm2, lora"
"""Has too few tasks with later scores for shares of them."""

RED = "#c0392b"
POINTS = ["observed", "measured, inside the band", "measured, outside"]
COLOURS = ["black", BLUE, RED]


def panel(own: Own, case: Case) -> Chart:
    """A task: band, forecast and the scores; a dashed line for the majority baseline."""
    forecast = labelcast_way(Prior.load(), recipe=own.recipe)
    grid = np.unique(np.geomspace(case.budgets[-1], LARGEST, 24).round())
    band = forecast(case._replace(later_budgets=grid))
    at = forecast(case)
    assert band.intervals is not None and at.intervals is not None
    ends: Rows = [
        {"labels": float(n), "low": float(low), "high": float(high), "forecast": float(mean)}
        for n, mean, (low, high) in zip(grid, band.scores, band.intervals[LEVEL], strict=True)
    ]
    points: Rows = [
        {"labels": float(n), "score": float(score), "kind": POINTS[0]}
        for n, score in zip(case.budgets, case.scores, strict=True)
    ]
    for n, score, (low, high) in zip(
        case.later_budgets, case.later_scores, at.intervals[LEVEL], strict=True
    ):
        kind = POINTS[1] if low <= score <= high else POINTS[2]
        points.append({"labels": float(n), "score": float(score), "kind": kind})
    axis = alt.Axis(values=[50, 200, 1000, 4000], format=",d", title=None, grid=False)
    x = alt.X("labels:Q", scale=alt.Scale(type="log", domain=[45, 4400]), axis=axis)
    y_axis = alt.Axis(values=[0, 0.5, 1], title=None, grid=False)
    y_scale = alt.Scale(domain=[0, 1])
    color = alt.Color(
        "kind:N",
        scale=alt.Scale(domain=POINTS, range=COLOURS),
        legend=alt.Legend(
            title=None, orient="bottom", direction="horizontal", columnPadding=30, labelLimit=250
        ),
    )
    layers = [
        chart_of([{"score": own.majority}])
        .mark_rule(strokeDash=[3, 3], color=GREY)
        .encode(alt.Y("score:Q", scale=y_scale, axis=y_axis)),
        chart_of(ends)
        .mark_area(opacity=0.2, color=BLUE)
        .encode(x, alt.Y("low:Q", scale=y_scale, axis=y_axis), alt.Y2("high:Q")),
        chart_of(ends)
        .mark_line(color=BLUE, strokeWidth=1)
        .encode(x, alt.Y("forecast:Q", scale=y_scale, axis=y_axis)),
        chart_of(points)
        .mark_point(filled=True, size=28, opacity=1)
        .encode(x, alt.Y("score:Q", scale=y_scale, axis=y_axis), color),
    ]
    return alt.layer(*layers).properties(
        width=WIDTH, height=HEIGHT, title=alt.Title(own.task, fontSize=10)
    )


def grid_of(curves: Sequence[Own]) -> Chart:
    """The panels of curves that have the headline's scores."""
    cases = [(own, headline_case(own)) for own in curves]
    panels = [panel(own, case) for own, case in cases if case is not None]
    return alt.concat(*panels, columns=COLUMNS, spacing=14)


def coverage(found: dict[str, Any]) -> Chart:
    """How often intervals hold the later scores, by level, recipe and number of scores."""
    names = [f"{level:.0%}" for level in LEVELS]
    groups = {row["curves of"] for row in found["headline"]} - {BEGUN}
    rows: Rows = [
        {
            "level": float(level),
            "covered": row[f"covered {name}"],
            "curves": row["curves of"],
            "scores": f"{len(row['from'].split(','))} from 50 labels",
        }
        for row in found["compared"]
        if row["way"] == SHIPPED and row["from"].startswith("50") and row["curves of"] in groups
        for level, name in zip(LEVELS, names, strict=True)
    ]
    axis = alt.Axis(values=list(LEVELS), format="%", title="level of the interval", grid=False)
    x = alt.X("level:Q", scale=alt.Scale(domain=[0.45, 0.95]), axis=axis)
    y = alt.Y(
        "covered:Q",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(format="%", title="later scores inside", grid=False),
    )
    asked = chart_of([{"level": v, "covered": v} for v in (0.45, 0.95)])
    color = alt.Color("curves:N", scale=alt.Scale(range=[BLUE, ORANGE, GREY]), title=None)
    points = chart_of(rows).encode(x, y, color, alt.Shape("scores:N", title=None))
    return alt.layer(
        asked.mark_line(strokeDash=[3, 3], color=GREY).encode(x, y),
        points.mark_point(filled=True, size=70, opacity=0.9),
    ).properties(width=340, height=260)


def main() -> None:
    """Draw the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/img"))
    out = parser.parse_args().out
    files = {f"was-it-right-{file.stem}": file for file in sorted(ROWS.glob("*.jsonl"))}
    outside = sorted((OUTSIDE / "rows").glob("*.jsonl"))
    files |= {f"was-it-right-outside-{file.stem}": file for file in outside}
    for name, file in files.items():
        curves = first_seed(curves_of(file))
        # Rows that have just begun allow no forecast.
        if not any(headline_case(own) for own in curves):
            continue
        save(grid_of(curves), out / f"{name}.svg")
        if name == IN_README:
            save(grid_of(curves[:COLUMNS]), out / "was-it-right-row.svg")
    save(coverage(json.loads(SUMMARY.read_text("utf-8"))), out / "was-it-right-coverage.svg")


if __name__ == "__main__":
    main()
