"""Weighted draws of learning curves, and how observed scores weigh them."""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np

from labelcast.forecast.distributions import lattice_normals
from labelcast.forecast.efficiency import GRID, LARGEST_BUDGET, Array, log_position
from labelcast.forecast.observed import NoisyScore, Scores, scores_log_likelihood
from labelcast.forecast.options import LARGEST_HORIZON

_BELOW_1000 = (1, 2, 4, 7, 10, 15, 20, 32, 50, 70, 100, 140, 200, 300, 500, 700)
_FROM_1000 = (1, 1.5, 2.5, 3.5, 5, 7, 10, 15, 25, 50, 100, 250)

NODES = np.array([*_BELOW_1000, *(1000 * n for n in _FROM_1000), LARGEST_HORIZON], dtype=np.float64)
"""Labels at which every curve is evaluated; between them it is linear in log(labels)."""

LOG_NODES = np.log(NODES)

FEW, FEW_IN_ORDER = 200.0, 16.0
"""With fewer effective draws than this, more are made; where those are too few as well, new ones
near the better ones replace them. That breaks the order of scores a little: with few scores the
smaller number applies."""

_AMPLE = 1500.0
"""Effective draws that each step of a refinement keeps."""

_REFINED, _PLENTY = 4096, 8192
_NEGLIGIBLE, _MOST_KEPT = 1e-12, 16_384
"""Draws lighter than this share of the heaviest are dropped; at most this many are kept."""

_MOST_STEPS = 24
_KEPT = 0.97
"""Shrinkage of a refinement: new draws keep the mean and the spread of the old ones."""


class Family(Protocol):
    """A family of curves, given by parameters."""

    def curves(self, parameters: Array) -> Array:
        """Return the scores at `NODES`, [B, G], never falling."""

    def zero_shot(self, parameters: Array, curves: Array) -> Array:
        """Return the score without labels, [B]."""

    def ceiling(self, parameters: Array, curves: Array, zero_shot: Array) -> Array:
        """Return the ceiling that the gain is measured by, [B]."""

    def tau(self, parameters: Array) -> Array:
        """Return the sd of the seed noise at 100 labels, [B]."""

    def log_weight(self, parameters: Array, curves: Array) -> Array:
        """Return the log likelihood of what is known apart from the scores, [B]."""


@dataclass(frozen=True, eq=False)
class Draws:
    """Weighted draws of curves.

    Attributes:
        curves: scores at `NODES`, [B, G], never falling.
        zero_shot, ceiling: scores, [B].
        tau: sd of the seed noise at 100 labels, [B].
        weights: [B], sum 1.
    """

    curves: Array
    zero_shot: Array
    ceiling: Array
    tau: Array
    weights: Array

    def at(self, n: float) -> Array:
        """Return the score of every draw at n labels (0 to 10^6), [B]."""
        if n < 1:
            return self.zero_shot
        return at_labels(self.curves, n)

    def gains_at(self, n: float) -> Array:
        """Return the gain of every draw at n labels: 0 at zero-shot, 1 at the ceiling, [B]."""
        span = np.maximum(self.ceiling - self.zero_shot, 1e-9)
        return np.asarray(np.clip((self.at(n) - self.zero_shot) / span, 0.0, 1.0))

    def areas(self) -> Array:
        """Return the data efficiency (AUC) of every draw, [B].

        Source: Je and Raffel (2025): the trapezoidal area of the gains at 0, 50, ... 5,000 labels.
        """
        gains = np.stack([self.gains_at(n) for n in GRID], axis=1)
        return np.asarray((gains[:, 1:] + gains[:, :-1]) @ np.diff(log_position(GRID)) / 2)

    def mean_scores(self) -> Array:
        """Return the mean score of every draw over log(labels) from 1 to 5,000, [B]."""
        steps = np.diff(LOG_NODES[NODES <= LARGEST_BUDGET])
        shares = np.convolve(steps, [0.5, 0.5]) / steps.sum()
        return np.asarray(self.curves[:, : len(shares)] @ shares)

    def under(self, ceiling: float) -> "Draws":
        """Return the draws with one ceiling for all."""
        return replace(self, ceiling=np.full(len(self.ceiling), ceiling))

    def labels_for_score(self, score: float | Array) -> Array:
        """Return the labels at which every draw first reaches a score, [B]; infinite if never."""
        asked = np.broadcast_to(np.asarray(score, dtype=np.float64), (len(self.curves),))
        reached = self.curves >= asked[:, None] - 1e-12
        right = np.argmax(reached, axis=1)
        left = np.maximum(right - 1, 0)
        rows = np.arange(len(asked))
        below, above = self.curves[rows, left], self.curves[rows, right]
        rise = above - below
        share = np.divide(asked - below, rise, out=np.ones_like(rise), where=rise > 0)
        log_n = LOG_NODES[left] + np.clip(share, 0.0, 1.0) * (LOG_NODES[right] - LOG_NODES[left])
        return np.where(reached.any(axis=1), np.exp(log_n), np.inf)

    def labels_for_gain(self, fraction: float) -> Array:
        """Return the labels at which every draw reaches a fraction of the gain, [B]."""
        return self.labels_for_score(self.zero_shot + fraction * (self.ceiling - self.zero_shot))

    def reweighted(self, log_factor: Array) -> "Draws":
        """Multiply the weights by exp(log_factor), [B]."""
        return replace(self, weights=normalised(np.log(self.weights + 1e-300) + log_factor))


