"""Tables and pictures of the card's measurements, for docs/experiments.md.

    python -m evidence.smollm2.finding [--measured FOLDER] [--out docs/img]

Reads only the committed rows and runs no model; draws pictures only with `--out`. Tables that need
curves are left out while there are none.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from evidence.own_curves.rows import FACTS, Rows
from evidence.smollm2.pictures_of_card import draw_aucs, draw_probes
from evidence.smollm2.variants import nested_errors, variant_values
from labelcast.errors import InputError
from labelcast.files.json_files import read_json, read_jsonl
from labelcast.forecast.efficiency import EfficiencyCurve
from labelcast.forecast.line import MIN_TASKS, fit_line, loto_difference
from labelcast.sweeps.records import ScoreRow
from labelcast.sweeps.scores import MeasuredCurve, curves_of
from labelcast.sweeps.sweep import Sweep

HERE = Path(__file__).resolve().parent
Row = dict[str, Any]

PREDICTORS = {
    "coslow": "CoS-Low",
    "exact": "CoS-Low, exact",
    "random": "cosine of random examples",
    "norm": "mean gradient norm",
    "confidence": "mean confidence",
    "zero_shot": "zero-shot score",
}
"""What an AUC is predicted from, in the order in which it is shown."""


OWN = (
    ("smollm2", "linear", "a linear head on the frozen vectors of smollm2"),
    ("minilm", "linear", "a linear head on the frozen vectors of minilm"),
    ("smollm2", "lora", "LoRA on smollm2"),
)
"""The own curves whose areas are predicted: model, recipe, words."""


def probed(measured: Path) -> dict[str, Row]:
    """What was measured without training, for each task that has all its probes.

    `draws` are CoS-Low by draw [D], `sketches` by draw and sketch [D,K].
    """
    folder = measured / "cpu"
    scores = {row["task"]: row for row in read_jsonl(folder / "scores.jsonl") if not row["error"]}
    kept: dict[str, dict[str, list[Row]]] = {}
    for row in read_jsonl(folder / "probes.jsonl"):
        kept.setdefault(row["task"], {}).setdefault(row["probe"], []).append(row)
    found = {}
    for task, probes in kept.items():
        if {"confidence", "coslow", "exact", "random"} <= set(probes) and task in scores:
            found[task] = _one(probes, scores[task])
    return found


def _one(probes: dict[str, list[Row]], score: Row) -> Row:
    draws = sorted(probes["coslow"], key=lambda row: int(row["draw"]))
    shared = [len({*a["ids"]} & {*b["ids"]}) / len(a["ids"]) for a, b in combinations(draws, 2)]
    confidence, random = probes["confidence"][0], probes["random"][0]
    return {
        "zero_shot": score["score"],
        "zero_shot_sd": score["score_sd"],
        "test_size": score["test_size"],
        "allowed": confidence["allowed"],
        "pool": confidence["examples"],
        "confidence": confidence["mean_confidence"],
        "draws": [row["coslow"] for row in draws],
        "ends": [(row["low"], row["high"]) for row in draws],
        "sketches": [row["per_seed"] for row in draws],
        "coslow": float(np.mean([row["coslow"] for row in draws])),
        "overlap": float(np.mean(shared)),
        "exact": probes["exact"][0]["coslow"],
        "random": random["median"],
        "norm": random["norm"],
        "seconds": sum(row["seconds"] for rows in probes.values() for row in rows),
    }


def measured_curves(measured: Path) -> tuple[dict[str, MeasuredCurve], dict[str, str]]:
    """The curves that have an area, by task, and why the others have none."""
    if not (measured / "curves" / "sweep.json").exists():
        return {}, {}
    sweep = Sweep.open(measured / "curves")
    tasks = {name: entry.task for name, entry in sweep.read().tasks.items()}
    curves = curves_of(sweep.scores.rows(), tasks)
    found = {task: curve for task, curve in curves.items() if curve.auc is not None}
    return found, {task: curve.note for task, curve in curves.items() if task not in found}


def aucs_of_rows(rows: Sequence[ScoreRow]) -> dict[str, float]:
    """The area of each task's curve in rows of own curves, mean over seeds.

    As a share of the way from always giving the most frequent answer to 1, for not all tasks have a
    known ceiling; only budgets that all tasks have count, and the last score is carried on to 5,000
    labels.

    Args:
        rows: of one model and recipe.
    """
    facts = read_json(FACTS)
    scores: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        if row.budget and row.score is not None:
            scores.setdefault(row.task, {}).setdefault(row.budget, []).append(row.score)
    common = set[int].intersection(*map(set, scores.values())) if scores else set[int]()
    if not common:
        return {}
    found = {}
    for task, by_budget in scores.items():
        means = {0: facts[task]["most frequent answer"]}
        for budget, values in by_budget.items():
            if budget in common:
                means[budget] = float(np.mean(values))
        found[task] = EfficiencyCurve.from_scores(means, ceiling=1.0).auc
    return found


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table as Markdown."""
    print(f"\n{title}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(str(value) for value in row)} |")


