"""The chance of reaching the target within n labels, never lower for better scores; labels needed.

A better score must never raise the labels needed. Draws with heavy-tailed noise do not keep that
order everywhere: a very bad score looks like a failed run and is ignored, and sums over draws have
small ripples. So the chance is also computed for better scores at the last budget, on a fixed
lattice, and a score gets no more than the chance of a better one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from labelcast.forecast.answer import LabelsNeeded
from labelcast.forecast.efficiency import GRID, Array
from labelcast.forecast.families import logit, sigmoid
from labelcast.forecast.observed import NoisyScore, scores_log_likelihood, test_variance
from labelcast.forecast.options import LARGEST_HORIZON
from labelcast.forecast.particles import Draws
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

_NEAR_STEPS = 12
_LARGEST_STEP, _SMALLEST_STEP = 0.08, 0.01
"""Steps of the lattice, in logits; their size depends on the size of the test set alone."""

_SEED_SD = 0.01
_BOUNDS, _TOP = (1e-6, 1 - 1e-6), 6.0
_MANY = 12
"""Scores at the last budget whose mean is certain enough without better ones."""

_FEW = 30.0
_PRUNED = 1e-7


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

    def quantile(self, probability: float, most: float = 1.0) -> float:
        """Return the labels by which the target is reached with a probability, of `most` in all.

        Infinite where the chance stays below it.
        """
        asked = probability * most
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
    mean = sum(member.score for member in members) / len(members)
    means, between = _lattice(members, mean)
    draws = part.given
    curve = draws.at(n)
    base = scores_log_likelihood(members, n, curve, draws.tau)
    moved = [
        scores_log_likelihood(
            [m._replace(score=m.score + other - mean) for m in members], n, curve, draws.tau
        )
        for other in means
    ]
    ratios = np.stack(moved, axis=1) - base[:, None]
    logs = np.log(draws.weights + 1e-300)[:, None] + ratios
    weights = np.exp(logs - logs.max(axis=0))
    used = weights.max(axis=1) > _PRUNED
    weights = weights[used] + 1e-300
    if part.tilt is not None:
        weights *= replace(part.tilt, gained=part.tilt.gained[used]).factors(weights)
    found = _by_labels(labels[used], weights)
    few = weights.sum(axis=0) ** 2 / (weights**2).sum(axis=0) < _FEW
    # The two means around the observed one count however few draws they have.
    found[:, 2:][:, few[2:]] = 1.0
    least = np.minimum.accumulate(found[:, ::-1], axis=1)[:, ::-1]
    return np.asarray((1 - between) * least[:, 0] + between * least[:, 1])


def _lattice(members: Sequence[NoisyScore], mean: float) -> tuple[Array, float]:
    """Return mean scores from the two around the observed mean up to better ones.

    Returns:
        Rising means, [J], and the share of the way from the first to the second, in logits, where
        the observed mean lies.
    """
    noise = members[0].noise
    own = test_variance(np.float64(0.5), noise.size) if noise.sd is None else noise.sd**2
    step = float(np.clip(4 * np.sqrt(own + _SEED_SD**2), _SMALLEST_STEP, _LARGEST_STEP))
    step /= math.sqrt(len(members))
    place = float(logit(np.clip(mean, *_BOUNDS))) / step
    floor = math.floor(place)
    # Every step near the mean, then every fourth, sixteenth, ...: places stay put.
    top = max(math.ceil(_TOP / step), floor + 1)
    places, start, stride = [], floor, 1
    while start <= top:
        end = start + _NEAR_STEPS * stride
        places.append(np.arange(start, min(end, top + 1), stride))
        stride *= 4
        start = stride * -(-end // stride)
    return sigmoid(np.concatenate(places).astype(np.float64) * step), place - floor


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
        return LabelsNeeded(0, 0, 0, 1.0, 0, 0, 0, 0)
    reachable = found.at(question.horizon)
    # A sum of all weights may be 1 less the last digit, and a higher target must not look easier.
    reachable = 1.0 if reachable > 1 - 1e-12 else reachable
    tail = (1 - question.level) / 2
    low = tail
    if question.target is not None and not question.scores.all:
        # The tail that an open upper end cannot use goes to the lower end: the truth cannot lie
        # above. Equal tails covered better where scores are known.
        low = max(tail, min(1 - question.level, 1 - reachable, 0.5))

    def within(probability: float, most: float = 1.0) -> int | None:
        labels = found.quantile(probability, most)
        return math.ceil(labels - 1e-6) if labels <= question.horizon * (1 + 1e-9) else None

    hardly = reachable <= _HARDLY
    best, least, most = (None if hardly else within(p, reachable) for p in (POINT, tail, 1 - tail))
    return LabelsNeeded(
        median=within(0.5),
        low=within(low),
        high=within(1 - tail),
        reachable=reachable,
        if_reached=best,
        if_reached_low=least,
        if_reached_high=most,
        point=best if reachable >= _LIKELY else None,
    )
