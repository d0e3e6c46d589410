"""Four ways to spend labels until a target is met, simulated on the published raw scores.

Counts what each buys and how often it fails. The scores keep their dips.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from evidence.reproduce.labelcast_method import PriorWithout, auc_weights, prior_without
from evidence.reproduce.published import PublishedCurve
from evidence.reproduce.refinement import Progress, held_out
from evidence.reproduce.refinement_rows import AUC_ERROR_SD, noisy_aucs
from evidence.reproduce.scoring import FLOOR, TARGETS
from labelcast.forecast.efficiency import (
    GRID,
    LARGEST_BUDGET,
    Array,
    budget_at,
    log_position,
    power_law_labels,
)
from labelcast.forecast.families import Prior
from labelcast.forecast.next_budget import choose
from labelcast.forecast.posterior import Part, given_scores, joined
from labelcast.forecast.question import Question

TEST_SIZE = 1000
"""Assumed number of test examples behind each published score."""

ONE_SHOT_DRAWS = 20
FORECAST_DRAWS = 3

FIXED_GRID = GRID[1:]
DOUBLING = (50, 100, 200, 400, 800, 1600, 3200, LARGEST_BUDGET)

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Spent:
    """The result of one search: labels bought, training runs, whether the target was met."""

    labels: float
    runs: int
    met: bool


@dataclass(frozen=True)
class Way:
    """A way to spend labels, as named in the table.

    Attributes:
        name: "fixed grid", "one shot", "doubling" or "labelcast".
        auc_known: whether it gets the AUC with its error.
        ceiling: "known", "unknown", or None if the way does not use it.
    """

    name: str
    auc_known: bool
    ceiling: str | None


@dataclass(frozen=True, eq=False)
class Simulated:
    """The searches of one way.

    Attributes:
        way: which.
        labels, runs, met: [curves, targets, draws].
    """

    way: Way
    labels: Array
    runs: Array
    met: Array


@dataclass(frozen=True, eq=False)
class Search:
    """A held-out curve and a target, as a way to spend labels sees them.

    Attributes:
        raw: scores by budget, the results of training runs.
        fraction: the target as a fraction of the gain.
        score: the same as a score.
        auc: with its error; NaN if unknown.
    """

    raw: Mapping[int, float]
    fraction: float
    score: float
    auc: float

    def run(self, budget: float) -> float:
        """Return the raw score at a budget, interpolated on the logarithmic axis."""
        known = sorted(self.raw)
        scores = [self.raw[n] for n in known]
        return float(np.interp(log_position(budget), log_position(known), scores))

    def succeeds(self, budget: float) -> bool:
        """Whether a training run at a budget meets the target."""
        return self.run(budget) >= self.score - _ROUNDING

    def need(self) -> float:
        """Return the labels at which the raw scores first meet the target, 50 or more."""
        known = sorted(self.raw)
        best = np.maximum.accumulate([self.raw[n] for n in known])
        at = int(np.argmax(best >= self.score - _ROUNDING))
        if best[at] < self.score - _ROUNDING:
            return math.inf
        if at == 0:
            return float(FLOOR)
        share = (self.score - best[at - 1]) / (best[at] - best[at - 1])
        left, right = log_position(known[at - 1 : at + 1]).tolist()
        return max(float(FLOOR), float(budget_at(left + share * (right - left))))


def in_turn(search: Search, budgets: Sequence[float]) -> Spent:
    """Train at one budget after another until the target is met."""
    for number, budget in enumerate(budgets, start=1):
        if search.succeeds(budget):
            return Spent(budget, number, True)
    return Spent(budgets[-1], len(budgets), False)


def one_shot(search: Search) -> Spent:
    """Buy as many labels as the paper's power law says for the AUC, and train once."""
    labels = math.ceil(power_law_labels(search.fraction, search.auc))
    return in_turn(search, [max(FLOOR, min(labels, LARGEST_BUDGET))])


Given = Callable[[tuple[tuple[int, float], ...]], list[Part]]
"""Returns each family's draws given the (budget, score) pairs so far."""

_REMEMBERED = 16


def given_seen(prior: Prior, curve: PublishedCurve, ceiling_known: bool, auc_known: bool) -> Given:
    """Return a cached function that conditions on the scores of one curve."""
    measured = curve.curve
    ceiling = measured.ceiling if ceiling_known else None
    published = ceiling_known or auc_known
    return given_ends(prior, measured.zero_shot, ceiling, size=TEST_SIZE, published=published)