def show_probes(tasks: dict[str, Row]) -> None:
    """Show what was measured for each task without training."""
    table(
        f"Zero-shot and baselines, {len(tasks)} tasks",
        ("task", "zero-shot (sd)", "allowed answers", "confidence", "random cosine", "norm"),
        [
            (
                name,
                f"{row['zero_shot']:.3f} ({row['zero_shot_sd']:.3f})",
                "-" if row["allowed"] is None else f"{row['allowed']:.3f}",
                f"{row['confidence']:.3f}",
                f"{row['random']:.3f}",
                f"{row['norm']:.1f}",
            )
            for name, row in tasks.items()
        ],
    )
    table(
        "CoS-Low: draws of 32, two sketches each; the exact one is on the first draw",
        ("task", "draws", "mean", "sd of draws", "sd of sketches", "overlap", "exact - sketch"),
        [
            (
                name,
                ", ".join(f"{value:.3f}" for value in row["draws"]),
                f"{row['coslow']:.3f}",
                f"{np.std(row['draws'], ddof=1):.4f}",
                f"{_within(row['sketches']):.4f}",
                f"{row['overlap']:.2f}",
                f"{row['exact'] - row['draws'][0]:+.4f}",
            )
            for name, row in tasks.items()
        ],
    )


def show_spread(tasks: dict[str, Row]) -> None:
    """Show how much CoS-Low varies over tasks, draws and sketches."""
    between = np.std([row["coslow"] for row in tasks.values()], ddof=1)
    draws = _root_mean([np.var(row["draws"], ddof=1) for row in tasks.values()])
    sketches = _root_mean([_within(row["sketches"]) ** 2 for row in tasks.values()])
    gaps = np.array([row["exact"] - row["draws"][0] for row in tasks.values()])
    half = np.mean([(high - low) / 2 for row in tasks.values() for low, high in row["ends"]])
    print(f"\nsd of CoS-Low over tasks {between:.4f}, over draws {draws:.4f}, over sketches")
    print(f"{sketches:.4f}; half the bootstrap interval of one draw {half:.4f}; overlap of two")
    print(f"draws {np.mean([row['overlap'] for row in tasks.values()]):.3f}.")
    print(f"exact - sketch: mean {gaps.mean():+.4f}, largest {np.abs(gaps).max():.4f}.")


def show_correlations(tasks: dict[str, Row]) -> None:
    """Show how the predictors correlate over the tasks."""
    names = list(PREDICTORS)
    values = np.array([[row[name] for name in names] for row in tasks.values()])
    r = np.corrcoef(values, rowvar=False)
    table(
        f"Correlation of the predictors over {len(tasks)} tasks",
        ("", *(PREDICTORS[name] for name in names)),
        [(PREDICTORS[name], *(f"{v:.2f}" for v in r[i])) for i, name in enumerate(names)],
    )


