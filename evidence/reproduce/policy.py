"""What to label next, tried out on the published raw scores, dips and all.

Knows four ways to spend labels until a target is met, what each buys and how often it fails. Does
not know how a forecast is made.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evidence.reproduce.fit_prior import fit_published
from evidence.reproduce.published import PublishedCurve
from evidence.reproduce.refinement import Progress, held_out
from evidence.reproduce.refinement_rows import AUC_ERROR_SD, noisy_aucs
from evidence.reproduce.scoring import FLOOR, TARGETS
from labelcast.forecast import power_law
from labelcast.forecast.efficiency import GRID, LARGEST_BUDGET, Array, budget_at, log_position
from labelcast.forecast.next_budget import choose
from labelcast.forecast.observed import ScoreObservation, binomial_sd
from labelcast.forecast.prior import CurvePrior

TEST_SIZE = 1000
"""Test examples that are taken to stand behind each published score."""

ONE_SHOT_DRAWS = 20
FORECAST_DRAWS = 3
SAMPLES = 1500

FIXED_GRID = GRID[1:]
DOUBLING = (50, 100, 200, 400, 800, 1600, 3200, LARGEST_BUDGET)

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Spent:
    """What one search for a target came to: labels bought, training runs, whether it was met."""

    labels: float
    runs: int
    met: bool


@dataclass(frozen=True)
class Way:
    """A way to spend labels, as the table names it.

    Attributes:
        name: "fixed grid", "one shot", "doubling" or "labelcast".
        auc_known: whether it is told the AUC with its error.
        ceiling: "known", "unknown", or None where the way does not ask for it.
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
    """A held-out curve and a target on it, as a way sees them.

    Attributes:
        curve: whose raw scores answer each training run.
        fraction: the target as a fraction of the gain.
        score: the same as a score.
        auc: with its error; NaN where it is not told.
    """

    curve: PublishedCurve
    fraction: float
    score: float
    auc: float

    def run(self, budget: float) -> float:
        """Return the raw score at a budget, linear on the logarithmic axis between those known."""
        known = sorted(self.curve.raw)
        scores = [self.curve.raw[n] for n in known]
        return float(np.interp(log_position(budget), log_position(known), scores))

    def succeeds(self, budget: float) -> bool:
        """Whether a training run at a budget meets the target."""
        return self.run(budget) >= self.score - _ROUNDING

    def need(self) -> float:
        """Return the labels at which the raw scores first meet the target, 50 or more."""
        known = sorted(self.curve.raw)
        best = np.maximum.accumulate([self.curve.raw[n] for n in known])
        at = int(np.argmax(best >= self.score - _ROUNDING))
        if best[at] < self.score - _ROUNDING:
            return math.inf
        if at == 0:
            return float(FLOOR)
        share = (self.score - best[at - 1]) / (best[at] - best[at - 1])
        left, right = log_position(known[at - 1 : at + 1]).tolist()
        return max(float(FLOOR), float(budget_at(left + share * (right - left))))


def in_turn(search: Search, budgets: Sequence[float]) -> Spent:
    """Train at one budget after the other until the target is met."""
    for number, budget in enumerate(budgets, start=1):
        if search.succeeds(budget):
            return Spent(budget, number, True)
    return Spent(budgets[-1], len(budgets), False)


def one_shot(search: Search) -> Spent:
    """Buy what the paper's power law says for the AUC, and train once."""
    labels = math.ceil(power_law.labels_for_gain(search.fraction, search.auc))
    return in_turn(search, [max(FLOOR, min(labels, LARGEST_BUDGET))])


def with_forecast(search: Search, prior: CurvePrior, ceiling_known: bool) -> Spent:
    """Condition on every score, choose the next budget by `choose`, until met or given up."""
    measured = search.curve.curve
    seen: list[ScoreObservation] = []
    owned = 0
    tried: list[int] = []
    while True:
        posterior = prior.condition_on_scores(
            seen,
            measured.zero_shot,
            measured.ceiling if ceiling_known else None,
            zero_shot_sd=binomial_sd(measured.zero_shot, TEST_SIZE),
            samples=SAMPLES,
        )
        if not math.isnan(search.auc):
            posterior = posterior.measured_auc(search.auc, AUC_ERROR_SD)
        budget = choose(posterior.labels_for_score(search.score), posterior.weights, owned, tried)
        if budget is None:
            return Spent(owned, len(tried), False)
        owned = budget
        tried.append(budget)
        if search.succeeds(budget):
            return Spent(owned, len(tried), True)
        score = search.run(budget)
        noise = math.hypot(prior.seed_sd, binomial_sd(score, TEST_SIZE))
        seen.append(ScoreObservation(budget, score, noise))


_Walk = Callable[[Search, CurvePrior], Spent]


def _ways() -> list[tuple[Way, int, _Walk]]:
    """Return the ways, with the draws of the AUC that each is tried with."""
    ways: list[tuple[Way, int, _Walk]] = [
        (Way("fixed grid", False, None), 1, lambda search, prior: in_turn(search, FIXED_GRID)),
        (Way("one shot", True, None), ONE_SHOT_DRAWS, lambda search, prior: one_shot(search)),
        (Way("doubling", False, None), 1, lambda search, prior: in_turn(search, DOUBLING)),
    ]
    for auc_known in (True, False):
        for ceiling in ("known", "unknown"):
            walk = _forecast_walk(ceiling == "known")
            draws = FORECAST_DRAWS if auc_known else 1
            ways.append((Way("labelcast", auc_known, ceiling), draws, walk))
    return ways


def _forecast_walk(ceiling_known: bool) -> _Walk:
    return lambda search, prior: with_forecast(search, prior, ceiling_known)


def simulate(
    curves: Sequence[PublishedCurve], seed: int = 0, progress: Progress = lambda done: None
) -> list[Simulated]:
    """Search for every target on every held-out curve in every way.

    Args:
        curves: of four tasks or more.
        seed: of the error of the AUC.
        progress: is called with 1 for each task done.

    Raises:
        InputError: under 4 tasks.
    """
    ways = _ways()
    spent = [np.full((3, len(curves), len(TARGETS), draws), math.nan) for _, draws, _ in ways]
    for others, places in held_out(curves):
        prior = fit_published(others)
        for i in places:
            auc = curves[i].curve.auc
            aucs = noisy_aucs(auc, AUC_ERROR_SD, ONE_SHOT_DRAWS, seed, i)
            for (way, draws, walk), found in zip(ways, spent, strict=True):
                given = aucs[:draws] if way.auc_known else np.array([math.nan])
                found[:, i] = _searches(curves[i], given, prior, walk)
        progress(1)
    return [Simulated(way, *found) for (way, _, _), found in zip(ways, spent, strict=True)]


def _searches(curve: PublishedCurve, aucs: Array, prior: CurvePrior, walk: _Walk) -> Array:
    """Return labels, runs and success of each target and AUC, [3, targets, draws]."""
    found = np.empty((3, len(TARGETS), len(aucs)))
    for j, fraction in enumerate(TARGETS):
        for d, auc in enumerate(aucs):
            result = walk(search_on(curve, fraction, float(auc)), prior)
            found[:, j, d] = result.labels, result.runs, result.met
    return found


def search_on(curve: PublishedCurve, fraction: float, auc: float = math.nan) -> Search:
    """Return the search for a fraction of a curve's gain."""
    measured = curve.curve
    score = measured.zero_shot + fraction * (measured.ceiling - measured.zero_shot)
    return Search(curve, fraction, score, auc)
