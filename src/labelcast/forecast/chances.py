"""The chance of reaching the target within n labels, never lower for better scores; labels needed.

A better score must never raise the labels needed. Draws with heavy-tailed noise do not keep that
order everywhere: a score far from the trend looks like a failed run and is ignored, and sums over
draws have small ripples. So the chance is also computed for other scores at the last budget, and
made to rise with the score by isotonic regression. Each score counts as much as it was expected
before it was observed, so that unlikely ones hardly move the others.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from labelcast.forecast.answer import LabelsNeeded
from labelcast.forecast.distributions import weighted_quantiles
from labelcast.forecast.efficiency import GRID, Array
from labelcast.forecast.families import logit, sigmoid
from labelcast.forecast.observed import NoisyScore, scores_log_likelihood, test_variance
from labelcast.forecast.options import LARGEST_HORIZON
from labelcast.forecast.particles import FEW_IN_ORDER, Draws, effective, normalised
from labelcast.forecast.posterior import Part
from labelcast.forecast.question import Question

# Sorted by Python: numpy's union1d imports numpy.ma, a tenth of the start of the command.
LOG_LABELS = np.array(
    sorted({*np.linspace(0.0, math.log(LARGEST_HORIZON), 401).tolist(), *np.log(GRID[1:]).tolist()})
)
"""Places, as log(labels), at which the chance is computed, L of them with the published budgets;
between them it is linear."""

POINT = 0.6
"""Quantile of the labels, given that the target is reached, that is the best guess: on curves of
left-out tasks it errs as little as the median and has the least bias (docs/curves.md)."""

_HARDLY, _LIKELY = 1e-2, 0.5

_LARGEST_STEP, _SMALLEST_STEP, _MOST_MEANS = 0.1, 0.01, 48
"""Steps between scores for which the chance is computed, in logits."""

_EXPECTED = [0.002, 0.1, 0.9, 0.998]
"""Quantiles of the expected scores: all of them, and those where they are dense."""

_SEED_SD, _BOUNDS = 0.01, (1e-6, 1 - 1e-6)
_MANY = 12
"""Scores at the last budget whose mean is certain enough without better ones."""

_PRUNED, _LEAST_EXPECTED = 1e-7, 1e-12


@dataclass(frozen=True, eq=False)
class Chances:
    """The chance that the target is reached within n labels.

    Attributes:
        by_labels: at `LOG_LABELS`, never falling, [L].
    """

    by_labels: Array

    def at(self, n: float) -> float:
        """Return the chance at n labels."""
        return float(np.interp(math.log(max(n, 1.0)), LOG_LABELS, self.by_labels))

    def quantile(self, asked: float) -> float:
        """Return the labels by which the target is reached with a probability, else infinite."""
        if asked > self.by_labels[-1]:
            return math.inf
        right = int(np.searchsorted(self.by_labels, asked - 1e-12))
        if right == 0:
            return 1.0
        below, above = self.by_labels[right - 1 : right + 1]
        share = (asked - below) / (above - below) if above > below else 1.0
        left, end = LOG_LABELS[right - 1 : right + 1]
        return float(np.exp(left + share * (end - left)))

    def sample(self) -> tuple[Array, Array]:
        """Return labels, infinite where the target is never reached, and their weights."""
        steps = np.diff(self.by_labels, prepend=0.0)
        never = max(1 - float(self.by_labels[-1]), 0.0)
        return np.append(np.exp(LOG_LABELS), np.inf), np.append(steps, never)


def chances(parts: Sequence[Part], question: Question) -> Chances:
    """Return the chance that the target is reached within n labels, from every family's draws."""
    last = question.scores.groups()[-1:]
    total = np.zeros(len(LOG_LABELS))
    for part in parts:
        labels = _labels(part.given, question)
        if last and len(last[0][1]) <= _MANY and question.scale.metric != "loss":
            total += part.share * _ordered(part, labels, *last[0])
        else:
            weights = part.final().weights[:, None]
            total += part.share * _by_labels(labels, weights)[:, 0]
    return Chances(total)


def _labels(draws: Draws, question: Question) -> Array:
    """Return the labels that each draw needs for the target, [B]."""
    if question.target_score is not None:
        return draws.labels_for_score(question.target_score)
    assert question.target is not None
    return draws.labels_for_gain(question.target)


def _ordered(part: Part, labels: Array, n: float, members: Sequence[NoisyScore]) -> Array:
    """Return the chance by labels of one family, with the scores at the last budget, [L]."""
    draws = part.given
    curve, given = draws.at(n), np.log(draws.weights + 1e-300)
    base = scores_log_likelihood(members, n, curve, draws.tau)[:, 0]
    before = normalised(given - base)
    if effective(before) < FEW_IN_ORDER:
        # Draws made near these scores say nothing of other scores.
        return _by_labels(labels, part.final().weights[:, None])[:, 0]
    means = _expected_means(members, curve, before)
    mean = fmean(member.score for member in members)
    logs = scores_log_likelihood(members, n, curve, draws.tau, means - mean)
    logs += (given - base)[:, None]
    largest = logs.max(axis=0)
    logs -= largest
    weights = np.exp(logs, out=logs)
    used = weights.max(axis=1) > _PRUNED
    weights = weights[used] + 1e-300
    total = weights.sum(axis=0)
    expected = np.exp(largest - largest.max()) * total * np.gradient(means)
    expected = expected / expected.sum() + _LEAST_EXPECTED
    if part.tilt is not None:
        weights *= replace(part.tilt, gained=part.tilt.gained[used]).factors(weights)
    found = _by_labels(labels[used], weights)
    place = float(np.interp(mean, means, np.arange(len(means))))
    floor = min(int(place), len(means) - 2)
    left, right = (_isotonic_at(one, found, expected) for one in (floor, floor + 1))
    return np.asarray(left + (place - floor) * (right - left))


