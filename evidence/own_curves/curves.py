"""The curves in files of rows, one for each task and seed, and which tasks are learned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evidence.development import MeasuredCurve
from evidence.own_curves.rows import TASKS, Rows, facts_beside, file_name
from evidence.transport import Case, cases, targets
from labelcast.errors import InputError
from labelcast.forecast.observed import test_variance
from labelcast.runs.records import RANDOM
from labelcast.sweeps.records import ScoreRow

STARTS = (50, 10)
"""First observed budgets; each is tried."""

HEADLINE = (50, 100)
"""The scores from which the headline's forecast is made, of the score at `AT` labels."""

HEADLINES = {"lora": (50, 200)}
"""Of recipes that are measured with fewer numbers of labels."""

AT = 1000
LATER = 4000

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
    """The curve of each task and seed in a file of rows, MODEL-RECIPE.jsonl, of random labels.

    Zero-shot has no seed. Raises InputError where the name of the file has another model.
    """
    scores: dict[tuple[str, int], list[tuple[int, float]]] = defaultdict(list)
    zero_shot: dict[str, float] = {}
    rows = [row for row in Rows(file).rows() if row.selector == RANDOM]
    for row in rows:
        assert row.score is not None
        if row.budget:
            scores[row.task, row.seed].append((row.budget, row.score))
        else:
            zero_shot[row.task] = row.score
    model, recipe = names_of(file, rows) if rows else ("", "")
    facts, sizes = facts_beside(file), {row.task: row.test_size for row in rows}
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


def names_of(file: Path, rows: Sequence[ScoreRow]) -> tuple[str, str]:
    """The model and the recipe of a file of rows."""
    model = rows[0].model
    start = f"{file_name(model)}-"
    if not file.stem.startswith(start) or {row.model for row in rows} != {model}:
        raise InputError(f"{file}: the rows are of {model}. Name it {start}RECIPE.jsonl.")
    return model, file.stem.removeprefix(start)


def above_majority(curves: Sequence[Own], labels: int = AT) -> dict[tuple[str, str], bool]:
    """Whether the score at so many labels is above the majority baseline, by group and task.

    By more than two sds of the test set, in the mean over the seeds that have such a score; tasks
    without one are left out.
    """
    scores: dict[tuple[str, str], list[float]] = defaultdict(list)
    least: dict[tuple[str, str], float] = {}
    for own in curves:
        key = own.group, own.task
        scores[key] += [score for n, score in own.curve.scores if n == labels]
        variance = test_variance(own.majority, own.curve.test_size or 0)
        least[key] = own.majority + 2 * float(np.sqrt(variance))
    return {key: bool(np.mean(found) > least[key]) for key, found in scores.items() if found}


def best_known(curves: Sequence[Own]) -> dict[str, float]:
    """The best score of each task, of any model, recipe, seed and number of labels.

    It is known only after the curves are measured.
    """
    best: dict[str, float] = {}
    for own in curves:
        top = max(score for _, score in own.curve.scores)
        best[own.task] = max(top, best.get(own.task, top))
    return best


def above_zero_shot(case: Case) -> list[tuple[float, float]]:
    """The targets that need labels at all: zero-shot meets the others, whatever follows."""
    start = case.curve.zero_shot or 0.0
    return [(target, n) for target, n in targets(case) if target > start]


def started(curve: MeasuredCurve) -> Iterator[Case]:
    """The cases of a curve, by the budget that is observed first."""
    for first in STARTS:
        for _, case in cases([curve], first):
            if case.budgets[0] == first:
                yield case


def headline_of(group: str) -> tuple[int, ...]:
    """The observed scores of the headline for curves of a group, "MODEL, RECIPE"."""
    return HEADLINES.get(group.rpartition(", ")[2], HEADLINE)


def headline_case(own: Own) -> Case | None:
    """The curve with the scores of its headline observed; None where it does not begin so."""
    observed = headline_of(own.group)
    found = [case for case in started(own.curve) if tuple(case.budgets) == observed]
    return found[0] if found else None


def first_seed(curves: Sequence[Own]) -> list[Own]:
    """The curves of the first seed, by task; none of none."""
    first = min((own.seed for own in curves), default=0)
    return sorted((own for own in curves if own.seed == first), key=lambda own: own.task)
