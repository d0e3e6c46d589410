"""A made-up results folder in the authors' format: random curves of a few tasks."""

import json
from pathlib import Path

import numpy as np

from labelcast.forecast.efficiency import GRID, EfficiencyCurve, log_position

MODELS = ("ada", "bel_8b")


def write_folder(
    folder: Path, models: tuple[str, ...] = MODELS, tasks: int = 6, seed: int = 0
) -> Path:
    """Write noisy power laws of some tasks for each model, with AUCs and human scores."""
    generator = np.random.default_rng(seed)
    (folder / "finetune_results").mkdir(parents=True)
    (folder / "auc_res").mkdir()
    powers = np.linspace(0.4, 3.0, tasks)
    human = {f"task_{t}": {"score": 0.95 if t % 2 else None} for t in range(tasks)}
    (folder / "human_eval.json").write_text(json.dumps(human))
    for model in models:
        aucs = {}
        for t in range(tasks):
            scores = 0.3 + 0.6 * log_position(GRID) ** powers[t]
            scores = scores + 0.02 * generator.standard_normal(len(GRID))
            raw = {n: round(float(s), 4) for n, s in zip(GRID, scores, strict=True)}
            ceiling = human[f"task_{t}"]["score"]
            curve = EfficiencyCurve.from_scores(raw, ceiling)
            aucs[f"task_{t}"] = {"extrapolation_auc": curve.auc}
            content = {str(n): {"accuracy": score} for n, score in raw.items()}
            path = folder / "finetune_results" / f"{model}_task_{t}_full_result_v2.json"
            path.write_text(json.dumps(content))
        path = folder / "auc_res" / f"{model}_auc_logscale_by_task_5000.json"
        path.write_text(json.dumps(aucs))
    return folder


def write_coslow(path: Path, points: int = 10) -> Path:
    """Write a file of CoS-Low and AUC on the line 0.3 + 0.5 x, one point off it."""
    rows = [f"t{i},{i / 10},{0.3 + 0.05 * i + 0.01 * (i == 4)}" for i in range(points)]
    path.write_text("\n".join(["task,coslow,auc", *rows]) + "\n")
    return path
