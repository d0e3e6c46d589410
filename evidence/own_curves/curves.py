"""The curves of committed rows, one a task and seed, and which tasks are learned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evidence.development import MeasuredCurve
from evidence.own_curves.rows import TASKS, Rows, facts_beside
from evidence.transport import Case, cases
from labelcast.forecast.observed import test_variance

FIRST = (50, 10)
"""The first observed budget."""

HEADLINE = (50, 100)
"""The scores from which the headline's forecast is made, of the score at `AT` labels."""

AT = 1000

CHOSEN_ON = (*TASKS, "post_room")
"""The tasks of `minilm` on which the share of curves that stay flat with --frozen was chosen."""


class Own(NamedTuple):
    """A curve of one seed, and what it belongs to.

    Attributes:
        model, recipe: names.
        seed: of the labels and the training.
        curve: its scores.
        majority: the score of always giving the most frequent answer.
    """

    model: str
    recipe: str
    seed: int
    curve: MeasuredCurve
    majority: float

    @property
    def group(self) -> str:
        """Curves that are counted together."""
        return f"{self.model}, {self.recipe}"

    @property
    def task(self) -> str:
        """Its name."""
        return self.curve.task


def curves_of(file: Path) -> list[Own]:
    """The curve of each task and seed in a file of rows, MODEL-RECIPE.jsonl.

    Zero-shot has no seed.
    """
    model, _, recipe = file.stem.partition("-")
    scores: dict[tuple[str, int], list[tuple[int, float]]] = defaultdict(list)
    zero_shot: dict[str, float] = {}
    rows, facts = Rows(file).rows(), facts_beside(file)
    for row in rows:
        assert row.score is not None
        if row.budget:
            scores[row.task, row.seed].append((row.budget, row.score))
        else:
            zero_shot[row.task] = row.score
    sizes = {row.task: row.test_size for row in rows}
    return [
        Own(
            model,
            recipe,
            seed,
            MeasuredCurve("own", model, task, tuple(found), zero_shot.get(task), sizes[task]),
            facts[task]["most frequent answer"],
        )
        for (task, seed), found in sorted(scores.items())
    ]


def learned(curves: Sequence[Own]) -> set[tuple[str, str]]:
    """The groups and tasks whose score at `AT` labels is above the majority baseline.

    By more than two sds of the test set, in the mean over seeds; at the largest budget up to `AT`.
    """
    scores: dict[tuple[str, str], list[tuple[Own, float]]] = defaultdict(list)
    for own in curves:
        upto = [(n, score) for n, score in own.curve.scores if n <= AT]
        if upto:
            scores[own.group, own.task].append((own, max(upto)[1]))
    found = set()
    for key, values in scores.items():
        own = values[0][0]
        sd = np.sqrt(test_variance(own.majority, own.curve.test_size or 0))
        if np.mean([score for _, score in values]) > own.majority + 2 * sd:
            found.add(key)
    return found


def started(curve: MeasuredCurve) -> Iterator[Case]:
    """The cases of a curve, by the budget that is observed first."""
    for first in FIRST:
        for _, case in cases([curve], first):
            if case.budgets[0] == first:
                yield case


def headline_case(curve: MeasuredCurve) -> Case | None:
    """The curve with the scores of `HEADLINE` observed; None where they are not its first ones."""
    found = [case for case in started(curve) if tuple(case.budgets) == HEADLINE]
    return found[0] if found else None


def first_seed(curves: Sequence[Own]) -> list[Own]:
    """The curves of the first seed, by task."""
    first = min(own.seed for own in curves)
    return sorted((own for own in curves if own.seed == first), key=lambda own: own.task)
