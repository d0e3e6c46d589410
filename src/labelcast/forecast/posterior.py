"""What is known of a curve: draws of both families, weighed by scores, ends and CoS-Low.

Scores count a second time through the headroom rule: what share of the headroom (last score to 1)
tasks gain from here on. The rule knows no slope and no noise, and transports well to other models.
The draws are tilted until their mean gain lies part of the way to the rule's.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from typing import NamedTuple

import numpy as np

from labelcast.forecast import prior_draws
from labelcast.forecast.answer import Shares
from labelcast.forecast.efficiency import LARGEST_BUDGET, Array, AucEstimate
from labelcast.forecast.families import GainFamily, Prior, ScoreFamily
from labelcast.forecast.observed import Scores
from labelcast.forecast.particles import (
    FEW,
    FEW_IN_ORDER,
    Draws,
    Family,
    PriorDraws,
    condition,
    normalised,
    pooled,
)
from labelcast.forecast.prior_draws import gain_draws, score_draws
from labelcast.forecast.question import Question

SHARE_WITH_CEILING, SHARE_WITH_COSLOW = 0.8, 0.5
"""Shares of the published gain curves where the ceiling is known (the gain is what decides), and
where only CoS-Low is (the task is one of a fine-tuned language model). Elsewhere they are left
out."""

HEADROOM_FACTORS = (2.0, 4.0, 8.0, 16.0, 32.0)
"""The rule's share is a mean over the last budget times these factors, up to 5,000 labels."""

HEADROOM_WEIGHT = 0.75
"""After m budgets the draws go HEADROOM_WEIGHT / m of the way to the rule."""

_LARGEST_MOVE = 1.0
"""The mean gain moves by at most this many of its standard deviations."""

_LEAST_SD = 1e-6
_TAIL = 1e-3
_LOGIT_TO_NORMAL = 1 / 1.702
"""A logit times this is close to the normal quantile of the same probability."""

_LOW = 0.2
"""Below this score the rule counts less, in proportion: its curves have no such scores."""

_BINS = 256
_PLAIN = 4096
"""Draws where no score picks a few of them."""

_SMALLEST_SD = 1e-3


@dataclass(frozen=True, eq=False)
class Tilt:
    """A tilt of draws towards the headroom rule.

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
        because the normal score is approximate; where it is not, the tilt stays small.
        """
        total = weights.sum(axis=0)
        mean = self.gained @ weights / total
        second = self.gained**2 @ weights / total
        sd = np.sqrt(np.maximum(second - mean**2, 0.0))
        asked = self.weight * (self.rule - mean) / np.maximum(sd, _LEAST_SD)
        moves = np.where(sd > _LEAST_SD, np.clip(asked, -_LARGEST_MOVE, _LARGEST_MOVE), 0.0)
        order = np.argsort(self.gained, kind="stable")
        ranked = weights[order]
        ranks = np.clip((np.cumsum(ranked, axis=0) - ranked / 2) / total, _TAIL, 1 - _TAIL)
        factors = np.empty_like(weights)
        factors[order] = np.exp(moves * _LOGIT_TO_NORMAL * np.log(ranks / (1 - ranks)))
        return factors


class Part(NamedTuple):
    """What one family knows.

    Attributes:
        given: its draws given the scores, before the tilt.
        before: the same before the scores.
        share: share of the family in the forecast.
        tilt: towards the headroom rule, None without one.
    """

    given: Draws
    before: Draws
    share: float
    tilt: Tilt | None = None

    def final(self) -> Draws:
        """Return the draws after the tilt."""
        if self.tilt is None:
            return self.given
        weights = self.given.weights
        tilted = weights * self.tilt.factors(weights[:, None])[:, 0]
        return replace(self.given, weights=normalised(np.log(tilted + 1e-300)))


