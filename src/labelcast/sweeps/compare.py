"""Compare models, recipes or selectors on one task, from the scores of sweeps and runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from labelcast.errors import InputError
from labelcast.forecast import Forecast
from labelcast.forecast.answer import CurveBand, Interval
from labelcast.forecast.chances import Chances, chances
from labelcast.forecast.forecasting import answer
from labelcast.forecast.options import DEFAULT_LEVEL, checked_level, checked_number
from labelcast.forecast.posterior import posterior
from labelcast.forecast.question import FROZEN, Question, default_horizon
from labelcast.runs.records import RANDOM
from labelcast.selection.measured import beside_random
from labelcast.sweeps.candidates import Candidate, check_comparable, read_candidates
from labelcast.sweeps.pairs import Pair, Saving, pair_of, saving_of


class Cost(NamedTuple):
    """Money for the labels and for one training run on them, None where no price is given."""

    labels: float | None
    training: float | None
    total: float


@dataclass(frozen=True)
class Outcome:
    """What a candidate needs for the target, and what it reaches with a budget.

    Attributes:
        labels, low, high: needed for the target, with their interval; None beyond `horizon`.
        reachable: the chance that the target is reached within `horizon` labels.
        met: whether a measured score meets it.
        at_budget: the score that a training run would measure, None without a budget.
        cost: of `labels` and one training run; None without prices, or where `labels` is None.
        curve: the forecast curve, its interval included.
        measured: mean score by budget.
        sentence: the forecast in words.
        warnings: warnings of the forecast, and jobs without a score.
        selector, after_labelling: as of a `Candidate`; where the method chose among labelled
            examples, its labels are examples to train on, and cost nothing more.
    """

    name: str
    model: str
    recipe: str
    labels: int | None
    low: int | None
    high: int | None
    reachable: float
    met: bool
    at_budget: Interval | None
    cost: Cost | None
    horizon: int
    curve: tuple[CurveBand, ...]
    measured: dict[int, float]
    sentence: str
    warnings: tuple[str, ...]
    selector: str = RANDOM
    after_labelling: bool = False


class Group(NamedTuple):
    """Candidates whose numbers of labels mean the same, and what their selectors save.

    `unit` is ``labels``; for methods that chose among labelled examples it is ``examples``.
    """

    unit: str
    candidates: tuple[Outcome, ...]
    savings: tuple[Saving, ...]

    def price(self, one: Outcome) -> float | None:
        """The cost to show for a candidate: of examples to train on only that of the training."""
        if one.cost is None:
            return None
        return one.cost.total if self.unit == "labels" else one.cost.training


@dataclass(frozen=True)
class Comparison:
    """Candidates on one task, in the order given, and every pair of them.

    `savings` compares each selector with random labels of the same model and recipe, those that
    save most first.
    """

    task: str
    metric: str
    test_digest: str
    target_score: float
    budget: int | None
    level: float
    candidates: tuple[Outcome, ...]
    pairs: tuple[Pair, ...]
    savings: tuple[Saving, ...] = ()

    def groups(self) -> list[Group]:
        """The candidates, those after labelling apart and again with their random labels."""
        groups = []
        for after, unit in ((False, "labels"), (True, "examples")):
            savings = tuple(one for one in self.savings if one.after_labelling == after)
            beside = {one.baseline for one in savings} if after else set()
            names = {one.name for one in self.candidates if one.after_labelling == after} | beside
            members = tuple(one for one in self.candidates if one.name in names)
            groups += [Group(unit, members, savings)] if members else []
        return groups

    def unsaved_pairs(self) -> list[Pair]:
        """The pairs that `savings` says nothing about: of different models or recipes."""
        trained = {one.name: one.baseline for one in self.savings}
        return [
            pair
            for pair in self.pairs
            if trained.get(pair.first, pair.first) != trained.get(pair.second, pair.second)
        ]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        content = asdict(self)
        for shown, one in zip(content["candidates"], self.candidates, strict=True):
            shown["curve"] = [band._asdict() for band in one.curve]
            shown["at_budget"] = one.at_budget and one.at_budget._asdict()
            shown["cost"] = one.cost and one.cost._asdict()
            shown["measured"] = [{"budget": n, "score": s} for n, s in one.measured.items()]
        rows: tuple[Pair | Saving, ...] = (*self.pairs, *self.savings)
        for shown, row in zip([*content["pairs"], *content["savings"]], rows, strict=True):
            shown["differences"] = [difference._asdict() for difference in row.differences]
        return content


def compare(
    candidates: str | Path | Sequence[str | Path] | Mapping[str, str | Path],
    *,
    target_score: float,
    task: str | None = None,
    budget: int | None = None,
    level: float = DEFAULT_LEVEL,
    horizon: int | None = None,
    ceiling: float | None = None,
    label_cost: float | None = None,
    gpu_hour: float | None = None,
) -> Comparison:
    """Compare what models, recipes or selectors need for a target on one task.

    Args:
        candidates: folders of sweeps and runs, or a mapping from names to them. A run counts once
            for each recipe and training set, a sweep once for each selector and order of stages.
        target_score: in units of the metric, above 0, at most 1.
        task: which task to compare, if a sweep has several.
        budget: also ask for the score with this many labels.
        level: level of the intervals.
        horizon: the most labels to consider; 5,000 by default, or four times the most labels of any
            candidate's scores where that is more.
        ceiling: the best possible score, if it is known.
        label_cost: cost of one label, in money.
        gpu_hour: cost of an hour of training, in money; the hours are those of the measured jobs.

    Returns:
        Labels, score and cost of each candidate, and for each pair the chance that one needs fewer
        labels. Where two candidates share seeds, the noise of their scores is taken to correlate as
        measured: they were trained on the same draws. For each selector also the labels that it
        saves against random ones.

    Raises:
        InputError: fewer than two candidates, or ones that cannot be compared; says why.

    Examples:
        >>> compare(["linear", "full"], target_score=0.85)  # doctest: +SKIP
    """
    level = checked_level(level)
    prices = {"--label-cost": label_cost, "--gpu-hour": gpu_hour}
    for option, price in prices.items():
        if price is not None and checked_number(option, price) < 0:
            raise InputError(f"{option}: a cost is 0 or more, not {price:g}")
    if isinstance(candidates, str | Path):
        candidates = [candidates]
    named = candidates if isinstance(candidates, Mapping) else dict.fromkeys(map(str, candidates))
    if not isinstance(candidates, Mapping) and len(named) < len(candidates):
        raise InputError("a candidate is given twice.")
    found = [
        candidate
        for name, path in named.items()
        for candidate in read_candidates(Path(path or name), name, task, alone=len(named) == 1)
    ]
    check_comparable(found)
    found = [_with_gaps(one, found) for one in found]
    if horizon is None:
        horizon = default_horizon(max(score.budget for one in found for score in one.scores))
    options: dict[str, Any] = {"target_score": target_score, "level": level, "budget": budget}
    options |= {"horizon": horizon, "ceiling": ceiling}
    outcomes, reached = [], []
    for one in found:
        scores = [(s.budget, s.score, None, s.test_size) for s in one.scores]
        observations = list(dict.fromkeys(scores)) if one.repeats else scores
        of_one = options | {"observations": observations, "recipe": one.recipe}
        if one.method is not None:
            of_one["frozen"] = one.method == FROZEN
        question = Question.of(**of_one)
        outcomes.append(_outcome(one, answer(question), label_cost, gpu_hour))
        reached.append(_chances(question))
    pairs: list[Pair] = []
    savings: dict[int, Saving] = {}
    for a, b in combinations(range(len(found)), 2):
        most, both = outcomes[a].horizon, (reached[a], reached[b])
        pair = pair_of(found[a], found[b], *both, most, level)
        pairs.append(pair)
        for own, other in ((a, b), (b, a)):
            if found[own].baseline(found) is found[other]:
                savings[own] = saving_of(found[own], pair, both, most, level)
    ranked = sorted(savings.values(), key=lambda saving: (-saving.saved, -saving.chance))
    first = found[0]
    return Comparison(
        first.task,
        first.metric,
        first.test_digest,
        target_score,
        budget,
        level,
        tuple(_selected(one, savings.get(n)) for n, one in enumerate(outcomes)),
        tuple(pairs),
        tuple(ranked),
    )


def _with_gaps(one: Candidate, others: Sequence[Candidate]) -> Candidate:
    """The candidate, with a note if it has no score at labels where others have one."""
    budgets = {score.budget for other in others for score in other.scores}
    lacking = sorted(budgets - {score.budget for score in one.scores} - {0})
    if not lacking:
        return one
    at = ", ".join(f"{budget:,}" for budget in lacking)
    note = f"no score at {at} labels, where others have one, so the comparison is uneven"
    return replace(one, notes=(*one.notes, note))


def _chances(question: Question) -> Chances | None:
    """The chance of the target by labels; None where zero-shot meets it."""
    if question.met_by_zero_shot:
        return None
    return chances(posterior(question, None).parts, question)


def _outcome(
    one: Candidate, found: Forecast, label_cost: float | None, gpu_hour: float | None
) -> Outcome:
    needed, at = found.labels_needed, found.at_budget
    by_budget: dict[int, list[float]] = defaultdict(list)
    for score in sorted(one.scores):
        by_budget[score.budget].append(score.score)
    notes = [*one.notes, *([f"{one.failed} jobs have no score"] if one.failed else [])]
    if one.repeats:
        notes.append(
            "its scores are the same with every seed, so that each budget counts as one score"
        )
    if one.after_labelling:
        notes.append(
            "the method chose among labelled examples: its labels are examples to train on, and "
            "their cost is not counted"
        )
        label_cost = None
    cost = None
    if needed.point is not None and (label_cost, gpu_hour) != (None, None):
        cost = _cost(one, needed.point, label_cost, gpu_hour)
        if gpu_hour is not None and cost.training is None:
            notes.append("the time of training is not recorded, so its cost is not counted")
    return Outcome(
        name=one.name,
        model=one.model,
        recipe=one.recipe,
        labels=needed.point,
        low=needed.low,
        high=needed.high,
        reachable=needed.reachable,
        met=found.met,
        at_budget=at and Interval(at.mean, at.low, at.high),
        cost=cost,
        horizon=found.horizon,
        curve=found.curve,
        measured={n: fmean(scores) for n, scores in by_budget.items()},
        sentence=found.sentence(),
        warnings=(*notes, *found.warnings),
        selector=one.selector,
        after_labelling=one.after_labelling,
    )


def _selected(one: Outcome, saving: Saving | None) -> Outcome:
    """An outcome with the warning that its labels were not drawn at random."""
    if one.selector == RANDOM:
        return one
    note = (
        f"{one.selector} chose the labels, and the prior of the forecast is of labels drawn at "
        "random: the interval may be too narrow"
    )
    if saving is not None and saving.differences:
        last = saving.differences[-1]
        note += f"; at {last.budget:,} labels it scored {last.text()} against random"
    else:
        note += f"; {beside_random(one.selector, max(one.measured))}"
    return replace(one, warnings=(note, *one.warnings))


def _cost(one: Candidate, labels: int, label_cost: float | None, gpu_hour: float | None) -> Cost:
    for_labels = None if label_cost is None else labels * label_cost
    seconds = 0.0 if labels == 0 else one.training_seconds(labels)
    training = None if gpu_hour is None or seconds is None else seconds / 3600 * gpu_hour
    return Cost(for_labels, training, (for_labels or 0.0) + (training or 0.0))