def normalised(log_weights: Array) -> Array:
    """Return weights that sum to 1, from their logarithms."""
    weights = np.exp(log_weights - log_weights.max())
    return np.asarray(weights / weights.sum())


def effective(weights: Array) -> float:
    """Return the effective number of draws."""
    return float(1 / (weights**2).sum())


def at_labels(curves: Array, n: float) -> Array:
    """Interpolate curves at `NODES` linearly in log(labels), [B]."""
    x = min(max(math.log(n), LOG_NODES[0]), LOG_NODES[-1])
    right = int(np.clip(np.searchsorted(LOG_NODES, x), 1, len(NODES) - 1))
    share = (x - LOG_NODES[right - 1]) / (LOG_NODES[right] - LOG_NODES[right - 1])
    left = curves[:, right - 1]
    return np.asarray(left + share * (curves[:, right] - left))


def pooled(parts: list[tuple[Draws, float]]) -> Draws:
    """Join draws, each part with its share."""

    def all_of(name: str) -> Array:
        return np.concatenate([getattr(draws, name) for draws, _ in parts])

    return Draws(
        curves=all_of("curves"),
        zero_shot=all_of("zero_shot"),
        ceiling=all_of("ceiling"),
        tau=all_of("tau"),
        weights=np.concatenate([share * draws.weights for draws, share in parts]),
    )


class PriorDraws(NamedTuple):
    """Draws of a family before the scores.

    Attributes:
        parameters: parameters of the prior, [B, P].
        curves: their scores at `NODES`, [B, G].
        ends: log likelihood of the known ends, [B].
        log_weights: log weights of the prior, [B].
    """

    parameters: Array
    curves: Array
    ends: Array
    log_weights: Array

    @classmethod
    def of(cls, family: Family, parameters: Array, weights: Array) -> "PriorDraws":
        """Return draws of the prior, [B, P], with their weights, [B]."""
        curves = family.curves(parameters)
        ends = family.log_weight(parameters, curves)
        return cls(parameters, curves, ends, np.log(weights + 1e-300))

    def explaining(self, family: Family, scores: Scores) -> float:
        """Return how many effective draws explain the known ends and the scores."""
        fit = self.ends + _log_likelihood(family, self.parameters, self.curves, scores.groups())
        return effective(normalised(self.log_weights + fit))


