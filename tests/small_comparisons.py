"""Folders of sweeps with made-up scores, to compare."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from labelcast.tasks.task import Task

TASK = Task.parse("{name: t, instruction: Say it., inputs: text, answer: y, answers: [yes, no]}")
DIGEST = "0123456789abcdef"


def make_sweep(folder: Path, lift: float, **changes: Any) -> Path:
    """A sweep with made-up scores at 50, 100 and 200 labels; the noise depends on the seed."""
    given = {"digest": DIGEST, "metric": "accuracy", "seeds": (0, 1, 2), "tasks": ("t",)} | changes
    folder.mkdir()
    task = TASK.model_dump(mode="json") | {"metric": given["metric"]}
    content = {
        "model": {"name": "m", "fingerprint": "f"},
        "recipe": {"name": "linear"},
        "recipe_digest": "r",
        "test_size": 500,
        "split_seed": 0,
        "max_new_tokens": 3,
        "tasks": {
            name: {"task": task | {"name": name}, "data": "d", "test_digest": given["digest"]}
            for name in given["tasks"]
        },
        "budgets": [0, 50, 100, 200],
        "seeds": list(given["seeds"]),
    }
    (folder / "sweep.json").write_text(json.dumps(content))
    rows = []
    for budget in (0, 50, 100, 200):
        for seed in given["seeds"]:
            noise = random.Random(f"{budget}-{seed}").gauss(0, 0.02) if budget else 0.0
            rows.append(
                {"task": "t", "model": "m", "budget": budget, "seed": seed, "metric": "accuracy"}
                | {"score": 0.55 + lift * budget / (budget + 80) + noise, "test_size": 500}
                | {"seconds": 36.0, "test_digest": given["digest"]}
            )
    (folder / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def select_sweep(
    folder: Path, lifts: Mapping[str, float], after_labelling: Sequence[str] = ()
) -> Path:
    """A sweep of several selectors, each with its lift; the noise depends on budget and seed."""
    make_sweep(folder, 0.0)
    file = folder / "sweep.json"
    listed = {"selectors": list(lifts), "after_labelling": list(after_labelling)}
    file.write_text(json.dumps(json.loads(file.read_text()) | listed))
    rows = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    made = [row for row in rows if not row["budget"]]
    for selector, lift in lifts.items():
        for row in rows:
            if budget := row["budget"]:
                score = row["score"] + lift * budget / (budget + 80)
                made.append(row | {"selector": selector, "score": score})
    (folder / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    return folder