def show_lines(tasks: dict[str, Row], aucs_of: dict[str, float]) -> None:
    """Show the line of AUC on each predictor, next to predicting the mean."""
    names = [task for task in tasks if task in aucs_of]
    aucs = [aucs_of[task] for task in names]
    rows: list[tuple[object, ...]] = []
    for key, words in PREDICTORS.items():
        x = [tasks[task][key] for task in names]
        try:
            line, gain = fit_line(x, aucs), loto_difference(x, aucs)
        except InputError:
            rows.append((words, "hardly varies", "", "", "", ""))
            continue
        rows.append(
            (
                words,
                f"{line.slope:.3f} ({line.slope_se:.3f})",
                f"{line.intercept:.3f} ({line.intercept_se:.3f})",
                f"{line.r:.2f}",
                f"{line.loo_mae:.4f}",
                f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})",
            )
        )
    mean = fit_line(range(len(aucs)), aucs).loo_mae_of_mean
    rows.append(("the mean of the other tasks", "", "", "", f"{mean:.4f}", "0"))
    table(
        f"AUC predicted, leaving one task out, {len(names)} tasks; gain over the mean with its 90% "
        "interval",
        ("from", "slope (se)", "intercept (se)", "r", "MAE", "gain"),
        rows,
    )


def show_variants(measured: Path, tasks: dict[str, Row], aucs_of: dict[str, float]) -> None:
    """Show by nested validation whether other layers, or the mean, would predict better."""
    names = [task for task in tasks if task in aucs_of]
    values = variant_values(read_jsonl(measured / "cpu" / "layers.jsonl"), names)
    aucs = np.array([aucs_of[task] for task in names])
    default, chosen, picks = nested_errors(values, aucs, "all, median")
    print(
        f"\nNested validation over {len(values)} variants (layers, median or mean): the variant "
        f"chosen on the other tasks has an error of {chosen:.4f}, the default {default:.4f}; "
        f"chosen: {picks}."
    )


def _within(sketches: Sequence[Sequence[float]]) -> float:
    """The standard deviation over the sketches of a draw, pooled over draws, [D,K]."""
    return _root_mean([float(np.var(row, ddof=1)) for row in sketches])


def _root_mean(variances: Sequence[Any]) -> float:
    return float(np.sqrt(np.mean(variances)))


def main() -> None:
    """Print the tables and draw the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--measured", type=Path, default=HERE / "measured")
    parser.add_argument("--out", type=Path, help="a folder for the pictures")
    given = parser.parse_args()
    tasks = probed(given.measured)
    if not tasks:
        raise SystemExit(f"{given.measured}: no task has all its probes yet.")
    curves, without = measured_curves(given.measured)
    aucs = {task: curve.auc for task, curve in curves.items() if curve.auc is not None}
    count = len(set(tasks) & set(aucs))
    print(f"{len(tasks)} tasks have all their probes, {count} also a curve by the card's recipe.")
    show_probes(tasks)
    if len(tasks) > 1:
        show_spread(tasks)
        if given.out:
            draw_probes(tasks, given.out / "smollm2-coslow.svg")
    if len(tasks) > 2:
        show_correlations(tasks)
    for model, recipe, words in OWN:
        own = aucs_of_rows([row for row in Rows.of(model, recipe).rows() if row.task in tasks])
        if len(own.keys() & tasks.keys()) >= MIN_TASKS:
            print(f"\nWith {words}, at the budgets that all tasks have:")
            show_lines(tasks, own)
    for task, note in without.items():
        print(f"no curve: {task}: {note}")
    if count < MIN_TASKS:
        print(f"\nA card needs {MIN_TASKS} curves by its own recipe: run make_card.py on a GPU.")
        return
    show_lines(tasks, aucs)
    show_variants(given.measured, tasks, aucs)
    if given.out:
        draw_aucs(tasks, aucs, given.out / "smollm2-auc.svg")


if __name__ == "__main__":
    main()
