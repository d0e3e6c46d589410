"""Compare models, recipes or selectors on one task, from the scores of sweeps and runs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np

from labelcast.errors import InputError
from labelcast.forecast import Forecast
from labelcast.forecast.answer import CurveBand, Interval
from labelcast.forecast.chances import Chances, chances
from labelcast.forecast.distributions import lattice_normals, normal_cdf, t_quantile
from labelcast.forecast.forecasting import answer
from labelcast.forecast.options import DEFAULT_LEVEL, checked_level, checked_number
from labelcast.forecast.posterior import posterior
from labelcast.forecast.question import Question
from labelcast.sweeps.candidates import Candidate, check_comparable, read_candidates

_DRAWS = 8192
_PRIOR_PAIRS = 8.0
"""Pairs of residuals whose weight a correlation of 0 has: few pairs say little."""


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
        warnings: of the forecast, and jobs without a score.
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


class Difference(NamedTuple):
    """The score of the first minus that of the second at a budget, mean over shared seeds.

    The interval is that of the mean over draws of labels, on this test set; its ends are None with
    a single shared seed.
    """

    budget: int
    seeds: int
    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Pair:
    """Two candidates beside each other.

    Attributes:
        fewer: the chance that `first` needs fewer labels than `second`.
        more: the chance that it needs more; the rest is that they need the same number, or that
            neither reaches the target.
        correlation: of the noise of their scores, from shared seeds; 0 where none are shared.
        differences: at the budgets with shared seeds.
    """

    first: str
    second: str
    fewer: float
    more: float
    correlation: float
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Comparison:
    """Candidates on one task, in the order given, and every pair of them."""

    task: str
    metric: str
    test_digest: str
    target_score: float
    budget: int | None
    level: float
    candidates: tuple[Outcome, ...]
    pairs: tuple[Pair, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        content = asdict(self)
        for shown, one in zip(content["candidates"], self.candidates, strict=True):
            shown["curve"] = [band._asdict() for band in one.curve]
            shown["at_budget"] = one.at_budget and one.at_budget._asdict()
            shown["cost"] = one.cost and one.cost._asdict()
            shown["measured"] = [{"budget": n, "score": s} for n, s in one.measured.items()]
        for shown, pair in zip(content["pairs"], self.pairs, strict=True):
            shown["differences"] = [difference._asdict() for difference in pair.differences]
        return content


def compare(
    candidates: Sequence[str | Path] | Mapping[str, str | Path],
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
            for each recipe that it was tuned with.
        target_score: in units of the metric, above 0, at most 1.
        task: the task to take from sweeps of several.
        budget: also ask for the score with this many labels.
        level: of the intervals.
        horizon: the most labels to consider; 5,000 by default.
        ceiling: the best possible score, if it is known.
        label_cost: of one label, in money.
        gpu_hour: of an hour of training, in money; the hours are those of the measured jobs.

    Returns:
        Labels, score and cost of each candidate, and for each pair the chance that one needs fewer
        labels. Where two candidates share seeds, the noise of their scores is taken to correlate as
        measured: they were trained on the same draws.

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
    named = candidates if isinstance(candidates, Mapping) else dict.fromkeys(map(str, candidates))
    if not isinstance(candidates, Mapping) and len(named) < len(candidates):
        raise InputError("a candidate is given twice.")
    found = [
        candidate
        for name, path in named.items()
        for candidate in read_candidates(Path(path or name), name, task)
    ]
    check_comparable(found)
    options: dict[str, Any] = {"target_score": target_score, "level": level, "budget": budget}
    options |= {"horizon": horizon, "ceiling": ceiling}
    outcomes, reached = [], []
    for one in found:
        question = Question.of(
            observations=[(s.budget, s.score, None, s.test_size) for s in one.scores], **options
        )
        outcomes.append(_outcome(one, answer(question), label_cost, gpu_hour))
        reached.append(_chances(question))
    pairs = tuple(
        _pair(found[a], found[b], reached[a], reached[b], outcomes[a].horizon, level)
        for a, b in combinations(range(len(found)), 2)
    )
    first = found[0]
    return Comparison(
        first.task,
        first.metric,
        first.test_digest,
        target_score,
        budget,
        level,
        tuple(outcomes),
        pairs,
    )


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
    notes = [f"{one.failed} jobs have no score"] if one.failed else []
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
    )


def _cost(one: Candidate, labels: int, label_cost: float | None, gpu_hour: float | None) -> Cost:
    for_labels = None if label_cost is None else labels * label_cost
    seconds, training = one.training_seconds(labels), None
    if gpu_hour is not None:
        if labels == 0:
            training = 0.0
        elif seconds is not None:
            training = seconds / 3600 * gpu_hour
    return Cost(for_labels, training, (for_labels or 0.0) + (training or 0.0))


def _pair(
    a: Candidate, b: Candidate, of_a: Chances | None, of_b: Chances | None, most: int, level: float
) -> Pair:
    scores_a, scores_b = a.by_seed(), b.by_seed()
    shared = sorted(scores_a.keys() & scores_b.keys())
    by_budget: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for key in shared:
        by_budget[key[0]].append((scores_a[key], scores_b[key]))
    correlation = _correlation(list(by_budget.values()))
    fewer, more = chance_of_fewer(of_a, of_b, most, correlation)
    differences = tuple(_difference(n, pairs, level) for n, pairs in by_budget.items())
    return Pair(a.name, b.name, fewer, more, correlation, differences)


def _difference(budget: int, pairs: Sequence[tuple[float, float]], level: float) -> Difference:
    gaps = [one - other for one, other in pairs]
    mean, count = fmean(gaps), len(gaps)
    if count < 2:
        return Difference(budget, count, mean, None, None)
    half = t_quantile((1 + level) / 2, count - 1) * stdev(gaps) / math.sqrt(count)
    return Difference(budget, count, mean, mean - half, mean + half)


def _correlation(groups: Sequence[Sequence[tuple[float, float]]]) -> float:
    """Correlation over seeds, pooled over budgets, pulled to 0 where there are few pairs."""
    residuals, free = [], 0
    for pairs in groups:
        values = np.array(pairs)
        residuals.append(values - values.mean(axis=0))
        free += len(pairs) - 1
    if free < 1:
        return 0.0
    first, second = np.concatenate(residuals).T
    size = math.sqrt(float(first @ first) * float(second @ second))
    raw = float(first @ second) / size if size > 0 else 0.0
    return max(raw, 0.0) * free / (free + _PRIOR_PAIRS)


def chance_of_fewer(
    first: Chances | None, second: Chances | None, most: int, correlation: float = 0.0
) -> tuple[float, float]:
    """The chances that the first needs fewer labels than the second, and that it needs more.

    Args:
        first: the chance of the target by labels; None where no labels are needed.
        second: the same of the other candidate.
        most: labels beyond which a target counts as not reached.
        correlation: between the two numbers of labels, in [0, 1); their ranks are joined by a
            Gaussian copula with it.
    """
    normals = lattice_normals(_DRAWS, 2, 11)
    other = correlation * normals[:, 0] + math.sqrt(1 - correlation**2) * normals[:, 1]
    a = _labels(first, np.asarray(normal_cdf(normals[:, 0])), most)
    b = _labels(second, np.asarray(normal_cdf(other)), most)
    return float(np.mean(a < b)), float(np.mean(a > b))


def _labels(found: Chances | None, ranks: np.ndarray, most: int) -> np.ndarray:
    """Labels at ranks in [0, 1], infinite where the target is not reached within `most`."""
    if found is None:
        return np.zeros(len(ranks))
    labels, weights = found.sample()
    position = np.searchsorted(np.cumsum(weights), ranks * weights.sum())
    drawn = labels[np.minimum(position, len(labels) - 1)]
    return np.where(drawn > most, np.inf, drawn)