def given_ends(
    prior: Prior,
    zero_shot: float | None,
    ceiling: float | None,
    *,
    size: int,
    published: bool,
    recipe: str | None = None,
) -> Given:
    """Return a cached function that conditions on scores; see `given_scores`.

    Args:
        prior: the fitted numbers.
        zero_shot: None where unknown.
        ceiling: None where unknown.
        size: test examples behind each score.
        published: whether the published gain curves have a share.
        recipe: recipe of the curve, which says whether the model is frozen; None if unknown.
    """

    @lru_cache(maxsize=_REMEMBERED)
    def given(seen: tuple[tuple[int, float], ...]) -> list[Part]:
        question = Question.of(
            zero_shot=zero_shot,
            ceiling=ceiling,
            observations=seen,
            observe_size=size,
            recipe=recipe,
        )
        return given_scores(prior, question, published=published)

    return given


def with_forecast(search: Search, given: Given, horizon: int = LARGEST_BUDGET) -> Spent:
    """Condition on every score and choose the next budget by `choose` until met or given up."""
    seen: list[tuple[int, float]] = []
    owned = 0
    while True:
        parts = given(tuple(seen))
        draws = joined(parts)
        weights = draws.weights
        if not math.isnan(search.auc):
            weights = auc_weights(parts, search.auc, AUC_ERROR_SD)
        labels = draws.labels_for_score(search.score)
        budget = choose(labels, weights, owned, [n for n, _ in seen], horizon=horizon)
        if budget is None:
            return Spent(owned, len(seen), False)
        owned = budget
        score = search.run(budget)
        seen.append((budget, score))
        if search.succeeds(budget):
            return Spent(owned, len(seen), True)


_Walk = Callable[[Search], Spent]


def _ways() -> list[tuple[Way, int]]:
    """Return the ways, each with its draws of the AUC."""
    ways = [
        (Way("fixed grid", False, None), 1),
        (Way("one shot", True, None), ONE_SHOT_DRAWS),
        (Way("doubling", False, None), 1),
    ]
    for auc_known in (True, False):
        draws = FORECAST_DRAWS if auc_known else 1
        ways += [(Way("labelcast", auc_known, ceiling), draws) for ceiling in ("known", "unknown")]
    return ways


def _walk(way: Way, curve: PublishedCurve, prior: Prior) -> _Walk:
    """Return how a way searches on a curve."""
    if way.name == "one shot":
        return one_shot
    if way.name != "labelcast":
        budgets = FIXED_GRID if way.name == "fixed grid" else DOUBLING
        return lambda search: in_turn(search, budgets)
    given = given_seen(prior, curve, way.ceiling == "known", way.auc_known)
    return lambda search: with_forecast(search, given)


def simulate(
    curves: Sequence[PublishedCurve],
    without_task: PriorWithout,
    seed: int = 0,
    progress: Progress = lambda done: None,
) -> list[Simulated]:
    """Search for every target on every held-out curve with every way.

    Args:
        curves: curves of four tasks or more.
        without_task: returns the fit of the score curves without a task.
        seed: seed of the AUC's error.
        progress: called with 1 for each finished task.

    Raises:
        InputError: under 4 tasks.
    """
    ways = _ways()
    spent = [np.full((3, len(curves), len(TARGETS), draws), math.nan) for _, draws in ways]
    for task, others, places in held_out(curves):
        prior = prior_without(task, others, without_task)
        for i in places:
            auc = curves[i].curve.auc
            aucs = noisy_aucs(auc, AUC_ERROR_SD, ONE_SHOT_DRAWS, seed, i)
            for (way, draws), found in zip(ways, spent, strict=True):
                given = aucs[:draws] if way.auc_known else np.array([math.nan])
                found[:, i] = _searches(curves[i], given, _walk(way, curves[i], prior))
        progress(1)
    return [Simulated(way, *found) for (way, _), found in zip(ways, spent, strict=True)]


def _searches(curve: PublishedCurve, aucs: Array, walk: _Walk) -> Array:
    """Return labels, runs and success of each target and AUC, [3, targets, draws]."""
    found = np.empty((3, len(TARGETS), len(aucs)))
    for j, fraction in enumerate(TARGETS):
        for d, auc in enumerate(aucs):
            result = walk(search_on(curve, fraction, float(auc)))
            found[:, j, d] = result.labels, result.runs, result.met
    return found


def search_on(curve: PublishedCurve, fraction: float, auc: float = math.nan) -> Search:
    """Return the search for a fraction of a curve's gain."""
    measured = curve.curve
    score = measured.zero_shot + fraction * (measured.ceiling - measured.zero_shot)
    return Search(curve.raw, fraction, score, auc)
