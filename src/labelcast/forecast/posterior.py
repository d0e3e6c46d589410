"""What is known of a curve: draws of both families, weighed by scores, ends and CoS-Low."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np

from labelcast.forecast.calibration import AucEstimate
from labelcast.forecast.efficiency import Array
from labelcast.forecast.families import (
    GainFamily,
    Prior,
    ScoreFamily,
    gain_draws,
    score_draws,
)
from labelcast.forecast.headroom import Tilt, tilt
from labelcast.forecast.observed import Scores
from labelcast.forecast.particles import (
    FEW,
    FEW_IN_ORDER,
    Draws,
    Family,
    condition,
    normalised,
    pooled,
)
from labelcast.forecast.question import Question

SHARE_WITH_CEILING, SHARE_WITH_COSLOW = 0.8, 0.5
"""Shares of the published gain curves where the ceiling is known (the gain is what decides), and
where only CoS-Low is (the task is one of a fine-tuned language model). Elsewhere they are left
out."""

_BINS = 256
_PLAIN = 4096
"""Draws where no score picks a few of them."""

_SMALLEST_SD = 1e-3


class Part(NamedTuple):
    """What one family knows.

    Attributes:
        given: its draws given the scores, before the tilt.
        before: the same before the scores.
        share: of the family in the forecast.
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
        return replace(
            self.given,
            weights=normalised(
                np.log(weights * self.tilt.factors(weights[:, None])[:, 0] + 1e-300)
            ),
        )


@dataclass(frozen=True, eq=False)
class Posterior:
    """Draws at each stage of what is known.

    Attributes:
        start: before scores and CoS-Low.
        by_card: given CoS-Low alone, None without it.
        by_scores: given scores alone.
        final: given all.
        parts: each family given all.
    """

    start: Draws
    by_card: Draws | None
    by_scores: Draws
    final: Draws
    parts: tuple[Part, ...]


def posterior(question: Question, estimate: AucEstimate | None) -> Posterior:
    """Weigh the draws by all that a question knows, and by the AUC that CoS-Low predicts."""
    if not question.in_scores:
        start = plain_gains()
        by_card = None if estimate is None else predicted_auc(start, start, estimate)
        final = by_card or start
        return Posterior(start, by_card, start, final, (Part(final, start, 1.0),))
    parts = given_scores(
        Prior.load(), question, published=estimate is not None or question.ceiling is not None
    )
    start = pooled([(part.before, part.share) for part in parts])
    by_scores = joined(parts)
    if estimate is None:
        return Posterior(start, None, by_scores, by_scores, tuple(parts))
    by_card = pooled(
        [(predicted_auc(part.before, part.before, estimate), part.share) for part in parts]
    )
    given = [
        part._replace(given=predicted_auc(part.given, part.before, estimate)) for part in parts
    ]
    return Posterior(start, by_card, by_scores, joined(given), tuple(given))


@cache
def plain_gains() -> Draws:
    """Return draws of the published gain curves before anything is known, in gains."""
    prior = Prior.load()
    return condition(GainFamily(prior, 0.0, 1.0), *gain_draws(prior, _PLAIN), Scores())[0]


def joined(parts: Sequence[Part]) -> Draws:
    """Return the draws of all parts, each with its share."""
    return pooled([(part.final(), part.share) for part in parts])


def given_scores(prior: Prior, question: Question, *, published: bool) -> list[Part]:
    """Return each family's draws given the scores and the ends that a question knows.

    Args:
        prior: the fitted numbers.
        question: what is known.
        published: whether the published gain curves have a share.
    """
    scores = question.scores
    loss = question.scale.metric == "loss"
    ends = question.zero_shot, question.ceiling
    few = FEW_IN_ORDER if len(scores.all) <= (2 if published else 3) else FEW
    part = _part(ScoreFamily(*ends), score_draws(prior, losses=loss), scores, few)
    if scores.all and not published and not loss:
        part = part._replace(tilt=tilt(part.given, prior, scores.last, scores.distinct))
    if loss or not published:
        return [part]
    gains = _part(GainFamily(prior, *ends), gain_draws(prior), scores, few)
    share = SHARE_WITH_COSLOW if question.ceiling is None else SHARE_WITH_CEILING
    return [part._replace(share=1 - share), gains._replace(share=share)]


def _part(family: Family, drawn: tuple[Array, Array], scores: Scores, few: float) -> Part:
    before, given = condition(family, *drawn, scores, few)
    return Part(given, before, 1.0)


def measured_auc(draws: Draws, mean: float, sd: float) -> Draws:
    """Weigh draws by a measurement of the area with a normal error."""
    return draws.reweighted(-0.5 * ((draws.areas() - mean) / max(sd, _SMALLEST_SD)) ** 2)


def predicted_auc(draws: Draws, before: Draws, estimate: AucEstimate) -> Draws:
    """Replace the distribution of the area in the draws `before` by a prediction of it.

    A calibrated AUC is a regression on CoS-Low, centred already: to multiply it with the prior's
    density would shrink it to the prior's mean once more. A normal density, as wide as the
    prediction's t distribution, so that a higher prediction always favours larger areas.
    """
    sd = (
        estimate.sd * math.sqrt(estimate.df / (estimate.df - 2)) if estimate.df > 2 else estimate.sd
    )
    # One ceiling for all draws: a large area is evidence of a steep curve, not of a low ceiling.
    ceiling = float(draws.weights @ draws.ceiling)
    areas = draws.under(ceiling).areas()
    predicted = -0.5 * ((areas - estimate.mean) / max(sd, _SMALLEST_SD)) ** 2
    return draws.reweighted(predicted - np.log(_AreaDensity(before.under(ceiling)).at(areas)))


class _AreaDensity:
    """The density of the area, smoothed by a Gaussian kernel of Silverman's width."""

    def __init__(self, draws: Draws) -> None:
        areas = draws.areas()
        mean = float(draws.weights @ areas)
        sd = math.sqrt(float(draws.weights @ (areas - mean) ** 2))
        width = max(0.9 * sd * len(areas) ** -0.2, 1e-3)
        counts, edges = np.histogram(areas, bins=_BINS, range=(0.0, 1.0), weights=draws.weights)
        self.middle = (edges[1:] + edges[:-1]) / 2
        kernel = np.exp(-0.5 * ((self.middle[:, None] - self.middle) / width) ** 2)
        # Divided by the kernel's mass within the range that occurs, so that its ends do not sag.
        inside = (self.middle >= areas.min()) & (self.middle <= areas.max())
        self.density = (kernel @ counts) / np.maximum(kernel @ inside, 1e-12)

    def at(self, areas: Array) -> Array:
        """Return the density at areas, [n], above 0."""
        floor = 1e-3 * self.density.max()
        return np.asarray(np.maximum(np.interp(areas, self.middle, self.density), floor))
