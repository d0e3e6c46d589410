"""The latent curve given observed scores: Gaussian algebra, one answer a hypothesis and component.

Knows a mixture over latent curves and hypotheses about zero-shot and ceiling. Does not know how
samples of the latent curve become rising curves.
"""

from typing import NamedTuple

import numpy as np

from labelcast.forecast.ceiling import Hypotheses
from labelcast.forecast.efficiency import Array
from labelcast.forecast.mixture import Mixture
from labelcast.forecast.observed import Design, Scores
from labelcast.forecast.warp import latent_slope, to_latent

# Shape letters: G hypotheses, K components, D = 7 latent values, M scores, U budgets off the grid.


class Readings(NamedTuple):
    """The scores as latent values, under each hypothesis.

    Attributes:
        latent: [G, M].
        noise: covariance of their error, [G, M, M].
        log_jacobian: density of the scores over that of the latent values, as a logarithm, [G].
    """

    latent: Array
    noise: Array
    log_jacobian: Array


class Conditioned(NamedTuple):
    """The latent curve given the scores: a mixture over hypotheses and components.

    Attributes:
        weights: [G, K], sum 1.
        means: [G, K, D].
        covariances: [G, K, D, D].
        trust: of every score, its share of what is known there, [G, M].
        kept: share of each deviation off the grid that is kept, [G, U].
        deviation: what the scores' residuals say of it, [G, U, M].
    """

    weights: Array
    means: Array
    covariances: Array
    trust: Array
    kept: Array
    deviation: Array


def read(scores: Scores, ends: Hypotheses, zero_shot_sd: float, gain_sd: float) -> Readings:
    """Return the scores as latent values, with noise of test set, seed and zero-shot."""
    span = ends.span[:, None]
    gains = (scores.values - ends.zero_shot[:, None]) / span
    slope = latent_slope(gains)
    own = scores.variances / span**2 + gain_sd**2
    # Zero-shot's error moves all gains together, the more the farther below the ceiling.
    shared = (1 - gains) * zero_shot_sd / span
    noise = own[:, :, None] * np.eye(len(scores.values)) + shared[:, :, None] * shared[:, None]
    jacobian = np.log(slope).sum(axis=1) - len(scores.values) * np.log(ends.span)
    return Readings(to_latent(gains), noise * slope[:, :, None] * slope[:, None], jacobian)


def condition(prior: Mixture, readings: Readings, design: Design, log_weight: Array) -> Conditioned:
    """Condition every component on the scores, under every hypothesis.

    Args:
        prior: over latent curves.
        readings: the scores.
        design: how they measure the curve.
        log_weight: of the hypotheses beforehand, [G].
    """
    rows = design.rows
    spread = design.member * design.deviations(prior.within) @ design.member.T  # [M, M]
    seen = prior.covariances @ rows.T  # [K, D, M]
    total = (rows @ seen + spread)[None] + readings.noise[:, None]  # [G, K, M, M]
    gap = readings.latent[:, None] - (prior.means @ rows.T + design.offset)  # [G, K, M]
    inverse = np.linalg.inv(total)
    gain = seen @ inverse  # [G, K, D, M]
    fit = np.einsum("gkm,gkmn,gkn->gk", gap, inverse, gap)
    log_fit = np.log(prior.weights) - 0.5 * (fit + np.linalg.slogdet(total)[1])
    evidence = _log_sum(log_fit)
    trust = _trust(prior, readings, design, spread)
    tempered = (evidence + readings.log_jacobian) / max(1.0, float(trust.sum(axis=1).mean()))
    log_weights = log_fit - evidence[:, None] + (log_weight + tempered)[:, None]
    weights = np.exp(log_weights - log_weights.max())
    deviation = (design.member * design.deviations(prior.within)).T @ np.linalg.inv(
        spread + readings.noise
    )
    return Conditioned(
        weights=weights / weights.sum(),
        means=prior.means + np.einsum("gkdm,gkm->gkd", gain, gap),
        covariances=prior.covariances - gain @ np.swapaxes(seen, 1, 2),
        trust=trust,
        kept=np.clip(np.einsum("gum,mu->gu", deviation, design.member), 0.0, 1.0),
        deviation=deviation,
    )


def _trust(prior: Mixture, readings: Readings, design: Design, spread: Array) -> Array:
    """Return prior variance over prior variance plus noise, for every score, [G, M]."""
    known = np.diagonal(design.rows @ prior.within @ design.rows.T + spread)
    noise = np.diagonal(readings.noise, axis1=1, axis2=2)
    return np.asarray(known / (known + noise))


def _log_sum(logs: Array) -> Array:
    """Return log(sum(exp)) over the last axis."""
    most = logs.max(axis=-1)
    return np.asarray(most + np.log(np.exp(logs - most[..., None]).sum(axis=-1)))
