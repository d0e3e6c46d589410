"""The candidates of a comparison, read from sweeps and runs, and whether they can be compared."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from labelcast.errors import InputError
from labelcast.runs.records import RANDOM, TunedScore
from labelcast.runs.run import Run
from labelcast.sweeps.records import NO_STAGES, ScoreRow
from labelcast.sweeps.sweep import Sweep


class CandidateScore(NamedTuple):
    """One measured score; `seconds` of its job, None where unknown."""

    budget: int
    seed: int | None
    score: float
    test_size: int
    seconds: float | None


@dataclass(frozen=True)
class Candidate:
    """The scores of one model, recipe and selector on one task.

    Attributes:
        name: what tables call it.
        task, metric, test_digest: what must be the same to compare; see `check_comparable`.
        failed: jobs without a score.
        method: training method of the recipe, None if unknown.
        selector: what chose the labels.
        after_labelling: whether it chose among labelled examples, so that a budget counts examples
            to train on and not labels to buy.
        notes: warnings about what was read.
        trained: what tells trained models apart: the model's `key`, the stages before and the
            digest of the recipe.
        folder: where the scores are.
    """

    name: str
    model: str
    recipe: str
    task: str
    metric: str
    test_digest: str
    scores: tuple[CandidateScore, ...]
    failed: int = 0
    method: str | None = None
    selector: str = RANDOM
    after_labelling: bool = False
    notes: tuple[str, ...] = ()
    trained: tuple[str, ...] = ()
    folder: Path = Path()

    def baseline(self, others: Sequence[Candidate]) -> Candidate | None:
        """The same model and recipe with random labels, from the same folder if it is there."""
        if self.selector == RANDOM:
            return None
        found = [o for o in others if o.selector == RANDOM and o.trained == self.trained]
        return min(found, key=lambda other: other.folder != self.folder, default=None)

    def by_seed(self) -> dict[tuple[int, int], float]:
        """The scores after training by budget and seed."""
        return {(s.budget, s.seed): s.score for s in self.scores if s.budget and s.seed is not None}

    @property
    def repeats(self) -> bool:
        """Whether a selector has one score for all seeds: it always chose the same labels."""
        by_budget: dict[int, list[float]] = defaultdict(list)
        for (budget, _), score in self.by_seed().items():
            by_budget[budget].append(score)
        several = [scores for scores in by_budget.values() if len(scores) > 1]
        return self.selector != RANDOM and bool(several) and all(len({*s}) == 1 for s in several)

    def training_seconds(self, budget: float) -> float | None:
        """Seconds of a job, training and scoring, at the measured budget nearest to `budget`."""
        known: dict[int, list[float]] = defaultdict(list)
        for one in self.scores:
            if one.budget and one.seconds is not None:
                known[one.budget].append(one.seconds)
        if not known:
            return None
        return fmean(known[min(known, key=lambda n: abs(math.log(n / max(budget, 1.0))))])


def read_candidates(
    path: Path, name: str, task: str | None = None, *, alone: bool = False
) -> list[Candidate]:
    """The candidates in a folder.

    One for each selector and order of stages of a sweep, and for each recipe and training set of a
    run. Where a sweep is `alone`, its candidates are not named after it.

    Raises:
        InputError: neither a sweep nor a run, without scores, or of another task.
    """
    if (path / "sweep.json").exists():
        return _of_sweep(Sweep.open(path), name, task, alone=alone)
    if Run(path).exists():
        return _of_run(Run.open(path), name)
    raise InputError(f"{path}: neither a sweep (no sweep.json) nor a run (no run.json).")


def _of_sweep(sweep: Sweep, name: str, task: str | None, *, alone: bool) -> list[Candidate]:
    content = sweep.read()
    tasks = sorted(content.tasks)
    if task is None and len(tasks) > 1:
        raise InputError(
            f"{sweep.path}: a sweep of several tasks. Give --task: {', '.join(tasks)}."
        )
    chosen = task or tasks[0]
    if chosen not in content.tasks:
        raise InputError(f"{sweep.path}: no task {chosen!r} in it; it has {', '.join(tasks)}.")
    rows = [row for row in sweep.scores.rows() if row.task == chosen]
    tried = dict.fromkeys((row.stages, row.selector) for row in rows if row.budget)
    known = [(order, method) for order in content.stages for method in content.selectors]
    settings = [one for one in dict.fromkeys([*known, *tried]) if one in tried]
    entry = content.tasks[chosen]
    found, missing = [], []
    for order, selector in settings:
        own = [row for row in rows if row.belongs_to(selector, order)]
        scores = _scores(row for row in own if not row.error)
        after = "" if order == NO_STAGES else f" after {order}"
        setting = selector + after
        if not any(score.budget for score in scores):
            missing.append(setting)
            continue
        found.append(
            Candidate(
                name=name if len(settings) == 1 else setting if alone else f"{name}, {setting}",
                model=content.model.name,
                recipe=content.recipe.name,
                task=chosen,
                metric=entry.task.metric,
                test_digest=entry.test_digest,
                scores=scores,
                failed=len(own) - len(scores),
                method=content.recipe.method,
                selector=selector,
                after_labelling=selector in content.after_labelling,
                trained=(*content.model.key, after, content.recipe_digest),
                folder=sweep.path,
            )
        )
    if not found:
        raise InputError(
            f"{sweep.path}: no score of {chosen} after training yet. Run `labelcast sweep` first."
        )
    if missing:
        note = f"left out, because they have no score after training: {', '.join(missing)}"
        found[0] = replace(found[0], notes=(note,))
    return found


def _of_run(run: Run, name: str) -> list[Candidate]:
    rows = run.tuned_scores()
    settings = list(
        dict.fromkeys((row.recipe, row.recipe_digest, row.train_set) for row in rows if row.budget)
    )
    recipes = list(dict.fromkeys((recipe, digest) for recipe, digest, _ in settings))
    names = [recipe for recipe, _ in recipes]
    several = {one[2] for one in settings} != {RANDOM}
    if len({row.decoding for row in rows}) > 1:
        raise InputError(
            f"{run.path}: some of its scores were decoded along the allowed answers, and others "
            "freely. Run `labelcast tune` again for the budgets of one of the two."
        )
    if not settings:
        raise InputError(
            f"{run.path}: no score after training yet. Run `labelcast tune {run.path} --budget N`."
        )
    digests = {row.test_digest for row in rows}
    if None in digests or len(digests) > 1:
        why = "it is not recorded" if None in digests else "it has changed between scores"
        raise InputError(
            f"{run.path}: its scores cannot be compared, because their test set is unknown: {why}. "
            "Run `labelcast tune` again for each budget."
        )
    found = []
    for recipe, digest, train_set in settings:
        parts = [_told_apart(recipe, digest, names)] if len(recipes) > 1 else []
        parts += [train_set] if several else []
        # Zero-shot is the same for every recipe and training set.
        own = [
            row
            for row in rows
            if not row.budget
            or (row.recipe, row.recipe_digest, row.train_set) == (recipe, digest, train_set)
        ]
        found.append(
            Candidate(
                name=", ".join([name, *parts]),
                model=run.model.name,
                recipe=recipe,
                task="" if run.task is None else run.task.name,
                metric=rows[0].metric,
                test_digest=str(rows[0].test_digest),
                scores=_scores(own),
                method=next((row.method for row in own if row.budget), None),
                selector=train_set,
                trained=(*run.model.key, "", digest or ""),
                folder=run.path,
            )
        )
    return found


def _scores(rows: Iterable[ScoreRow | TunedScore]) -> tuple[CandidateScore, ...]:
    return tuple(
        CandidateScore(row.budget, row.seed, row.score, row.test_size, row.seconds)
        for row in rows
        if row.score is not None
    )


def _told_apart(recipe: str, digest: str | None, names: Sequence[str]) -> str:
    """The name of a recipe, with its digest where another recipe has the same name."""
    return recipe if names.count(recipe) == 1 else f"{recipe} {digest or 'of unknown settings'}"


def check_comparable(found: Sequence[Candidate]) -> None:
    """Refuse fewer than two candidates, and ones with different metrics or test sets."""
    if len(found) < 2:
        raise InputError(
            "two candidates are needed: give two or more sweeps or runs, or a sweep of several "
            "selectors."
        )
    first = found[0]
    for one in found[1:]:
        both = f"{first.name} and {one.name} cannot be compared:"
        if one.metric != first.metric:
            raise InputError(
                f"{both} their metrics are {first.metric} and {one.metric}. Measure both with "
                "the same task file."
            )
        if one.test_digest != first.test_digest:
            tasks = {first.task, one.task}
            what = f"tasks {first.task} and {one.task}" if len(tasks) > 1 else f"task {one.task}"
            raise InputError(
                f"{both} their scores are on different test sets ({what}). Use the same data, "
                "--test-data and --test-size for both."
            )