@dataclass(frozen=True, eq=False)
class Posterior:
    """Draws at each stage of what is known.

    Attributes:
        start: before scores and CoS-Low.
        by_card: given CoS-Low alone; `start` without it.
        by_scores: given scores alone.
        final: given all.
        parts: each family given all.
    """

    start: Draws
    by_card: Draws
    by_scores: Draws
    final: Draws
    parts: tuple[Part, ...]

    def shares(self, *, card_is_start: bool) -> Shares:
        """Return how much of the forecast comes from where.

        Args:
            card_is_start: whether the card leaves CoS-Low out: the mean of its tasks is then the
                best guess before anything of this task is known.
        """
        before = self.by_card if card_is_start else self.start
        by_scores = self.final if card_is_start else self.by_scores
        first, card, scores, last = (
            _variance(draws) for draws in (before, self.by_card, by_scores, self.final)
        )
        # A calibration may know less than the prior: its share is then 0.
        of_coslow = max((first - card) + (scores - last), 0.0) / 2
        of_scores = max((first - scores) + (card - last), 0.0) / 2
        total = of_coslow + of_scores + last
        return Shares(of_coslow / total, of_scores / total, last / total)


def posterior(question: Question, estimate: AucEstimate | None) -> Posterior:
    """Weigh the draws by all that a question knows, and by the AUC that CoS-Low predicts."""
    if not question.in_scores:
        start = _plain_gains()
        final = start if estimate is None else predicted_auc(start, start, estimate)
        return Posterior(start, final, start, final, (Part(final, start, 1.0),))
    parts = given_scores(
        Prior.load(), question, published=estimate is not None or question.ceiling is not None
    )
    start = pooled([(part.before, part.share) for part in parts])
    by_scores = joined(parts)
    if estimate is None:
        return Posterior(start, start, by_scores, by_scores, tuple(parts))
    by_card = pooled(
        [(predicted_auc(part.before, part.before, estimate), part.share) for part in parts]
    )
    given = [
        part._replace(given=predicted_auc(part.given, part.before, estimate)) for part in parts
    ]
    return Posterior(start, by_card, by_scores, joined(given), tuple(given))


@cache
def _plain_gains() -> Draws:
    """Return draws of the published gain curves before anything is known, in gains."""
    prior = Prior.load()
    family = GainFamily(prior, 0.0, 1.0)
    return condition(family, PriorDraws.of(family, *gain_draws(prior, _PLAIN)), Scores())[0]


def joined(parts: Sequence[Part]) -> Draws:
    """Return the draws of all parts, each with its share."""
    return pooled([(part.final(), part.share) for part in parts])


def given_scores(prior: Prior, question: Question, *, published: bool) -> list[Part]:
    """Return each family's draws given the scores and the ends that a question knows.

    For frozen models the prior has flat curves too, and neither the published gain curves nor the
    headroom rule count: both come from fine-tuning. The published curves end at 5,000 labels: with
    a score beyond, they do not count either.

    Args:
        prior: the fitted numbers.
        question: what is known.
        published: whether the published gain curves have a share.
    """
    scores = question.scores
    loss, frozen = question.scale.metric == "loss", question.frozen
    published = published and not frozen and scores.most_labels <= LARGEST_BUDGET
    ends = question.zero_shot, question.ceiling
    few = FEW_IN_ORDER if len(scores.all) <= (2 if published else 3) else FEW
    part = _part(partial(_score_prior, prior, *ends, loss, frozen), scores, few)
    if scores.all and not published and not loss and not frozen:
        part = part._replace(tilt=headroom_tilt(part.given, prior, scores))
    if loss or not published:
        return [part]
    gains = _part(partial(_gain_prior, prior, *ends), scores, few)
    share = SHARE_WITH_COSLOW if question.ceiling is None else SHARE_WITH_CEILING
    return [part._replace(share=1 - share), gains._replace(share=share)]


def _part(drawn: Callable[[int], tuple[Family, PriorDraws]], scores: Scores, few: float) -> Part:
    family, prior = drawn(prior_draws.DRAWS)
    if scores.all and prior.explaining(family, scores) < few:
        family, prior = drawn(prior_draws.MORE_DRAWS)
    before, given = condition(family, prior, scores, few)
    return Part(given, before, 1.0)


