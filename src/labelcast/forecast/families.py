"""The two families of curves behind a forecast.

`ScoreFamily` describes curves on the score's own scale and needs no ceiling: a sigmoid in
log(labels) that may jump once more. `GainFamily` holds the published curves of fine-tuned language
models as gains between zero-shot and a ceiling; it is used where CoS-Low or the ceiling is known.
The fitted numbers are in `prior.json`, which `python -m evidence.fit_prior` writes.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from labelcast.forecast.distributions import Mixture, normal_cdf
from labelcast.forecast.efficiency import GRID, Array, log_position
from labelcast.forecast.particles import LOG_NODES, NODES, at_labels

ETA, GAMMA, LOG_N0, LOG_C, LOG_D, LOG_TAU, ZERO_SHOT = range(7)
"""Columns of the parameters that are fitted: logit of the bottom, log of the rise to the top in
logits, log of the labels at the middle, two logs of exponents, log of the seed noise, and the logit
of the zero-shot score."""

FITTED = 7

JUMP, JUMP_N, GAP, BEND = range(FITTED, FITTED + 4)
"""Columns of what is assumed, each a standard normal number that `ScoreFamily` turns into a second
jump (as a share of the headroom), the labels where it happens, the gap from the score at 5,000
labels to the ceiling (as a share of the headroom), and the log of the power by which the curve
bends below 10 labels."""

JUMPING = 0.45
"""Share of the curves that jump a second time."""

JUMP_WIDTH = 0.3
"""Width of a jump, in units of log(labels)."""

_FIRST_JUMP, _LAST_JUMP = math.log(8), math.log(3e5)

_MEASURED = int(np.searchsorted(NODES, 10))
"""Place of 10 labels among the nodes: the smallest budget of the curves behind the prior."""

_PUBLISHED_END = float(GRID[-1])
_ZERO_SHOT_SCALE = 0.5
_UNRELATED, _UNRELATED_DENSITY = 0.15, 0.1
_GAP_SD, _GAP_MEAN = 0.03, 0.25
_GAP_ZERO, _GAP_ONE = 0.45, 0.2
"""Shares of the tasks whose ceiling is the score at 5,000 labels, and whose ceiling is 1: those of
the published curves. Between them the gap is uniform, as there."""

_LEAST_SPAN, _LEAST_GAIN = 0.02, 1e-3

EDGE = 0.05
"""Probability left beyond gain 0 and beyond gain 1 on the latent axis of gains."""


@dataclass(frozen=True, eq=False)
class Prior:
    """The fitted numbers.

    Attributes:
        scores, losses: over the fitted parameters, of scores and of exp(-loss).
        gains: over latent gains at 50, 100, ... 5,000 labels.
        zero_shots, ceilings: quantiles of the published curves at equal steps, [q].
        headroom_n, headroom_share: share of the headroom that the published curves gain beyond so
            many labels, [h].
        never_learned: share of flat curves for frozen models, chosen by
            `evidence.own_curves.frozen`, not fitted.
    """

    scores: Mixture
    losses: Mixture
    gains: Mixture
    zero_shots: Array
    ceilings: Array
    headroom_n: Array
    headroom_share: Array
    never_learned: float = 0.15

    @classmethod
    @cache
    def load(cls) -> "Prior":
        """Return the prior that ships with the package."""
        text = (Path(__file__).parent / "prior.json").read_text(encoding="utf-8")
        return cls.from_dict(json.loads(text))

    @classmethod
    def from_dict(cls, fitted: Mapping[str, Any]) -> "Prior":
        """Return the prior with these fitted numbers."""
        names = ("zero_shots", "ceilings", "headroom_n", "headroom_share")
        zero_shots, ceilings, n, share = (np.array(fitted[name], np.float64) for name in names)
        return cls(
            scores=Mixture.from_dict(fitted["scores"]),
            losses=Mixture.from_dict(fitted["losses"]),
            gains=Mixture.from_dict(fitted["gains"]),
            zero_shots=zero_shots,
            ceilings=ceilings,
            headroom_n=n,
            headroom_share=share,
        )


def sigmoid(x: Array) -> Array:
    """Return the logistic function of x, of the same shape."""
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -30, 30))))


def logit(score: npt.ArrayLike) -> Array:
    """Return the log odds of scores strictly between 0 and 1, of the same shape."""
    values = np.asarray(score, dtype=np.float64)
    return np.asarray(np.log(values) - np.log1p(-values))


def curve_scores(parameters: Array, log_n: Array) -> Array:
    """Return the scores of curves without noise and without a second jump, rising in log_n.

    A curve rises from a bottom to a top in log(labels) as a Burr distribution function does.

    Args:
        parameters: [B, P], the fitted ones first.
        log_n: natural logarithm of the labels, [G].

    Returns:
        Scores from 0 to 1, [B, G].
    """
    p = parameters.T[:, :, None]
    bottom = sigmoid(p[ETA])
    top = sigmoid(p[ETA] + np.exp(np.clip(p[GAMMA], -8, 4)))
    steps = np.exp(np.clip(np.exp(p[LOG_C]) * (log_n - p[LOG_N0]), -50, 50))
    scores = bottom + (top - bottom) * -np.expm1(-np.exp(p[LOG_D]) * np.log1p(steps))
    return np.asarray(scores)


def after_jump(scores: Array, share: Array, at: Array, log_n: Array) -> Array:
    """Return the scores of curves that jump a second time, [B, G].

    Args:
        scores: without the jump, [B, G].
        share: share of the headroom that is left, which the jump takes, [B].
        at: log of the labels where it happens, [B].
        log_n: natural logarithm of the labels, [G].
    """
    jump = share[:, None] * sigmoid((log_n - at[:, None]) / JUMP_WIDTH)
    return np.asarray(1 - (1 - scores) * (1 - jump))


@dataclass(frozen=True, eq=False)
class ScoreFamily:
    """Sigmoid curves, given what is known about their ends.

    Attributes:
        known_zero_shot, known_ceiling: scores, or None.
        frozen: whether the model is frozen. The ceiling (a person's score or that of fine-tuning)
            is then a soft upper bound only.
        passed_sd: how far curves of frozen models go beyond it, as a share of the gain to it.
    """

    known_zero_shot: float | None = None
    known_ceiling: float | None = None
    frozen: bool = False
    passed_sd: float = 0.1

    def curves(self, parameters: Array) -> Array:
        """Return the scores at `NODES`, [B, G].

        Nothing was measured below 10 labels: there the curve bends by an unknown power of
        log(labels) up from the zero-shot score, where it starts lower.
        """
        curves = _unbounded(parameters, LOG_NODES)
        first = curves[:, _MEASURED : _MEASURED + 1]
        start = np.minimum(self._start(parameters)[:, None], first)
        share = (LOG_NODES[:_MEASURED] / LOG_NODES[_MEASURED]) ** np.exp(parameters[:, BEND:])
        curves[:, :_MEASURED] = np.minimum(curves[:, :_MEASURED], start + share * (first - start))
        return curves if self.known_ceiling is None else np.minimum(curves, self.known_ceiling)

    def _start(self, parameters: Array) -> Array:
        if self.known_zero_shot is not None:
            return np.full(len(parameters), self.known_zero_shot)
        return sigmoid(parameters[:, ZERO_SHOT])

    def tau(self, parameters: Array) -> Array:
        """Return the sd of the seed noise at 100 labels, [B]."""
        return np.asarray(np.exp(parameters[:, LOG_TAU]))

    def zero_shot(self, parameters: Array, curves: Array) -> Array:
        """Return the score without labels, [B]."""
        start = self._start(parameters)
        if self.known_zero_shot is not None:
            return start
        return np.minimum(start, at_labels(curves, _PUBLISHED_END))

    def ceiling(self, parameters: Array, curves: Array, zero_shot: Array) -> Array:
        """Return the ceiling: the larger of the score at 5,000 labels and a person's, [B]."""
        if self.known_ceiling is not None:
            return np.full(len(parameters), self.known_ceiling)
        end = np.maximum(at_labels(curves, _PUBLISHED_END), zero_shot)
        share = np.asarray(normal_cdf(parameters[:, GAP]))
        gap = np.clip((share - _GAP_ZERO) / (1 - _GAP_ZERO - _GAP_ONE), 0.0, 1.0)
        ceiling = end + gap * (1 - end)
        return np.asarray(np.maximum(ceiling, np.minimum(zero_shot + _LEAST_SPAN, 1.0)))

    def log_weight(self, parameters: Array, curves: Array) -> Array:
        """Return the log likelihood of zero-shot and ceiling, [B]."""
        total = np.zeros(len(parameters))
        if self.known_zero_shot is not None:
            read = float(logit(np.clip(self.known_zero_shot, 1e-3, 1 - 1e-3)))
            away = (parameters[:, ZERO_SHOT] - read) / _ZERO_SHOT_SCALE
            near = np.exp(-2 * np.log1p(away**2 / 3)) / _ZERO_SHOT_SCALE / 1.1
            # A share of the tasks has a zero-shot score that is unrelated to the curve.
            total += np.log((1 - _UNRELATED) * near + _UNRELATED * _UNRELATED_DENSITY)
        if self.known_ceiling is not None:
            start = self.known_zero_shot or 0.0
            # The end before it was bounded by the ceiling: a curve that would pass it is unlikely.
            end = np.maximum(_unbounded(parameters, np.log([_PUBLISHED_END]))[:, 0], start)
            gap = (self.known_ceiling - end) / max(self.known_ceiling - start, 1e-6)
            if self.frozen:
                return np.asarray(total - 0.5 * (np.minimum(gap, 0) / self.passed_sd) ** 2)
            reached = np.exp(-0.5 * (gap / _GAP_SD) ** 2) / _GAP_SD / 1.2533
            missed = np.where(gap > 0, np.exp(-np.maximum(gap, 0) / _GAP_MEAN), 0.0) / _GAP_MEAN
            total += np.log(_GAP_ZERO * reached + (1 - _GAP_ZERO) * missed + 1e-9)
        return total


@dataclass(frozen=True, eq=False)
class GainFamily:
    """Curves as gains from zero-shot to the ceiling.

    Parameters: latent gains at 50, 100, ... 5,000 labels, log of the seed noise, and a standard
    normal number each for zero-shot and ceiling, whose quantiles the prior has.
    """

    prior: Prior
    known_zero_shot: float | None
    known_ceiling: float | None

    def curves(self, parameters: Array) -> Array:
        """Return the scores at `NODES`, [B, G]."""
        knots = log_position(GRID)
        at = log_position(NODES)
        latent = parameters[:, : len(GRID) - 1]
        rising = np.clip((normal_cdf(latent) - EDGE) / (1 - 2 * EDGE), 0.0, 1.0)
        gains = np.concatenate([np.zeros((len(latent), 1)), rising], axis=1)
        gains = np.maximum.accumulate(gains, axis=1)
        right = np.clip(np.searchsorted(knots, at), 1, len(knots) - 1)
        share = np.clip((at - knots[right - 1]) / (knots[right] - knots[right - 1]), 0.0, 1.0)
        filled = gains[:, right - 1] + share * (gains[:, right] - gains[:, right - 1])
        zero_shot = self.zero_shot(parameters, filled)
        span = self.ceiling(parameters, filled, zero_shot) - zero_shot
        return np.asarray(zero_shot[:, None] + filled * span[:, None])

    def tau(self, parameters: Array) -> Array:
        """Return the sd of the seed noise at 100 labels, [B]."""
        return np.asarray(np.exp(parameters[:, -3]))

    def zero_shot(self, parameters: Array, curves: Array) -> Array:
        """Return the score without labels, [B]."""
        if self.known_zero_shot is not None:
            return np.full(len(parameters), self.known_zero_shot)
        return _at_quantile(self.prior.zero_shots, parameters[:, -2])

    def ceiling(self, parameters: Array, curves: Array, zero_shot: Array) -> Array:
        """Return the ceiling, [B]."""
        if self.known_ceiling is not None:
            return np.full(len(parameters), self.known_ceiling)
        top = _at_quantile(self.prior.ceilings, parameters[:, -1])
        return np.asarray(np.maximum(top, np.minimum(zero_shot + _LEAST_GAIN, 1.0)))

    def log_weight(self, parameters: Array, curves: Array) -> Array:
        """Return 0, or a large negative number where no gain is left, [B]."""
        start = self.zero_shot(parameters, curves)
        return np.where(self.ceiling(parameters, curves, start) > start + _LEAST_GAIN, 0.0, -60.0)


def _unbounded(parameters: Array, log_n: Array) -> Array:
    """Return the scores of `ScoreFamily` whatever is known about their ends, [B, G]."""
    return after_jump(curve_scores(parameters, log_n), *second_jumps(parameters), log_n)


def second_jumps(parameters: Array) -> tuple[Array, Array]:
    """Return the share of the headroom that a second jump takes, and its log(labels), [B] each."""
    share, place = np.asarray(normal_cdf(parameters[:, (JUMP, JUMP_N)])).T
    jump = 1 - np.sqrt(np.minimum(share / JUMPING, 1.0))
    return jump, _FIRST_JUMP + place * (_LAST_JUMP - _FIRST_JUMP)


def _at_quantile(quantiles: Array, normals: Array) -> Array:
    """Return the quantiles, given at equal steps, at standard normal numbers, [B]."""
    steps = (np.arange(len(quantiles)) + 0.5) / len(quantiles)
    return np.asarray(np.interp(normal_cdf(normals), steps, quantiles))
