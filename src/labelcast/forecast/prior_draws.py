"""Draws from the prior: the parameters of curves before anything is known of a task."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from labelcast.forecast.distributions import lattice_normals, normal_cdf
from labelcast.forecast.efficiency import GRID, Array
from labelcast.forecast.families import (
    BEND,
    ETA,
    FITTED,
    GAMMA,
    JUMP,
    ZERO_SHOT,
    Prior,
    logit,
    sigmoid,
)

DRAWS, MORE_DRAWS = 16_384, 131_072
"""Draws of each family, and where the scores leave few of them."""

SLEEPING = 0.1
"""Share of the curves of scores that stay at the bottom for a long time."""

_SMALLEST_FACTOR = 0.002
_LEVEL_SD = 2.0
_WIDER = 2.0
_SLEEPER_MEAN = np.array([-0.3, 0.9, 6.6, 1.0, 0.0, -4.0, 0.0])
_SLEEPER_SD = np.array([1.1, 0.6, 1.9, 0.4, 0.5, 0.7, 0.3])

# Flat curves rise by about exp(-3) in logits, 0.01 in the score, and have no second jump.
_FLAT_MEAN = np.array([0.3, -3.0, 4.0, 0.0, 0.0, -4.0, 0.0])
_FLAT_SD = np.array([1.0, 0.7, 1.0, 0.3, 0.3, 0.5, 0.3])
_NO_JUMP = 8.0


class Block(NamedTuple):
    """Draws of one kind: parameters of all draws, [B, 7], of which a share of the rows is used.

    `jumps` says whether some of the curves jump a second time.
    """

    share: float
    parameters: Array
    jumps: bool = True


def score_draws(
    prior: Prior, *, losses: bool = False, frozen: bool = False, draws: int = DRAWS
) -> tuple[Array, Array]:
    """Return draws of the parameters of `ScoreFamily`, [B, P], and their weights, [B].

    With `frozen`, a share of `Prior.never_learned` stays flat.
    """
    normals = lattice_normals(draws, FITTED + 6, 0)
    blocks = loss_blocks(prior, normals) if losses else score_blocks(prior, normals)
    if frozen:
        rest = 1 - prior.never_learned
        blocks = [block._replace(share=rest * block.share) for block in blocks]
        flat = _around(_FLAT_MEAN, _FLAT_SD, normals)
        blocks.append(Block(prior.never_learned, flat, jumps=False))
    shares = np.array([block.share for block in blocks])
    ends = np.round(draws * np.cumsum([0.0, *shares])).astype(int)
    drawn = np.column_stack([np.empty((draws, FITTED)), normals[:, FITTED : BEND + 1]])
    for block, (a, b) in zip(blocks, pairwise(ends), strict=True):
        drawn[a:b, :FITTED] = block.parameters[a:b]
        if not block.jumps:
            drawn[a:b, JUMP] = _NO_JUMP
    sizes = np.diff(ends)
    return drawn, np.repeat(shares / sizes, sizes)


def score_blocks(prior: Prior, normals: Array) -> list[Block]:
    """Return the kinds of curves of scores, from standard normal numbers, [B, 13].

    Nearly half of the curves have their level replaced, with the same share of the headroom gained,
    because the shape must also fit tasks of another level. A tenth is scaled down, as for metrics
    that never come near 1, and a tenth stays at the bottom for a long time.
    """
    fitted = prior.scores.draw(normals[:, :FITTED])
    factors = _SMALLEST_FACTOR ** np.asarray(normal_cdf(normals[:, FITTED + 5]))
    return [
        Block(0.36, fitted),
        Block(0.45, _other_level(fitted, _LEVEL_SD * normals[:, FITTED + 4])),
        Block(0.09, _made_small(fitted, factors)),
        Block(SLEEPING, _around(_SLEEPER_MEAN, _SLEEPER_SD, normals)),
    ]


def loss_blocks(prior: Prior, normals: Array) -> list[Block]:
    """Return the kinds of curves of exp(-loss), from standard normal numbers, [B, 13].

    The fitted losses are those of language models on three tasks. A quarter each has these, another
    level, a spread twice as wide, or shapes of scores. Losses fall smoothly: only the last quarter
    has second jumps. `evidence.losses` measures what this does.
    """
    fitted = prior.losses.draw(normals[:, :FITTED])
    mean = prior.losses.weights @ prior.losses.means
    scores = prior.scores.draw(normals[:, :FITTED])
    bottoms = _LEVEL_SD * normals[:, FITTED + 4]
    wider = _other_level(mean + _WIDER * (fitted - mean), bottoms)
    return [
        Block(0.25, fitted, jumps=False),
        Block(0.25, _other_level(fitted, bottoms), jumps=False),
        Block(0.25, wider, jumps=False),
        Block(0.25, _other_level(scores, bottoms)),
    ]


def _around(mean: Array, sd: Array, normals: Array) -> Array:
    """Parameters around a mean; the zero-shot score is near the bottom."""
    drawn = mean + sd * normals[:, :FITTED]
    drawn[:, ZERO_SHOT] += drawn[:, ETA]
    return np.asarray(drawn)


def _other_level(parameters: Array, bottoms: Array) -> Array:
    """Move curves to other bottoms (logits, [B]), with the same share of the headroom gained."""
    moved = parameters.copy()
    bottom, top = _ends(parameters)
    new_bottom = sigmoid(bottoms)
    new_top = 1 - (1 - new_bottom) * (1 - top) / (1 - bottom)
    new_top = np.clip(new_top, new_bottom + 1e-6, 1 - 1e-9)
    moved[:, ZERO_SHOT] += bottoms - parameters[:, ETA]
    moved[:, ETA] = bottoms
    rise = np.maximum(logit(new_top) - bottoms, 1e-4)
    moved[:, GAMMA] = np.log(rise)
    return moved


def _made_small(parameters: Array, factors: Array) -> Array:
    """Multiply curves and their zero-shot scores by factors from 0 to 1, [B]."""
    small = parameters.copy()
    bottom, top = _ends(parameters)
    zero_shot = sigmoid(parameters[:, ZERO_SHOT])
    small[:, ETA] = logit(factors * bottom)
    rise = logit(np.minimum(factors * top, 1 - 1e-9)) - small[:, ETA]
    small[:, GAMMA] = np.log(np.maximum(rise, 1e-4))
    small[:, ZERO_SHOT] = logit(np.clip(factors * zero_shot, 1e-6, 1 - 1e-9))
    return small


def _ends(parameters: Array) -> tuple[Array, Array]:
    eta, gamma = parameters[:, ETA], parameters[:, GAMMA]
    return sigmoid(eta), sigmoid(eta + np.exp(np.clip(gamma, -8, 4)))


def gain_draws(prior: Prior, draws: int = DRAWS) -> tuple[Array, Array]:
    """Return draws of the parameters of `GainFamily`, [B, P], and their weights, [B]."""
    size = len(GRID) - 1
    normals = lattice_normals(draws, size + 3, 0)
    log_tau = -4.4 + 0.5 * normals[:, size]
    latent = prior.gains.draw(normals[:, :size])
    return np.column_stack([latent, log_tau, normals[:, size + 1 :]]), np.full(draws, 1 / draws)