# Several forecasts in a row, for example for a report, have the same ends and the same draws.
@lru_cache(maxsize=2)
def _score_prior(
    prior: Prior,
    zero_shot: float | None,
    ceiling: float | None,
    losses: bool,
    frozen: bool,
    draws: int,
) -> tuple[Family, PriorDraws]:
    family = ScoreFamily(zero_shot, ceiling, frozen)
    drawn = score_draws(prior, losses=losses, frozen=frozen, draws=draws)
    return family, PriorDraws.of(family, *drawn)


@lru_cache(maxsize=2)
def _gain_prior(
    prior: Prior, zero_shot: float | None, ceiling: float | None, draws: int
) -> tuple[Family, PriorDraws]:
    family = GainFamily(prior, zero_shot, ceiling)
    return family, PriorDraws.of(family, *gain_draws(prior, draws))


def headroom_tilt(draws: Draws, prior: Prior, scores: Scores) -> Tilt | None:
    """Return the tilt of draws given scores; None where the rule says nothing of later budgets."""
    n, score, _ = scores.means[-1]
    later = [n * factor for factor in HEADROOM_FACTORS if n * factor <= LARGEST_BUDGET]
    if not later:
        return None
    here = draws.at(n)
    left = np.maximum(1 - here, 1e-9)
    gained = np.mean([(draws.at(m) - here) / left for m in later], axis=0)
    rule = float(np.interp(np.log(n), np.log(prior.headroom_n), prior.headroom_share))
    weight = HEADROOM_WEIGHT / scores.distinct * min(1.0, score / _LOW)
    return Tilt(np.asarray(gained), rule, weight)


def predicted_auc(draws: Draws, before: Draws, estimate: AucEstimate) -> Draws:
    """Replace the distribution of the area in the draws `before` by a prediction of it.

    A calibrated AUC is a regression on CoS-Low, centred already: to multiply it with the prior's
    density would shrink it to the prior's mean once more. A normal density, as wide as the
    prediction's t distribution, so that a higher prediction always favours larger areas.
    """
    sd, df = estimate.sd, estimate.df
    if df > 2:
        sd *= math.sqrt(df / (df - 2))
    # One ceiling for all draws: a large area is evidence of a steep curve, not of a low ceiling.
    ceiling = float(draws.weights @ draws.ceiling)
    areas = draws.under(ceiling).areas()
    predicted = -0.5 * ((areas - estimate.mean) / max(sd, _SMALLEST_SD)) ** 2
    return draws.reweighted(predicted - np.log(_density_of_area(before.under(ceiling), areas)))


def _density_of_area(draws: Draws, at: Array) -> Array:
    """Return the density of the draws' area at areas, [n], above 0.

    Smoothed by a Gaussian kernel of Silverman's width.
    """
    areas = draws.areas()
    mean = float(draws.weights @ areas)
    sd = math.sqrt(float(draws.weights @ (areas - mean) ** 2))
    width = max(0.9 * sd * len(areas) ** -0.2, 1e-3)
    counts, edges = np.histogram(areas, bins=_BINS, range=(0.0, 1.0), weights=draws.weights)
    middle = (edges[1:] + edges[:-1]) / 2
    kernel = np.exp(-0.5 * ((middle[:, None] - middle) / width) ** 2)
    # Divided by the kernel's mass within the range that occurs, so that its ends do not sag.
    inside = (middle >= areas.min()) & (middle <= areas.max())
    density = (kernel @ counts) / np.maximum(kernel @ inside, 1e-12)
    return np.asarray(np.maximum(np.interp(at, middle, density), 1e-3 * density.max()))


def _variance(draws: Draws) -> float:
    """Return the variance of the mean score over the curve."""
    scores = draws.mean_scores()
    mean = draws.weights @ scores
    return float(draws.weights @ (scores - mean) ** 2)
