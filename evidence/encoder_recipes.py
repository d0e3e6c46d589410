"""The settings of the recipes for encoders, chosen once for all tasks on five development tasks.

    python -m evidence.encoder_recipes TASKS [--recipe linear] [--out FILE]

TASKS is a folder with the development tasks as JSON Lines. For each setting it prints the mean
accuracy over tasks, budgets and seeds, of `minilm` with plain answers as names. Rows are appended
to the file as they come, and the same command resumes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from evidence.own_curves.rows import TASKS
from labelcast.models.encoder import Encoder
from labelcast.models.loading import load_encoder
from labelcast.tasks.prompts import Example, examples
from labelcast.tasks.sources import Source, open_source
from labelcast.training.backend import Fit, Placement, backend_of
from labelcast.training.evaluate import Scoring
from labelcast.training.recipe import FULL_ENCODER, LINEAR, Linear, Recipe
from labelcast.training.splits import Splits

# The other tasks are never read.
DEVELOPMENT = (
    "customer_reviews_cr",
    "trec",
    "tweet_eval_emotion",
    "cola",
    "ade_corpus_v2_classification",
)
TEST = 500
SETTINGS: dict[str, list[Recipe]] = {
    "linear": [
        LINEAR.model_copy(update={"name": f"c {c:g}", "linear": Linear(c=c)})
        for c in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
    ],
    "full": [
        FULL_ENCODER.model_copy(
            update={
                "name": f"rates {rate:g} and {head:g}",
                "learning_rate": rate,
                "head_learning_rate": head,
            }
        )
        for rate, head in ((1e-4, 1e-4), (1e-4, 2e-3), (3e-5, 2e-3))
    ],
}
BUDGETS = {"linear": (10, 20, 50, 200, 1000), "full": (50, 200, 1000)}
# Training all weights takes minutes: three tasks only.
TRIED = {
    "linear": DEVELOPMENT,
    "full": ("trec", "tweet_eval_emotion", "ade_corpus_v2_classification"),
}
SEEDS = {"linear": (0, 1, 2, 3, 4), "full": (0,)}


class Trial(NamedTuple):
    """A training to score."""

    task: str
    setting: str
    budget: int
    seed: int


def read_task(folder: Path, name: str, lm: Encoder) -> tuple[Encoder, list[Example]]:
    """The model for a task's answers, and the task's examples with the answers' names."""
    task = TASKS[name]
    fields = [field.field for field in task.inputs]
    rows = open_source(str(folder / f"{name}.jsonl")).records()
    records = [r for r in rows if any(str(r.values[field]).strip() for field in fields)]
    source = Source(name, lambda: iter(records))
    return lm.for_answers(task.answers), list(examples(source, task, lm.render, need_answer=True))


def trials(kind: str) -> Iterator[tuple[Trial, Recipe]]:
    """All trainings, those of one task together."""
    for name in TRIED[kind]:
        for seed in SEEDS[kind]:
            for budget in BUDGETS[kind]:
                for recipe in SETTINGS[kind]:
                    yield Trial(name, recipe.name, budget, seed), recipe


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tasks", type=Path)
    parser.add_argument("--recipe", choices=sorted(SETTINGS), default="linear")
    parser.add_argument("--out", type=Path, default=Path("encoder-recipes.jsonl"))
    args = parser.parse_args()
    done: dict[Trial, float] = {}
    if args.out.exists():
        rows = [json.loads(line) for line in args.out.read_text("utf-8").splitlines()]
        done = {Trial(*row["trial"]): row["score"] for row in rows}
    read: dict[str, Any] = {}
    for trial, recipe in trials(args.recipe):
        if trial in done:
            continue
        if trial.task not in read:
            read = {trial.task: read_task(args.tasks, trial.task, load_encoder())}
        lm, found = read[trial.task]
        backend, place = backend_of(recipe, "minilm"), Placement(cache=str(args.out) + ".vectors")
        splits = Splits.make(found, TEST, seed=trial.seed)
        fresh = lm if args.recipe == "linear" else read_encoder_again(lm)
        labels = splits.budget(trial.budget, recipe.held_out(trial.budget))
        tuned = backend.fit(fresh, Fit(labels, recipe, trial.seed, place))
        scoring = Scoring("accuracy", lm.answers, placement=place)
        done[trial] = backend.score(tuned.lm, splits.test, scoring).value
        with args.out.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"trial": trial, "score": done[trial]}) + "\n")
    print("| setting | " + " | ".join(map(str, BUDGETS[args.recipe])) + " | mean |")
    print("|---" * (2 + len(BUDGETS[args.recipe])) + "|")
    for recipe in SETTINGS[args.recipe]:
        by_budget = [
            mean(v for t, v in done.items() if t.setting == recipe.name and t.budget == budget)
            for budget in BUDGETS[args.recipe]
        ]
        cells = " | ".join(f"{value:.3f}" for value in (*by_budget, mean(by_budget)))
        print(f"| {recipe.name} | {cells} |")


def read_encoder_again(lm: Encoder) -> Encoder:
    """The same model with its first weights: training changes them."""
    return load_encoder(lm.name).for_answers(lm.answers)


if __name__ == "__main__":
    main()
