"""What a forecast is based on, and whether the observed scores look like other curves."""

import math

import numpy as np

from labelcast.forecast.answer import Shares
from labelcast.forecast.observed import NoisyScore
from labelcast.forecast.particles import Draws
from labelcast.forecast.question import Question

_FALLS = 3.0
"""Sds of noise by which a score must fall to be called falling."""

_NEAR, _RARE = 4.0, 0.005
"""A score is unusual where fewer than this share of the draws lie within this many sds of it."""

_UNUSUAL_TAU = 0.06
"""Seed noise, as sd at 100 labels, above which a series is called erratic."""


def shares(start: Draws, coslow: Draws | None, scores: Draws | None, both: Draws) -> Shares:
    """Return how much of the answer comes from where; the three sum to 1.

    Args:
        start: the curve before anything is known.
        coslow: given CoS-Low alone, None where there is none.
        scores: given the scores alone, None where there are none.
        both: given all of it.
    """
    first, last = _variance(start), _variance(both)
    by_coslow = _variance(coslow) if coslow is not None else first
    by_scores = _variance(scores) if scores is not None else first
    of_coslow = max((first - by_coslow) + (by_scores - last), 0.0) / 2
    of_scores = max((first - by_scores) + (by_coslow - last), 0.0) / 2
    # A calibration may know less than the prior: its share is then 0.
    of_coslow = of_coslow if coslow is not None else 0.0
    of_scores = of_scores if scores is not None else 0.0
    total = of_coslow + of_scores + last
    return Shares(of_coslow / total, of_scores / total, last / total)


def _variance(draws: Draws) -> float:
    """Return the variance of the mean score over the curve."""
    scores = draws.mean_scores()
    mean = draws.weights @ scores
    return float(draws.weights @ (scores - mean) ** 2)


def scores_warnings(question: Question, before: Draws, draws: Draws) -> list[str]:
    """Return warnings where the scores fall, scatter, or lie outside all known curves.

    Args:
        question: with the scores.
        before: draws before the scores.
        draws: given all.
    """
    scores = question.scores.all
    if not scores:
        return []
    warnings = []
    fall = _largest_fall(question)
    show = question.scale.from_unit
    if fall is not None:
        (n, high), (m, low) = fall
        verb = "rise" if question.scale.falls else "fall"
        warnings.append(
            f"the scores {verb} from {show(high):.3g} at {n:,.0f} to {show(low):.3g} at {m:,.0f} "
            "labels, more than their test sets explain: check these runs (a failed training run, "
            "another test set?) before you trust the forecast; the interval is wider because of it"
        )
    tau = float(draws.weights @ draws.tau)
    if fall is None and tau > _UNUSUAL_TAU and len(scores) > 1:
        warnings.append(
            f"the scores scatter by about {tau:.2f} between training runs at 100 labels: average "
            "several seeds at each budget"
        )
    unusual = [score for score in scores if _like(score, before) < _RARE]
    if unusual:
        n, value, _ = unusual[0]
        warnings.append(
            f"hardly any known curve is at {show(value):.3g} with {n:,.0f} labels: the forecast "
            "goes beyond what its prior has seen"
        )
    return warnings


def _like(score: NoisyScore, before: Draws) -> float:
    """Return the share of the draws that a score is within four sds of its noise of."""
    expected = before.at(score.n)
    sd = np.sqrt(score.noise.variance(expected, score.n, before.tau))
    return float(before.weights[np.abs(expected - score.score) <= _NEAR * sd].sum())


def _largest_fall(question: Question) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Return the largest fall that test-set noise does not explain: two (labels, score) pairs."""
    worst, found = _FALLS, None
    highest: list[tuple[float, float, float]] = []
    for n, score, noise in question.scores.all:
        variance = float(noise.variance(score, n, np.float64(0.02)))
        for m, other, before in highest:
            size = (other - score) / math.sqrt(before + variance)
            if m < n and size > worst:
                worst, found = size, ((m, other), (n, score))
        if not highest or score > highest[-1][1]:
            highest.append((n, score, variance))
    return found
