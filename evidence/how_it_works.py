"""Draw the pictures of docs/how-it-works.md from a run whose CoS-Low is measured.

    python -m evidence.how_it_works RUN [--out docs/img]

docs/img/way.svg is drawn by hand.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from evidence.charts import BLUE, GREY, ORANGE, Chart, Rows, chart_of, labels_axis, save
from labelcast.files.json_files import read_json
from labelcast.forecast import forecast
from labelcast.forecast.calibration import by_name, shipped
from labelcast.forecast.efficiency import (
    LARGEST_BUDGET,
    log_position,
    power_law_exponent,
    power_law_labels,
)
from labelcast.runs.pool import read_column
from labelcast.runs.run import Run
from labelcast.selection.coslow_draws import SHARE

CARD, COSLOW, TARGET = "llama-3.1-8b-instruct", 0.42, 0.9
AUCS, PART = (0.35, 0.54, 0.75), 0.7
WIDTH, HEIGHT = 600, 250


def draw_confidence(run: Run) -> Chart:
    """The pool by confidence: its lowest tenth, and the examples drawn from it."""
    confidence = read_column(run.file("confidence.parquet"), "confidence").astype(float)
    ids = read_column(run.file("confidence.parquet"), "id").tolist()
    drawn = {row["id"] for row in run.rows("draws.jsonl") if row["set"] == "low"}
    border = float(np.sort(confidence)[int(np.ceil(SHARE * len(confidence))) - 1])
    rows: Rows = [
        {
            "confidence": value,
            "part": "lowest tenth" if value <= border else "the others",
            "drawn": name in drawn,
        }
        for name, value in zip(ids, confidence.tolist(), strict=True)
    ]
    scale = alt.Scale(domain=["lowest tenth", "the others"], range=[ORANGE, GREY])
    x = alt.X(
        "confidence:Q", bin=alt.Bin(maxbins=60), axis=alt.Axis(tickCount=8, title="confidence")
    )
    bars = (
        chart_of(rows)
        .mark_bar()
        .encode(
            x,
            alt.Y("count()", title="examples of the pool"),
            alt.Color("part:N", scale=scale, legend=alt.Legend(title=None, orient="top-left")),
        )
    )
    return bars.properties(width=WIDTH, height=200)


def draw_cosines(run: Run) -> Chart:
    """The cosines of every pair, ordered by cluster, and their distribution with the median."""
    cosines = np.load(run.file("gram.npy"), allow_pickle=False)
    apart = squareform(1 - cosines, checks=False)
    order = leaves_list(linkage(apart, "average", optimal_ordering=True))
    cosines = cosines[np.ix_(order, order)]
    size = len(cosines)
    cells: Rows = [
        {"row": i, "column": j, "cosine": float(cosines[i, j])}
        for i in range(size)
        for j in range(size)
    ]
    pairs: Rows = [{"cosine": float(v)} for v in cosines[np.triu_indices(size, 1)]]
    colour = alt.Color("cosine:Q", scale=alt.Scale(scheme="blues"), legend=alt.Legend(title=None))
    no_axis = alt.Axis(labels=False, ticks=False, domain=False)
    matrix = (
        chart_of(cells)
        .mark_rect()
        .encode(
            alt.X("column:O", axis=no_axis, title="the examples"),
            alt.Y("row:O", axis=no_axis, title="the same"),
            colour,
        )
        .properties(width=HEIGHT, height=HEIGHT, title="cosine of the gradients")
    )
    bars = (
        chart_of(pairs)
        .mark_bar(color=GREY)
        .encode(
            alt.X("cosine:Q", bin=alt.Bin(maxbins=40), axis=alt.Axis(tickCount=5, title="cosine")),
            alt.Y("count()", title="pairs"),
        )
    )
    median = float(np.median([row["cosine"] for row in pairs]))
    rule = chart_of([{"median": median}]).mark_rule(color=ORANGE, size=2.5).encode(x="median:Q")
    text = (
        chart_of([{"median": median, "text": f"CoS-Low {median:.3f}"}])
        .mark_text(align="left", dx=6, dy=-8, y=0, color=ORANGE, fontSize=12)
        .encode(x="median:Q", text="text:N")
    )
    shape = alt.layer(bars, rule, text).properties(
        width=250, height=HEIGHT, title=f"{len(pairs)} pairs and their median"
    )
    return alt.hconcat(matrix, shape, spacing=40).resolve_scale(color="independent")


def draw_calibration() -> Chart:
    """The published lines of the three models, with the 90% interval of one."""
    grid = np.linspace(0.1, 0.8, 36)
    lines: Rows = []
    for card in shipped():
        if not card.lines:
            lines += [
                {"coslow": x, "auc": card.slope * x + card.intercept, "card": card.name}
                for x in grid
            ]
    band: Rows = []
    for x in grid:
        found = by_name(CARD).predict(float(x))
        band.append({"coslow": x, "low": found.low, "high": found.high})
    line = (
        chart_of(lines)
        .mark_line(clip=True)
        .encode(
            alt.X("coslow:Q", title="CoS-Low", scale=alt.Scale(domain=[0.1, 0.8])),
            alt.Y("auc:Q", title="data efficiency (AUC)", scale=alt.Scale(domain=[0, 1])),
            alt.Color(
                "card:N",
                scale=alt.Scale(range=[BLUE, ORANGE, "#4a9a62"]),
                legend=alt.Legend(title=None, orient="top-left", labelLimit=260),
            ),
        )
    )
    area = chart_of(band).mark_area(color=BLUE, opacity=0.15)
    ends = area.encode(alt.X("coslow:Q"), alt.Y("low:Q"), alt.Y2("high:Q"))
    return alt.layer(ends, line).properties(width=WIDTH, height=HEIGHT)


def draw_area() -> Chart:
    """The power law for three areas, with the labels at which each reaches 0.7 of the gain."""
    rows: Rows = []
    ends: Rows = []
    for auc in AUCS:
        name = f"AUC {auc}"
        for n in np.geomspace(1, LARGEST_BUDGET, 120):
            x = float(log_position(n))
            gain = float(log_position(min(n, LARGEST_BUDGET)) ** power_law_exponent(auc))
            rows.append({"x": x, "gain": gain, "curve": name})
        labels = power_law_labels(PART, auc)
        place = {"x": float(log_position(labels)), "gain": PART, "zero": 0.0, "curve": name}
        ends.append(place | {"text": f"{labels:,.0f}"})
    colour = alt.Color(
        "curve:N",
        scale=alt.Scale(range=[ORANGE, BLUE, "#4a9a62"]),
        legend=alt.Legend(title=None, orient="top-left", symbolType="stroke"),
    )
    y = alt.Y("gain:Q", title="gain: 0 zero-shot, 1 ceiling", scale=alt.Scale(domain=[0, 1]))
    middle = [row for row in rows if row["curve"] == f"AUC {AUCS[1]}"]
    fill = chart_of(middle).mark_area(color=BLUE, opacity=0.13).encode(labels_axis(), y)
    line = chart_of(rows).mark_line().encode(labels_axis(), y, colour)
    drop = (
        chart_of(ends)
        .mark_rule(strokeDash=[3, 3])
        .encode(labels_axis(), alt.Y("zero:Q"), alt.Y2("gain:Q"), colour)
    )
    text = (
        chart_of(ends)
        .mark_text(dy=-9, fontSize=12)
        .encode(labels_axis(), alt.Y("gain:Q"), colour, text="text:N")
    )
    goal = chart_of([{"gain": PART}]).mark_rule(strokeDash=[6, 4], color="#444444").encode(y=y)
    return alt.layer(fill, goal, line, drop, text).properties(width=WIDTH, height=HEIGHT)


def draw_answer() -> Chart:
    """A forecast: the band of curves, the target, and the interval of labels."""
    answer = forecast(coslow=COSLOW, calibration=CARD, target=TARGET)
    bands: Rows = [band._asdict() | {"x": float(log_position(band.n))} for band in answer.curve]
    needed = answer.labels_needed
    cut: dict[str, Any] = {
        "gain": TARGET,
        "low": float(log_position(needed.low or 0)),
        "middle": float(log_position(needed.point or LARGEST_BUDGET)),
        "high": float(log_position(needed.high or LARGEST_BUDGET)),
        "text": f"best guess {needed.point:,}",
    }
    y = alt.Y("mean:Q", title="gain: 0 zero-shot, 1 ceiling", scale=alt.Scale(domain=[0, 1.02]))
    band = chart_of(bands).mark_area(color=BLUE, opacity=0.2)
    line = chart_of(bands).mark_line(color=BLUE, point={"color": BLUE}).encode(labels_axis(), y)
    goal = chart_of([cut]).mark_rule(strokeDash=[6, 4], color="#444444").encode(y="gain:Q")
    held = (
        chart_of([cut])
        .mark_rule(color=ORANGE, size=4)
        .encode(alt.X("low:Q", title="labels"), alt.Y("gain:Q"), alt.X2("high:Q"))
    )
    dot = (
        chart_of([cut])
        .mark_point(color=ORANGE, filled=True, size=90, opacity=1)
        .encode(alt.X("middle:Q"), alt.Y("gain:Q"))
    )
    text = (
        chart_of([cut])
        .mark_text(color=ORANGE, dy=-12, fontSize=12)
        .encode(alt.X("middle:Q"), alt.Y("gain:Q"), text="text:N")
    )
    ends = band.encode(labels_axis(), alt.Y("low:Q"), alt.Y2("high:Q"))
    return alt.layer(ends, line, goal, held, dot, text).properties(width=WIDTH, height=HEIGHT)


def main() -> None:
    """Draw every picture from the run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("run", type=Path, help="a run whose CoS-Low is measured")
    parser.add_argument("--out", type=Path, default=Path("docs/img"))
    options = parser.parse_args()
    run = Run.open(options.run)
    read_json(run.file("coslow.json"))
    charts = {
        "confidence": draw_confidence(run),
        "cosines": draw_cosines(run),
        "calibration": draw_calibration(),
        "area": draw_area(),
        "answer": draw_answer(),
    }
    for name, chart in charts.items():
        save(chart, options.out / f"{name}.svg")


if __name__ == "__main__":
    main()
