"""Learning curves on the score's own scale: a sigmoid in log(labels), and the noise of a score.

A curve rises from a bottom to a top in log(labels) (a Burr distribution function), and may jump
once more by a share of the headroom that is left. No ceiling has to be known.
"""

import math

import numpy as np
import numpy.typing as npt

from labelcast.forecast.efficiency import Array

ETA, GAMMA, LOG_N0, LOG_C, LOG_D, LOG_TAU, ZERO_SHOT = range(7)
"""Columns of the parameters that are fitted: logit of the bottom, log of the rise to the top in
logits, log of the labels at the middle, two logs of exponents, log of the seed noise, and the logit
of the zero-shot score."""

FITTED = 7

JUMP, LOG_JUMP_N = 7, 8
"""Columns of the parameters that are assumed: share of the headroom that a second jump takes, and
log of the labels where it happens."""

JUMP_WIDTH = 0.3
"""Width of a jump, in units of log(labels)."""

NOISE_FLOOR = 10.0
"""Below this many labels the seed noise does not grow further."""

DEGREES = 3.0
"""Degrees of freedom of the noise: failed training runs give it heavy tails."""


def sigmoid(x: Array) -> Array:
    """Return the logistic function of x, of the same shape."""
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -30, 30))))


def logit(score: npt.ArrayLike) -> Array:
    """Return the log odds of scores strictly between 0 and 1, of the same shape."""
    values = np.asarray(score, dtype=np.float64)
    return np.asarray(np.log(values) - np.log1p(-values))


def curve_scores(parameters: Array, log_n: Array) -> Array:
    """Return the scores of curves without noise, from 0 to 1, rising in log_n.

    Args:
        parameters: [B, 7], or [B, 9] with a jump.
        log_n: natural logarithm of the labels, [G].

    Returns:
        Scores, [B, G].
    """
    p = parameters.T[:, :, None]
    bottom = sigmoid(p[ETA])
    top = sigmoid(p[ETA] + np.exp(np.clip(p[GAMMA], -8, 4)))
    steps = np.exp(np.clip(np.exp(p[LOG_C]) * (log_n - p[LOG_N0]), -50, 50))
    scores = bottom + (top - bottom) * -np.expm1(-np.exp(p[LOG_D]) * np.log1p(steps))
    if parameters.shape[1] > FITTED:
        jump = p[JUMP] * sigmoid((log_n - p[LOG_JUMP_N]) / JUMP_WIDTH)
        scores = 1 - (1 - scores) * (1 - jump)
    return np.asarray(scores)


def seed_variance(scores: npt.ArrayLike, n: float, tau: npt.ArrayLike) -> Array:
    """Return the variance that the training seed gives a score, of the same shape.

    tau^2 (n / 100)^-1/2 4 s (1 - s): tau is the sd at 100 labels and a score of one half.
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
