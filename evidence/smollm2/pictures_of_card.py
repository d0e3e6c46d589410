"""Pictures of the card's measurements: CoS-Low by task, and CoS-Low against AUC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import altair as alt

from labelcast.forecast.line import fit_line

Rows = list[dict[str, Any]]
Chart = Any
"""A chart of altair, whose types are incomplete."""

BLUE, GREY, ORANGE = "#1f6fb2", "#9a9a9a", "#e07b39"


def draw_probes(tasks: dict[str, dict[str, Any]], path: Path) -> None:
    """CoS-Low of every draw, exact CoS-Low of the first, and the cosine of random examples."""
    rows: Rows = []
    for name, row in tasks.items():
        rows += [{"task": name, "what": "CoS-Low, a draw", "value": v} for v in row["draws"]]
        rows.append({"task": name, "what": "exact, first draw", "value": row["exact"]})
        rows.append({"task": name, "what": "random examples", "value": row["random"]})
    order = sorted(tasks, key=lambda name: -tasks[name]["coslow"])
    kinds = ["CoS-Low, a draw", "exact, first draw", "random examples"]
    shape = alt.Shape("what:N", scale=alt.Scale(domain=kinds, range=["circle", "stroke", "cross"]))
    colour = alt.Color("what:N", scale=alt.Scale(domain=kinds, range=[BLUE, "#111111", ORANGE]))
    chart = _chart(rows).mark_point(size=70, opacity=0.9)
    chart = chart.encode(
        alt.X("value:Q", title="median cosine of the gradients", scale=alt.Scale(zero=True)),
        alt.Y("task:N", sort=order, title=None, axis=alt.Axis(labelLimit=240, grid=True)),
        shape.legend(title=None),
        colour.legend(title=None),
    )
    _save(chart.properties(width=420, height=alt.Step(20)), path)


def draw_aucs(tasks: dict[str, dict[str, Any]], aucs: dict[str, float], path: Path) -> None:
    """CoS-Low against AUC, the fitted line, and the mean of the tasks."""
    names = [task for task in tasks if task in aucs]
    x = [tasks[task]["coslow"] for task in names]
    y = [aucs[task] for task in names]
    rows = [
        {"task": task, "coslow": a, "auc": b, "low": min(tasks[task]["draws"])}
        | {"high": max(tasks[task]["draws"])}
        for task, a, b in zip(names, x, y, strict=True)
    ]
    line = fit_line(x, y)
    ends = [{"coslow": v, "auc": line.slope * v + line.intercept} for v in (min(x), max(x))]
    place = alt.X("coslow:Q", title="CoS-Low, mean of the draws", scale=alt.Scale(zero=False))
    height = alt.Y("auc:Q", title="data efficiency (AUC)", scale=alt.Scale(zero=False))
    base = _chart(rows)
    chart = alt.layer(
        base.mark_rule(color=BLUE, opacity=0.5).encode(alt.X("low:Q"), alt.X2("high:Q"), height),
        base.mark_point(filled=True, size=60, color=BLUE, opacity=1).encode(place, height),
        base.mark_text(align="left", dx=6, dy=-5, fontSize=9).encode(place, height, text="task:N"),
        _chart(ends).mark_line(color=ORANGE).encode(place, height),
        _chart([{"auc": sum(y) / len(y)}])
        .mark_rule(strokeDash=[4, 3], color=GREY)
        .encode(alt.Y("auc:Q")),
    )
    _save(chart.properties(width=520, height=380), path)


def _chart(rows: Rows) -> Chart:
    return alt.Chart(alt.Data(values=rows))  # type: ignore[no-untyped-call]


def _save(chart: Chart, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    chart.configure_view(strokeWidth=0).configure(background="white").save(path)
    print(path.name)
