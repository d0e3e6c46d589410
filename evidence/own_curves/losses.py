"""Measure curves of test losses: a linear head on a frozen encoder, on the twelve public tasks.

    python -m evidence.own_curves.losses TASKS --out FILE

TASKS is the folder of `evidence.own_curves.measure`, and the test sets and the labels are the same.
The loss is the mean cross-entropy on 500 test examples. A curve begins where all answers have a
label. `losses.json` has the losses that `evidence.losses` forecasts. It takes ten minutes on one
core; tasks that FILE has are not measured again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from evidence.own_curves.measure import TEST
from evidence.own_curves.rows import HERE, TASKS
from labelcast.files.json_files import read_json, write_json
from labelcast.models.encoder import Encoder, head_probabilities
from labelcast.models.loading import load_encoder
from labelcast.sweeps.task_data import SweepTask, split
from labelcast.training.linear import fitted_head
from labelcast.training.recipe import Linear

BUDGETS = (50, 100, 200, 500, 1000, 2000)
SEEDS = (0, 1, 2)
FOUND = HERE / "losses.json"


def losses(lm: Encoder, source: SweepTask, seed: int) -> list[tuple[int, float]]:
    """The budgets of a task with the test losses after training on so many labels."""
    splits = split(source, TEST, seed=seed, render=lm.render)
    order = splits.order[: max(BUDGETS)]
    answers = source.task.answers
    gold = np.array([answers.index(str(one.answer)) for one in (*splits.test, *order)])
    vectors = lm.embed([one.prompt for one in (*splits.test, *order)])
    found = []
    for n in BUDGETS:
        labels = slice(TEST, TEST + n)
        if n <= len(order) and len(np.unique(gold[labels])) == len(answers):
            head = fitted_head(vectors[labels], gold[labels], len(answers), Linear().c)
            given = head_probabilities(head, vectors[:TEST])[np.arange(TEST), gold[:TEST]]
            found.append((n, round(float(-np.log(given).mean()), 4)))
    return found


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, metavar="TASKS")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    given = parser.parse_args()
    lm = load_encoder("minilm")
    found = read_json(given.out) if given.out.exists() else {}
    for name in [name for name in TASKS if name not in found]:
        source = SweepTask(TASKS[name], str(given.data / f"{name}.jsonl"))
        found[name] = [losses(lm, source, seed) for seed in SEEDS]
        write_json(given.out, found)
        print(name, *found[name], flush=True)


if __name__ == "__main__":
    main()
