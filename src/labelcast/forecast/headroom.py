"""The headroom rule as a second opinion: what share of the headroom tasks gain from here on.

The rule (last score + share of what is left to 1) knows no slope and no noise, and transports well
to other models. The draws are tilted until their mean gain lies part of the way to the rule's.
"""

from dataclasses import dataclass

import numpy as np

from labelcast.forecast.efficiency import LARGEST_BUDGET, Array
from labelcast.forecast.families import Prior
from labelcast.forecast.particles import Draws

FACTORS = (2.0, 4.0, 8.0, 16.0, 32.0)
"""The share is a mean over the last budget times these factors, up to 5,000 labels."""

WEIGHT = 0.75
"""After m budgets the draws go WEIGHT / m of the way to the rule."""

_LARGEST_MOVE = 1.0
"""The mean gain moves by at most this many of its standard deviations."""

_LEAST_SD = 1e-6
_TAIL = 1e-3
_LOGIT_TO_NORMAL = 1 / 1.702
"""A logit times this is close to the normal quantile of the same probability."""

_LOW = 0.2
"""Below this score the rule counts less, in proportion: its curves have no such scores."""


@dataclass(frozen=True, eq=False)
class Tilt:
    """A tilt of draws towards the rule.

    Attributes:
        gained: mean share of the headroom that every draw gains later, [B].
        rule: the same share by the rule.
        weight: how far to go, 0 to 1.
    """

    gained: Array
    rule: float
    weight: float

    def factors(self, weights: Array) -> Array:
        """Return what weights are to be multiplied by, [B, C], for weights of any sum, [B, C].

        An exponential tilt in the normal score of a draw's rank by its gain, by as many standard
        deviations as the mean is to move. Where the gain is normal the mean moves 6 to 16% too far,
        for the normal score is approximate; where it is not, the tilt stays tame.
        """
        total = weights.sum(axis=0)
        mean = self.gained @ weights / total
        second = self.gained**2 @ weights / total
        sd = np.sqrt(np.maximum(second - mean**2, 0.0))
        asked = self.weight * (self.rule - mean) / np.maximum(sd, _LEAST_SD)
        moves = np.where(sd > _LEAST_SD, np.clip(asked, -_LARGEST_MOVE, _LARGEST_MOVE), 0.0)
        order = np.argsort(self.gained, kind="stable")
        below = np.cumsum(weights[order], axis=0) - weights[order] / 2
        ranks = np.empty_like(weights)
        ranks[order] = np.clip(below / total, _TAIL, 1 - _TAIL)
        return np.asarray(np.exp(moves * (np.log(ranks) - np.log1p(-ranks)) * _LOGIT_TO_NORMAL))


def tilt(draws: Draws, prior: Prior, last: tuple[float, float], distinct: int) -> Tilt | None:
    """Return the tilt after a last score; None where the rule does not apply.

    Args:
        draws: given the observed scores.
        prior: with the published shares.
        last: labels behind the last score, and the score.
        distinct: how many budgets were observed: the more, the better the draws know.
    """
    n, score = last
    later = [n * factor for factor in FACTORS if n * factor <= LARGEST_BUDGET]
    if not later:
        return None
    here = draws.at(n)
    left = np.maximum(1 - here, 1e-9)
    gained = np.mean([(draws.at(m) - here) / left for m in later], axis=0)
    rule = float(np.interp(np.log(n), np.log(prior.headroom_n), prior.headroom_share))
    return Tilt(np.asarray(gained), rule, WEIGHT / distinct * min(1.0, score / _LOW))
