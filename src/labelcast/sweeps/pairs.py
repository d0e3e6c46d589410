"""Two candidates beside each other: measured differences, who needs fewer labels, labels saved."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import NamedTuple

import numpy as np

from labelcast.forecast.chances import Chances
from labelcast.forecast.distributions import lattice_normals, normal_cdf, t_quantile
from labelcast.forecast.efficiency import Array
from labelcast.sweeps.candidates import Candidate

_DRAWS = 8192
_PRIOR_PAIRS = 8.0
"""Pairs of residuals whose weight a correlation of 0 has: few pairs say little."""


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

    def text(self) -> str:
        """The mean, with its interval if there is one."""
        interval = "" if self.low is None else f" ({self.low:+.3f} to {self.high:+.3f})"
        return f"{self.mean:+.3f}{interval}"


@dataclass(frozen=True)
class Pair:
    """Two candidates compared.

    Attributes:
        fewer: the chance that `first` needs fewer labels than `second`.
        more: the chance that it needs more; the rest is that they need the same number, or that
            neither reaches the target.
        correlation: correlation of the noise of their scores, from shared seeds; 0 where none are
            shared.
        differences: at the budgets with shared seeds.
    """

    first: str
    second: str
    fewer: float
    more: float
    correlation: float
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Saving:
    """The labels that a selector saves for the target against random ones, from both forecasts.

    Attributes:
        name, baseline: names of the candidate and of the one with random labels.
        selector: the method that chose the candidate's labels.
        after_labelling: whether these are examples to train on, of a labelled pool.
        saved, low, high: the median and the interval; below 0 where the selector needs more. Each
            candidate counts at most as many labels as the horizon.
        chance: that the selector needs fewer labels.
        differences: the score of the selector minus that of random labels, as measured.
    """

    name: str
    baseline: str
    selector: str
    after_labelling: bool
    saved: int
    low: int
    high: int
    chance: float
    differences: tuple[Difference, ...]


def pair_of(
    a: Candidate, b: Candidate, of_a: Chances | None, of_b: Chances | None, most: int, level: float
) -> Pair:
    """Two candidates, of which the chance of the target is `of_a` and `of_b`.

    `most` and `level` are those of the comparison; see `chance_of_fewer`.
    """
    scores_a, scores_b = a.by_seed(), b.by_seed()
    shared = sorted(scores_a.keys() & scores_b.keys())
    by_budget: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for key in shared:
        by_budget[key[0]].append((scores_a[key], scores_b[key]))
    correlation = _correlation(list(by_budget.values()))
    fewer, more = chance_of_fewer(of_a, of_b, most, correlation)
    differences = tuple(_difference(n, pairs, level) for n, pairs in by_budget.items())
    return Pair(a.name, b.name, fewer, more, correlation, differences)


def saving_of(
    one: Candidate,
    pair: Pair,
    chances: tuple[Chances | None, Chances | None],
    most: int,
    level: float,
) -> Saving:
    """What a selector saves, from its pair with random labels and the chances of both."""
    drawn = _joint_labels(*chances, most, pair.correlation)
    other, own = (np.minimum(labels, most) for labels in drawn)
    chance, sign, baseline = pair.more, -1, pair.first
    if pair.first == one.name:
        other, own = own, other
        chance, sign, baseline = pair.fewer, 1, pair.second
    tail = (1 - level) / 2
    low, saved, high = np.quantile(other - own, [tail, 0.5, 1 - tail]).round().astype(int).tolist()
    differences = tuple(_oriented(one, sign) for one in pair.differences)
    return Saving(
        one.name,
        baseline,
        one.selector,
        one.after_labelling,
        saved,
        low,
        high,
        chance,
        differences,
    )


def _oriented(found: Difference, sign: int) -> Difference:
    """A difference, or that of the second minus the first with a sign of -1."""
    if sign > 0:
        return found
    low = None if found.high is None else -found.high
    high = None if found.low is None else -found.low
    return found._replace(mean=-found.mean, low=low, high=high)


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
    a, b = _joint_labels(first, second, most, correlation)
    return float(np.mean(a < b)), float(np.mean(a > b))


def _joint_labels(
    first: Chances | None, second: Chances | None, most: int, correlation: float
) -> tuple[Array, Array]:
    """Draws of the labels of two candidates together; arguments as `chance_of_fewer`."""
    normals = lattice_normals(_DRAWS, 2, 11)
    other = correlation * normals[:, 0] + math.sqrt(1 - correlation**2) * normals[:, 1]
    return (
        _labels(first, np.asarray(normal_cdf(normals[:, 0])), most),
        _labels(second, np.asarray(normal_cdf(other)), most),
    )


def _labels(found: Chances | None, ranks: Array, most: int) -> Array:
    """Labels at ranks in [0, 1], infinite where the target is not reached within `most`."""
    if found is None:
        return np.zeros(len(ranks))
    labels, weights = found.sample()
    position = np.searchsorted(np.cumsum(weights), ranks * weights.sum())
    drawn = labels[np.minimum(position, len(labels) - 1)]
    return np.where(drawn > most, np.inf, drawn)