def condition(
    family: Family, prior: PriorDraws, scores: Scores, few: float = FEW_IN_ORDER
) -> tuple[Draws, Draws]:
    """Weigh draws of a family by the known ends alone, and by observed scores too.

    Where few draws explain what is known, they are replaced in steps: it counts with a rising
    power, draws are resampled and moved, and mean and covariance stay (Liu and West 2001). The
    moves come from a lattice, so the result is the same every time.

    Args:
        family: the family of curves.
        prior: its draws.
        scores: the observed scores.
        few: effective draws below which they are replaced.

    Returns:
        The draws before the scores, and given them.
    """
    # Without scores fewer draws will do.
    some = slice(None, None, max(len(prior.parameters) // _PLENTY, 1))
    before = _weighed(family, PriorDraws(*(part[some] for part in prior)), Scores(), few)
    return before, _weighed(family, prior, scores, few) if scores.all else before


def _weighed(family: Family, prior: PriorDraws, scores: Scores, few: float) -> Draws:
    """Weigh draws by all that is known."""
    groups = scores.groups()
    parameters, curves, ends, log_weights = prior
    fit = ends + _log_likelihood(family, parameters, curves, groups)
    left = 1.0
    for step in range(_MOST_STEPS):
        weights = normalised(log_weights + left * fit)
        if effective(weights) >= few:
            break
        power = _power(log_weights, fit, left)
        parameters = _moved(parameters, normalised(log_weights + power * fit), step)
        left -= power
        log_weights = np.full(len(parameters), -math.log(len(parameters)))
        curves = family.curves(parameters)
        fit = family.log_weight(parameters, curves)
        fit += _log_likelihood(family, parameters, curves, groups)
    else:
        weights = normalised(log_weights + left * fit)
    least = _NEGLIGIBLE * weights.max()
    if len(weights) > _MOST_KEPT:
        least = max(least, float(np.partition(weights, -_MOST_KEPT)[-_MOST_KEPT]))
    used = weights >= least
    parameters, curves, weights = parameters[used], curves[used], weights[used]
    zero_shot = family.zero_shot(parameters, curves)
    ceiling = family.ceiling(parameters, curves, zero_shot)
    return Draws(curves, zero_shot, ceiling, family.tau(parameters), weights / weights.sum())


def _log_likelihood(
    family: Family, parameters: Array, curves: Array, groups: list[tuple[float, list[NoisyScore]]]
) -> Array:
    """Return the log likelihood of the scores, [B]."""
    tau = family.tau(parameters)
    total = np.zeros(len(parameters))
    for n, members in groups:
        total += scores_log_likelihood(members, n, at_labels(curves, n), tau)[:, 0]
    return total


def _power(log_weights: Array, fit: Array, left: float) -> float:
    """Return the largest power, up to what is left, that keeps `_AMPLE` effective draws."""
    low, high = 0.0, left
    for _ in range(30):
        middle = (low + high) / 2
        if effective(normalised(log_weights + middle * fit)) >= _AMPLE:
            low = middle
        else:
            high = middle
    return max(low, left / _MOST_STEPS)


def _moved(parameters: Array, weights: Array, step: int) -> Array:
    """Resample draws and move them a little: their mean and covariance stay, [B, P]."""
    count = min(len(parameters), _REFINED)
    mean = weights @ parameters
    centred = parameters - mean
    covariance = (centred * weights[:, None]).T @ centred
    scale = np.sqrt(np.diag(covariance)) + 1e-9
    root = np.linalg.cholesky(covariance / np.outer(scale, scale) + 1e-6 * np.eye(len(scale)))
    places = np.searchsorted(np.cumsum(weights), (np.arange(count) + 0.5) / count)
    chosen = centred[np.minimum(places, len(centred) - 1)]
    moves = lattice_normals(count, len(scale), step + 1) @ root.T * scale
    return np.asarray(mean + _KEPT * chosen + math.sqrt(1 - _KEPT**2) * moves)
