"""Observed scores from 0 to 1: their noise, their groups, and their likelihood under a curve."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from labelcast.forecast.efficiency import Array

ASSUMED_SIZE = 500
"""Test examples assumed behind a score where its noise is not given."""

NOISE_FLOOR = 10.0
"""Below this many labels the seed noise does not grow further."""

DEGREES = 3.0
"""Degrees of freedom of the noise: failed training runs give it heavy tails."""

SMALLEST_SD = 1e-4

MISFIT = 0.003
"""How far the best curve of a family misses a measured one, as an sd at a score of one half."""

LOSS_MISFIT = 0.015
"""The same for losses of several runs at n labels, which share it; see `evidence.losses`."""

CLOSE = 0.03
"""Budgets closer than this, in log(labels), share one evaluation of the curves where there are
many of them."""

_MANY = 64

_TYPICAL_TAU = 0.02
"""Seed noise, as sd at 100 labels, where it is not known."""

_FALLS = 3.0
"""Sds of noise by which a score must fall to be called falling."""


def seed_variance(scores: npt.ArrayLike, n: float, tau: npt.ArrayLike) -> Array:
    """Return the variance that the training seed gives a score, of the same shape.

    `tau` is the sd at 100 labels and a score of one half.
    """
    shrinking = math.sqrt(max(n, NOISE_FLOOR) / 100)
    values, sd = np.asarray(scores, dtype=np.float64), np.asarray(tau, dtype=np.float64)
    return np.asarray(sd**2 / shrinking * 4 * values * (1 - values))


def test_variance(scores: npt.ArrayLike, size: float) -> Array:
    """Return the variance that a test set of `size` examples gives a mean score.

    One success and one failure more are counted, so that a perfect score has noise too.
    """
    values = np.asarray(scores, dtype=np.float64)
    if math.isinf(size):
        return np.zeros_like(values)
    share = (values * size + 1) / (size + 2)
    return np.asarray(share * (1 - share) / size)


def log_likelihood(residuals: Array, variances: Array) -> Array:
    """Return the log density of Student's t noise with 3 degrees of freedom, up to a constant."""
    half = (DEGREES + 1) / 2
    return np.asarray(-half * np.log1p(residuals**2 / variances / DEGREES) - np.log(variances) / 2)


@dataclass(frozen=True)
class Noise:
    """Noise of an observed score.

    Attributes:
        size: examples in the test set; infinite where the score is not a mean over examples.
        sd: sd of the test set, in place of what the size gives; None where unknown.
        total: whether `sd` includes the noise of the training seed.
        shared: what several scores at n labels share, as an sd at a score of one half: it does not
            shrink in their mean.
    """

    size: float = ASSUMED_SIZE
    sd: float | None = None
    total: bool = False
    shared: float = 0.0

    def variance(self, scores: npt.ArrayLike, n: float, tau: npt.ArrayLike) -> Array:
        """Return the variance of a score whose expected values are these, of the same shape."""
        own = test_variance(scores, self.size) if self.sd is None else self.sd**2
        seed = 0.0 if self.total else seed_variance(scores, n, tau)
        values = np.asarray(scores, dtype=np.float64)
        misfit = SMALLEST_SD + MISFIT * 4 * values * (1 - values)
        return np.asarray(own + seed + misfit**2)


class NoisyScore(NamedTuple):
    """A score from 0 to 1, higher is better, with its noise."""

    n: float
    score: float
    noise: Noise

    def typical_variance(self) -> float:
        """Return the variance of its noise with the seed noise of most tasks."""
        return float(self.noise.variance(self.score, self.n, np.float64(_TYPICAL_TAU)))


class MeanScore(NamedTuple):
    """The mean of the scores at n labels, and the variance of its noise."""

    n: float
    score: float
    variance: float

    @classmethod
    def of(cls, members: Sequence[NoisyScore]) -> "MeanScore":
        """Return the mean of scores at the same number of labels."""
        runs = len(members)
        variance = sum(member.typical_variance() for member in members) / runs**2
        return cls(members[0].n, sum(member.score for member in members) / runs, variance)

    def above(self, score: float, variance: float) -> float:
        """Return how many sds of noise it lies above a score with a variance."""
        return (self.score - score) / math.sqrt(self.variance + variance)


@dataclass(frozen=True)
class Scores:
    """All observed scores, by rising labels."""

    all: tuple[NoisyScore, ...] = ()

    @property
    def distinct(self) -> int:
        """How many different numbers of labels were tried."""
        return len({score.n for score in self.all})

    @property
    def most_labels(self) -> int:
        """The largest number of labels tried, 0 without scores."""
        return int(self.all[-1].n) if self.all else 0

    @property
    def means(self) -> "list[MeanScore]":
        """The mean score at each number of labels, by rising labels."""
        return [MeanScore.of(list(there)) for _, there in groupby(self.all, key=lambda s: s.n)]

    @property
    def noise(self) -> Noise:
        """The noise of one more score: the last known one without the noise of its seed."""
        own = [score.noise for score in self.all if not score.noise.total]
        return (own or [score.noise for score in self.all] or [Noise()])[-1]

    def largest_fall(self) -> "tuple[MeanScore, MeanScore] | None":
        """Return the two means of the largest fall that noise does not explain, if any."""
        worst, found = _FALLS, None
        highest: list[MeanScore] = []
        for score in self.means:
            for before in highest:
                size = before.above(score.score, score.variance)
                if size > worst:
                    worst, found = size, (before, score)
            if not highest or score.score > highest[-1].score:
                highest.append(score)
        return found

    @property
    def are_flat(self) -> bool:
        """Whether the mean score at the most labels is within one sd of noise of the first mean.

        False with a single number of labels.
        """
        first, *others = self.means
        return bool(others) and others[-1].above(first.score, first.variance) < 1

    def groups(self) -> list[tuple[float, list[NoisyScore]]]:
        """Return the scores grouped by labels; close budgets are joined where there are many."""
        width = CLOSE if self.distinct > _MANY else 0.0
        groups: list[tuple[float, list[NoisyScore]]] = []
        for score in self.all:
            if groups and math.log(score.n / groups[-1][1][0].n) <= width:
                groups[-1][1].append(score)
            else:
                groups.append((score.n, [score]))
        return [
            (math.exp(sum(math.log(s.n) for s in members) / len(members)), members)
            for _, members in groups
        ]


def scores_log_likelihood(
    members: Sequence[NoisyScore],
    n: float,
    curve: Array,
    tau: Array,
    shifts: npt.ArrayLike = (0.0,),
) -> Array:
    """Return the log likelihood under curves of scores at n labels, moved by each shift, [B, J].

    Args:
        members: the scores observed there.
        n: labels.
        curve: score of every curve there, [B].
        tau: seed noise of every curve, [B].
        shifts: added to all scores, [J].
    """
    moved = np.asarray(shifts, dtype=np.float64) - curve[:, None]
    total = np.zeros_like(moved)
    by_noise: dict[Noise, list[float]] = {}
    for score in members:
        by_noise.setdefault(score.noise, []).append(score.score)
    for noise, values in by_noise.items():
        shared = noise.shared * 4 * curve * (1 - curve)
        variances = (noise.variance(curve, n, tau) + (len(members) - 1) * shared**2)[:, None]
        for value in values:
            total += log_likelihood(value + moved, variances)
    return total
