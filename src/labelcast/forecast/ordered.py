"""The chance of reaching the target within n labels, never lower for better scores.

A better score must never raise the labels needed. Draws with heavy-tailed noise do not keep that
order everywhere: a very bad score looks like a failed run and is ignored, and sums over draws have
small ripples. So the chance is also computed for better scores at the last budget, on a fixed
lattice, and a score gets no more than the chance of a better one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from labelcast.forecast.efficiency import GRID, Array
from labelcast.forecast.observed import NoisyScore, Scores, scores_log_likelihood
from labelcast.forecast.particles import LARGEST_HORIZON, Draws
from labelcast.forecast.posterior import Part
from labelcast.forecast.score_curves import logit, sigmoid, test_variance

# Sorted by Python: numpy's union1d imports numpy.ma, a tenth of the start of the command.
LOG_LABELS = np.array(
    sorted({*np.linspace(0.0, math.log(LARGEST_HORIZON), 401).tolist(), *np.log(GRID[1:]).tolist()})
)
"""Places, as log(labels), at which the chance is computed, L of them with the published budgets;
between them it is linear."""

_NEAR_STEPS = 12
_LARGEST_STEP, _SMALLEST_STEP = 0.08, 0.01
"""Steps of the lattice, in logits; their size depends on the size of the test set alone."""

_SEED_SD = 0.01
_BOUNDS, _TOP = (1e-6, 1 - 1e-6), 6.0
_MANY = 12
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
        below, above = self.by_labels[right - 1], self.by_labels[right]
        share = (asked - below) / (above - below) if above > below else 1.0
        return float(
            np.exp(LOG_LABELS[right - 1] + share * (LOG_LABELS[right] - LOG_LABELS[right - 1]))
        )

    def sample(self) -> tuple[Array, Array]:
        """Return labels, infinite where the target is never reached, and their weights."""
        steps = np.diff(self.by_labels, prepend=0.0)
        never = max(1 - float(self.by_labels[-1]), 0.0)
        return np.append(np.exp(LOG_LABELS), np.inf), np.append(steps, never)


def chances(
    parts: Sequence[Part], labels: Callable[[Draws], Array], scores: Scores, *, ordered: bool
) -> Chances:
    """Return the chance that the target is reached within n labels.

    Args:
        parts: every family's draws.
        labels: the labels that each draw needs for the target, [B].
        scores: observed.
        ordered: whether to look at better scores too; with many at the last budget, their mean is
            certain enough without.
    """
    total = np.zeros(len(LOG_LABELS))
    for part in parts:
        if ordered and 0 < len(scores.groups()[-1][1] if scores.all else ()) <= _MANY:
            total += part.share * _ordered(part, labels(part.given), scores)
        else:
            weights = part.final().weights[:, None]
            total += part.share * _by_labels(labels(part.given), weights)[:, 0]
    return Chances(total)


def _ordered(part: Part, labels: Array, scores: Scores) -> Array:
    """Return the chance by labels of one family, [L]."""
    n, members = scores.groups()[-1]
    lattice = _Lattice.of(members)
    logs = np.log(part.given.weights + 1e-300)[:, None] + lattice.log_ratios(part.given, n)
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
    return np.asarray((1 - lattice.share) * least[:, 0] + lattice.share * least[:, 1])


@dataclass(frozen=True, eq=False)
class _Lattice:
    """Mean scores at the last budget, from the two around the observed mean up to better ones.

    Attributes:
        members: the observed scores.
        means: rising, [J]; the observed mean lies between the first two.
        share: of the way from the first to the second, in logits.
    """

    members: Sequence[NoisyScore]
    means: Array
    share: float

    @classmethod
    def of(cls, members: Sequence[NoisyScore]) -> "_Lattice":
        noise = members[0].noise
        own = test_variance(np.float64(0.5), noise.size) if noise.sd is None else noise.sd**2
        step = float(np.clip(4 * np.sqrt(own + _SEED_SD**2), _SMALLEST_STEP, _LARGEST_STEP))
        step /= math.sqrt(len(members))
        mean = sum(member.score for member in members) / len(members)
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
        return cls(
            members, sigmoid(np.concatenate(places).astype(np.float64) * step), place - floor
        )

    def log_ratios(self, draws: Draws, n: float) -> Array:
        """Return the log likelihood of the scores moved to every mean, less that of the scores."""
        curve = draws.at(n)
        mean = sum(member.score for member in self.members) / len(self.members)
        base = scores_log_likelihood(self.members, n, curve, draws.tau)
        moved = [
            scores_log_likelihood(
                [m._replace(score=m.score + other - mean) for m in self.members],
                n,
                curve,
                draws.tau,
            )
            for other in self.means
        ]
        return np.asarray(np.stack(moved, axis=1) - base[:, None])


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
