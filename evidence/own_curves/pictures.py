"""Draw the pictures of docs/was-it-right.md from the committed rows and the committed summary.

    python -m evidence.own_curves.pictures [--out docs/img]

One picture a model and recipe has a panel a task, with the first seed: the forecast from the scores
at 50 and 100 labels with its 90% band, and the scores that were then measured. The README shows a
row of it, the first tasks by name.
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
from evidence.own_curves.rows import FACTS, ROWS
from evidence.own_curves.rows import Rows as RowsFile
from evidence.own_curves.trial import (
    HEADLINE,
    LEVELS,
    SHIPPED,
    SUMMARY,
    Own,
    group_of,
    own_curves,
    started,
)
from evidence.transport import LEVEL, Case, labelcast_way
from labelcast.files.json_files import read_json
from labelcast.forecast.families import Prior

COLUMNS = 4
IN_README = "minilm-linear"
WIDTH, HEIGHT = 170, 110
LARGEST = 4000
RED = "#c0392b"
POINTS = ["observed", "measured, inside the band", "measured, outside"]
COLOURS = ["black", BLUE, RED]


def observed(own: Own) -> Case | None:
    """The curve with its first two scores from the headline's first budget; None without both."""
    found = [
        case
        for case in started(own.curve)
        if case.budgets[0] == HEADLINE[0] and len(case.budgets) == len(HEADLINE)
    ]
    return found[0] if found else None


def panel(own: Own, case: Case, usual: float) -> Chart:
    """A task: band, forecast and the scores; a dashed line for the most frequent answer."""
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
        legend=alt.Legend(title=None, orient="bottom", direction="horizontal"),
    )
    layers = [
        chart_of([{"score": usual}])
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
        width=WIDTH, height=HEIGHT, title=alt.Title(own.curve.task, fontSize=10)
    )


def first_seed(curves: Sequence[Own]) -> list[Own]:
    """The curves of the first seed, by task."""
    first = min(own.seed for own in curves)
    return sorted((own for own in curves if own.seed == first), key=lambda own: own.curve.task)


def grid_of(curves: Sequence[Own]) -> Chart:
    """The panels of one model and recipe, with the first seed of each task."""
    facts = read_json(FACTS)
    cases = [(own, observed(own)) for own in first_seed(curves)]
    panels = [
        panel(own, case, facts[own.curve.task]["most frequent answer"])
        for own, case in cases
        if case is not None
    ]
    return alt.concat(*panels, columns=COLUMNS, spacing=14)


def coverage(found: dict[str, Any]) -> Chart:
    """How often intervals hold the later scores, by level, recipe and number of scores."""
    names = [f"{level:.0%}" for level in LEVELS]
    rows: Rows = [
        {
            "level": float(level),
            "covered": row[f"covered {name}"],
            "curves": row["curves of"],
            "scores": f"{len(row['from'].split(','))} from 50 labels",
        }
        for row in found["compared"]
        if row["way"] == SHIPPED and row["from"].startswith("50")
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
    for file in sorted(ROWS.glob("*.jsonl")):
        curves = own_curves(group_of(file), RowsFile(file).rows())
        # Rows that have just begun allow no forecast.
        if not any(observed(own) for own in first_seed(curves)):
            continue
        save(grid_of(curves), out / f"was-it-right-{file.stem}.svg")
        if file.stem == IN_README:
            save(grid_of(first_seed(curves)[:COLUMNS]), out / "was-it-right-row.svg")
    save(coverage(json.loads(SUMMARY.read_text("utf-8"))), out / "was-it-right-coverage.svg")


if __name__ == "__main__":
    main()
