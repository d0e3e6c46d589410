"""Draw the pictures of docs/curves.md from the authors' results folder.

    python -m evidence.reproduce.pictures RESULTS [--out docs/img]

The figures are those of `python -m evidence.reproduce RESULTS`, and it takes as long.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np

from evidence.charts import BLUE, GREY, Chart, Rows, chart_of, labels_axis, save
from evidence.reproduce.intervals import interval
from evidence.reproduce.labelcast_method import (
    FittedLabelcast,
    PriorWithout,
    auc_weights,
    fit_scores,
    prior_without,
)
from evidence.reproduce.policy import Simulated, simulate
from evidence.reproduce.policy_table import policy_table
from evidence.reproduce.published import PublishedCurve, read_published
from evidence.reproduce.refinement import Measured, measure_all, pair
from evidence.reproduce.refinement_rows import (
    AUC_ERROR_SD,
    NOTHING,
    SEVEN_ROWS,
    Case,
    clues_of,
)
from evidence.reproduce.scoring import LEVEL, TARGETS, TaskBootstrap
from labelcast.forecast.distributions import weighted_quantiles
from labelcast.forecast.efficiency import LARGEST_BUDGET, log_position
from labelcast.forecast.posterior import joined

CHOSEN_BY = Case((50,), AUC_ERROR_SD)
"""The row whose AUC error chooses the tasks that are drawn."""

KINDS = {"good": 0.1, "typical": 0.5, "bad": 0.9}
"""For each kind of task, the quantile of that error over the curves."""

SHOWN = ((), (50,), (50, 100), (50, 100, 200))
METHODS = ["table", "labelcast"]
COLOURS = [GREY, BLUE]
COVERED = {"covers_auc": "AUC", "covers_labels": "labels", "covers_score_5000": "score at 5,000"}

COLOUR = alt.Color(
    "method:N", scale=alt.Scale(domain=METHODS, range=COLOURS), legend=alt.Legend(title=None)
)


def chosen(curves: Sequence[PublishedCurve], measured: Sequence[Measured]) -> dict[str, int]:
    """The curve at each quantile of the AUC error."""
    errors = pair(measured, "known")[1].rows([CHOSEN_BY]).of("auc_error")[:, 0]
    order = np.argsort(errors)
    return {kind: int(order[round(q * (len(curves) - 1))]) for kind, q in KINDS.items()}


def curve_rows(
    curves: Sequence[PublishedCurve], kinds: dict[str, int], without_task: PriorWithout
) -> tuple[Rows, Rows]:
    """Forecasts and published points of the chosen curves after each number of labels."""
    bands: Rows = []
    points: Rows = []
    grid = sorted({*np.geomspace(50, LARGEST_BUDGET, 60).round().tolist(), 100, 200})
    for kind, i in kinds.items():
        curve = curves[i]
        others = [c for c in curves if c.task != curve.task]
        fitted = FittedLabelcast(prior_without(curve.task, others, without_task))
        title = f"{kind}: {curve.task} ({curve.model})"
        for budgets in SHOWN:
            name = f"{budgets[-1]} labels" if budgets else "0 labels"
            clues = clues_of(curve, Case(budgets, AUC_ERROR_SD), True, 1, 0, i)
            assert clues.aucs is not None
            parts = fitted.condition(clues)
            draws, weights = joined(parts), auc_weights(parts, clues.aucs[0], AUC_ERROR_SD)
            place = {"task": title, "after": name}
            for n in grid:
                gains = draws.gains_at(n)
                low, high = interval(gains, weights, LEVEL)
                middle = float(weighted_quantiles(gains, weights, [0.5])[0])
                x = float(log_position(n))
                bands.append(place | {"x": x, "low": low, "middle": middle, "high": high})
            for n, gain in zip(curve.curve.budgets, curve.curve.gains, strict=True):
                kind_of = "seen" if n in budgets else "not seen"
                x = float(log_position(n))
                points.append(place | {"x": x, "gain": gain, "score": kind_of})
    return bands, points


def draw_curves(
    curves: Sequence[PublishedCurve], measured: Sequence[Measured], without_task: PriorWithout
) -> Chart:
    """Published curves with forecasts and 90% bands."""
    kinds = chosen(curves, measured)
    bands, points = curve_rows(curves, kinds, without_task)
    titles = list(dict.fromkeys(row["task"] for row in bands))
    panels = [
        alt.hconcat(
            *(
                _panel(bands, points, title, budgets, first=number == 0)
                for number, budgets in enumerate(SHOWN)
            ),
            title=alt.Title(title, fontSize=12, anchor="start"),
            spacing=12,
        )
        for title in titles
    ]
    return alt.vconcat(*panels, spacing=14)


def _panel(
    bands: Rows, points: Rows, title: str, budgets: tuple[int, ...], *, first: bool
) -> Chart:
    after = f"{budgets[-1]} labels" if budgets else "0 labels"
    here = [r for r in bands if (r["task"], r["after"]) == (title, after)]
    there = [r for r in points if (r["task"], r["after"]) == (title, after)]
    y_axis = alt.Axis(title="gain" if first else None, labels=first, tickCount=5)
    scale = alt.Scale(domain=[0, 1.02])
    band = chart_of(here).mark_area(opacity=0.22, color=COLOURS[1])
    line = chart_of(here).mark_line(color=COLOURS[1])
    dots = chart_of(there).mark_point(size=42, filled=True, opacity=1)
    return alt.layer(
        band.encode(labels_axis(), alt.Y("low:Q", axis=y_axis, scale=scale), alt.Y2("high:Q")),
        line.encode(labels_axis(), alt.Y("middle:Q")),
        dots.encode(
            labels_axis(),
            alt.Y("gain:Q"),
            alt.Color(
                "score:N",
                scale=alt.Scale(domain=["seen", "not seen"], range=["#111111", "#e07b39"]),
                legend=alt.Legend(title="published score"),
            ),
        ),
    ).properties(width=165, height=135, title=alt.Title(f"after {after}", fontSize=11))


def _with_interval(bootstrap: TaskBootstrap, values: Any) -> dict[str, Any]:
    return vars(bootstrap.mean(values))


def draw_errors(measured: Sequence[Measured]) -> Chart:
    """Errors of AUC and labels against the number of labels observed, ceiling known."""
    rows: Rows = []
    for part in measured:
        if part.ceiling != "known" or part.method not in METHODS:
            continue
        for case in (NOTHING, *SEVEN_ROWS):
            one = part.rows([case])
            logs = np.stack([one.of(f"labels_error_{t}")[:, 0] for t in TARGETS], axis=1)
            found = {
                "AUC, mean absolute error": float(one.of("auc_error").mean()),
                "labels needed, mean |log2 error|": float(np.nanmean(logs, axis=0).mean()),
            }
            place = {
                "method": part.method,
                "labels": case.observed[-1] if case.observed else 0,
                "known": "scores alone" if case.auc_error_sd is None else "AUC and scores",
            }
            rows += [place | {"measure": name, "value": value} for name, value in found.items()]
    panels = [
        _errors_panel([r for r in rows if r["measure"] == name], name)
        for name in dict.fromkeys(r["measure"] for r in rows)
    ]
    return alt.hconcat(*panels, spacing=40)


def _errors_panel(rows: Rows, title: str) -> Chart:
    base = chart_of(rows)
    x = alt.X("labels:O", axis=alt.Axis(title="labels behind the last score", labelAngle=0))
    dash = alt.StrokeDash(
        "known:N",
        scale=alt.Scale(domain=["scores alone", "AUC and scores"], range=[[5, 4], [1, 0]]),
        legend=alt.Legend(title=None, symbolType="stroke", symbolStrokeColor="#444444"),
    )
    y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=True))
    lines = base.mark_line().encode(x, y, COLOUR, dash)
    dots = base.mark_point(filled=True, size=45, opacity=1).encode(x, y, COLOUR)
    return alt.layer(lines, dots).properties(width=300, height=260)


def draw_coverage(measured: Sequence[Measured], bootstrap: TaskBootstrap) -> Chart:
    """Coverage of the 90% intervals by row, with task-clustered 95% intervals."""
    rows: Rows = []
    for ceiling in ("known", "unknown"):
        for part in pair(measured, ceiling):
            for number, case in enumerate(part.cases):
                for name, shown in COVERED.items():
                    rows.append(
                        {
                            "ceiling": ceiling,
                            "method": part.method,
                            "known": _case_name(case),
                            "what": shown,
                            **_with_interval(bootstrap, part.of(name)[:, number]),
                        }
                    )
            for name, shown in COVERED.items():
                found = _with_interval(bootstrap, part.of(name).mean(axis=1))
                place = {"ceiling": ceiling, "method": part.method, "known": "all rows"}
                rows.append(place | {"what": shown, **found})
    return alt.vconcat(
        *(
            alt.hconcat(
                *(
                    _coverage_panel(rows, ceiling, what, first=number == 0)
                    for number, what in enumerate(COVERED.values())
                ),
                title=alt.Title(f"ceiling {ceiling}", fontSize=12, anchor="start"),
                spacing=14,
            )
            for ceiling in ("known", "unknown")
        ),
        spacing=18,
    )


def _case_name(case: Case) -> str:
    parts = [] if case.auc_error_sd is None else ["AUC"]
    return ", ".join([*parts, *(str(n) for n in case.observed)])


def _coverage_panel(rows: Rows, ceiling: str, what: str, *, first: bool) -> Chart:
    here = [r for r in rows if (r["ceiling"], r["what"]) == (ceiling, what)]
    base = chart_of(here)
    order = [*(_case_name(case) for case in SEVEN_ROWS), "all rows"]
    y = alt.Y("known:N", sort=order, axis=alt.Axis(title=None, labels=first, labelLimit=200))
    offset = alt.YOffset("method:N", sort=METHODS)
    scale = alt.Scale(domain=[0.6, 1.0])
    axis = alt.Axis(format=".0%", tickCount=4)
    bars = base.mark_rule(strokeWidth=2).encode(
        alt.X("low:Q", scale=scale, axis=axis, title=f"covered, {what}"),
        alt.X2("high:Q"),
        y,
        offset,
        COLOUR,
    )
    dots = base.mark_point(filled=True, size=45, opacity=1).encode(
        alt.X("value:Q", scale=scale), y, offset, COLOUR
    )
    goal = (
        chart_of([{"goal": LEVEL}])
        .mark_rule(strokeDash=[4, 3])
        .encode(alt.X("goal:Q", scale=scale))
    )
    return alt.layer(goal, bars, dots).properties(width=190, height=190)


def draw_policy(
    curves: Sequence[PublishedCurve], simulated: Sequence[Simulated], bootstrap: TaskBootstrap
) -> Chart:
    """What each way to spend labels costs, over all targets that the curves reach."""
    table = [row for row in policy_table(curves, simulated, bootstrap) if row["target"] == "all"]
    names = {
        "labels_bought": ("labels bought", ",.0f"),
        "beyond_need": ("labels beyond need", ",.0f"),
        "runs": ("training runs", ".0f"),
        "missed": ("targets missed", ".0%"),
    }
    ways = [_way_name(row) for row in table]
    panels = []
    for number, (field, (title, form)) in enumerate(names.items()):
        values = [
            {"way": way, "ours": row["way"] == "labelcast", **row[field]}
            for way, row in zip(ways, table, strict=True)
        ]
        panels.append(_policy_panel(values, ways, title, form, first=number == 0))
    return alt.hconcat(*panels, spacing=16)


def _way_name(row: dict[str, Any]) -> str:
    known = (["AUC"] if row["auc_known"] else []) + (
        [f"ceiling {row['ceiling']}"] if row["ceiling"] else []
    )
    return f"{row['way']} ({', '.join(known)})" if known else str(row["way"])


def _policy_panel(values: Rows, ways: list[str], title: str, form: str, *, first: bool) -> Chart:
    base = chart_of(values)
    y = alt.Y("way:N", sort=ways, axis=alt.Axis(title=None, labels=first, labelLimit=260))
    colour = alt.condition("datum.ours", alt.value(COLOURS[1]), alt.value(COLOURS[0]))
    axis = alt.Axis(format=form, tickCount=4)
    bars = base.mark_bar(height=13).encode(
        alt.X("value:Q", title=title, axis=axis), y, color=colour
    )
    whiskers = base.mark_rule(strokeWidth=1.2).encode(alt.X("low:Q"), alt.X2("high:Q"), y)
    return alt.layer(bars, whiskers).properties(width=150, height=200)


def main() -> None:
    """Draw every picture from the results folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("results", type=Path, help="the authors' results folder")
    parser.add_argument("--out", type=Path, default=Path("docs/img"))
    options = parser.parse_args()
    curves = read_published(options.results)
    bootstrap = TaskBootstrap.of([curve.task for curve in curves])
    without_task = fit_scores(options.results)
    measured = measure_all(curves, without_task)
    charts = {
        "curves": draw_curves(curves, measured, without_task),
        "errors": draw_errors(measured),
        "coverage": draw_coverage(measured, bootstrap),
        "policy": draw_policy(curves, simulate(curves, without_task), bootstrap),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    for name, chart in charts.items():
        save(chart, options.out / f"{name}.svg")


if __name__ == "__main__":
    main()