def _isotonic_at(place: int, values: Array, weights: Array) -> Array:
    """Return the rising fit to values, [L, J], with weights, [J], at one of the places, [L].

    It is the largest, over starts up to the place, of the smallest mean from there to ends from the
    place on (Barlow et al. 1972).
    """
    sums = np.cumsum(np.pad(values * weights, ((0, 0), (1, 0))), axis=1)
    sizes = np.cumsum(np.pad(weights, (1, 0)))
    mass = sizes[None, place + 1 :] - sizes[: place + 1, None]
    means = (sums[:, None, place + 1 :] - sums[:, : place + 1, None]) / mass
    return np.asarray(means.min(axis=2).max(axis=1))


def _expected_means(members: Sequence[NoisyScore], curve: Array, before: Array) -> Array:
    """Return rising mean scores at the last budget, denser where they were expected, [J].

    They do not depend on the observed mean: they are at multiples of a step in logits, and draws
    that it has ruled out do not move the ends.

    Args:
        members: the scores at the last budget.
        curve: scores of the draws there, [B].
        before: weights of the draws given the scores at other budgets, [B].
    """
    noise = members[0].noise
    own = test_variance(np.float64(0.5), noise.size) if noise.sd is None else noise.sd**2
    sd = 4 * math.sqrt(own + _SEED_SD**2)  # in logits
    ends = logit(np.clip(weighted_quantiles(curve, before, _EXPECTED), *_BOUNDS))
    step = float(np.clip(sd, _SMALLEST_STEP, _LARGEST_STEP)) / math.sqrt(len(members))
    while ends[2] - ends[1] > _MOST_MEANS * step:
        step *= 2
    wide = 4 * step
    low, first = np.floor(ends[:2] / wide - [3 * sd / wide, 0.0]) * wide
    last, high = np.ceil(ends[2:] / wide + [0.0, 3 * sd / wide]) * wide
    between = np.arange(round(first / step), round(last / step) + 1) * step
    below, above = (
        np.arange(round(a / (2 * step)), round(b / (2 * step)) + 1) * 2 * step
        for a, b in ((low, first), (last, high))
    )
    return sigmoid(np.concatenate([below[:-1], between, above[1:]]))


def _by_labels(labels: Array, weights: Array) -> Array:
    """Return the share of the weight at or below every place of `LOG_LABELS`, [L, C]."""
    order = np.argsort(labels, kind="stable")
    ranks = np.searchsorted(labels[order], np.exp(LOG_LABELS) * (1 + 1e-9), side="right")
    # Sums between places, then over places: the full sums of every draw are not needed.
    edges = np.concatenate([[0], ranks])
    padded = np.concatenate([weights[order], np.zeros((1, weights.shape[1]))])
    # The last sum, of the draws beyond the last place, is left out.
    parts = np.add.reduceat(padded, edges, axis=0)[:-1]
    parts[edges[1:] == edges[:-1]] = 0.0
    total = weights.sum(axis=0)
    return np.asarray(np.cumsum(parts, axis=0) / total)


def labels_needed(found: Chances, question: Question) -> LabelsNeeded:
    """Return the labels needed within the horizon, with their interval and the chance."""
    if question.met_by_zero_shot:
        return LabelsNeeded(0, 0, 0, 1.0, 0, 0, 0, 0, 1.0)
    reachable = found.at(question.horizon)
    # A sum of all weights may be 1 less the last digit, and a higher target must not look easier.
    reachable = 1.0 if reachable > 1 - 1e-12 else reachable
    tail = (1 - question.level) / 2
    low = tail
    if question.target is not None and not question.scores.all:
        # The tail that an open upper end cannot use goes to the lower end: the truth cannot lie
        # above. Equal tails covered better where scores are known.
        low = max(tail, min(1 - question.level, 1 - reachable, 0.5))

    # Budgets whose scores miss the target do not suffice.
    tried = 0
    if question.target_score is not None and not question.met:
        tried = question.scores.most_labels
    missed = found.at(tried) if tried else 0.0

    def within(probability: float) -> int | None:
        labels = max(found.quantile(probability), tried)
        return math.ceil(labels - 1e-6) if labels <= question.horizon * (1 + 1e-9) else None

    start, high = within(low), within(1 - tail)
    best = least = most = None
    if reachable > max(_HARDLY, missed):
        best, least, most = (
            within(missed + p * (reachable - missed)) for p in (POINT, tail, 1 - tail)
        )
        best = best if high is None or best is None else min(best, high)
    elif reachable >= _LIKELY:
        # No later budget adds to the chance at the ones that were tried.
        best = least = most = within(reachable)
    point = best if reachable >= _LIKELY else None
    if point is not None and start is not None:
        point = max(point, start)  # narrow intervals may begin above it
    return LabelsNeeded(
        median=within(0.5),
        low=start,
        high=high,
        reachable=reachable,
        if_reached=best,
        if_reached_low=least,
        if_reached_high=most,
        point=point,
        point_chance=None if point is None else min(found.at(point), reachable),
    )
