"""Observed scores: what was measured, with how much noise, grouped by the labels behind it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from labelcast.forecast.efficiency import Array
from labelcast.forecast.score_curves import log_likelihood, seed_variance, test_variance

ASSUMED_SIZE = 500
"""Test examples assumed behind a score where its noise is not given."""

SMALLEST_SD = 1e-4

MISFIT = 0.003
"""How far, as an sd at a score of one half, the best curve of a family passes by a measured one."""

CLOSE = 0.03
"""Budgets closer than this, in log(labels), share one evaluation of the curves where there are
many of them."""

_MANY = 64


class ScoreObservation(NamedTuple):
    """A score observed at a budget (labels), and the sd of its noise."""

    budget: float
    score: float
    sd: float


@dataclass(frozen=True)
class Noise:
    """Noise of an observed score.

    Attributes:
        size: examples in the test set; infinite where the score is no mean over examples.
        sd: of the test set, in place of what the size gives; None where unknown.
        total: whether `sd` includes the noise of the training seed.
    """

    size: float = ASSUMED_SIZE
    sd: float | None = None
    total: bool = False

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


@dataclass(frozen=True)
class Scores:
    """All observed scores, by rising labels."""

    all: tuple[NoisyScore, ...] = ()

    @property
    def distinct(self) -> int:
        """How many different numbers of labels were tried."""
        return len({score.n for score in self.all})

    @property
    def last(self) -> tuple[float, float]:
        """The largest number of labels tried, and the mean score there."""
        n = self.all[-1].n
        values = [score.score for score in self.all if score.n == n]
        return n, sum(values) / len(values)

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
    members: Sequence[NoisyScore], n: float, curve: Array, tau: Array
) -> Array:
    """Return the log likelihood of scores at n labels under curves, [B].

    Args:
        members: the scores observed there.
        n: labels.
        curve: score of every curve there, [B].
        tau: seed noise of every curve, [B].
    """
    total = np.zeros(len(curve))
    by_noise: dict[Noise, list[float]] = {}
    for score in members:
        by_noise.setdefault(score.noise, []).append(score.score)
    for noise, values in by_noise.items():
        variances = noise.variance(curve, n, tau)
        for value in values:
            total += log_likelihood(value - curve, variances)
    return total
