"""Observed scores and gains, and what they measure of a latent curve.

Knows the noise of a score and where a budget lies between those of the grid. Does not know the
prior, nor which zero-shot and ceiling are the right ones.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from labelcast.errors import InputError
from labelcast.forecast.efficiency import GRID, LARGEST_BUDGET, Array, log_position
from labelcast.forecast.warp import to_latent

SEED_SD = 0.0117
"""Noise sd of a score from the training seed: from the dips of the published raw curves."""

_TRUSTED = 2.0
_SMALLEST_SD = 1e-6


class Observation(NamedTuple):
    """A gain observed at a budget (labels), and the sd of its noise."""

    budget: float
    gain: float
    sd: float


class ScoreObservation(NamedTuple):
    """A score observed at a budget (labels), and the sd of its noise."""

    budget: float
    score: float
    sd: float


class Scores(NamedTuple):
    """Checked observations in an order of their own.

    Attributes:
        budgets, values, sds: [m]; values are scores, or gains of a curve from 0 to 1.
    """

    budgets: Array
    values: Array
    sds: Array

    @property
    def variances(self) -> Array:
        """Noise variances, [m]; a score below a trusted earlier one is trusted less, by the dip."""
        dips = np.zeros(len(self.values))
        for i in range(1, len(dips)):
            trusted = (self.values[:i] - _TRUSTED * self.sds[:i]).max()
            dips[i] = max(0.0, trusted - self.values[i])
        return np.asarray(self.sds**2 + dips**2)

    @property
    def least_best(self) -> float:
        """The best score seen, less two sds of its noise; minus infinity without scores."""
        return float(np.max(self.values - _TRUSTED * self.sds, initial=-math.inf))

    @property
    def most_worst(self) -> float:
        """The worst score seen, plus two sds of its noise; infinity without scores."""
        return float(np.min(self.values + _TRUSTED * self.sds, initial=math.inf))


def checked(observations: Iterable[Observation | ScoreObservation]) -> Scores:
    """Return observations sorted by budget, value and sd.

    A budget of one label stands at zero-shot's place on the logarithmic axis, where the gain is 0
    by definition: it says nothing of the curve and is left out.

    Raises:
        InputError: a number is not finite, a budget is not within 0 to 5,000 (0 itself is
            zero-shot and given as such), or an sd is negative.
    """
    rows = sorted(
        (o.budget, o.gain if isinstance(o, Observation) else o.score, o.sd) for o in observations
    )
    numbers = np.asarray(rows, dtype=np.float64).reshape(-1, 3)
    if not np.isfinite(numbers).all() or (numbers[:, 2] < 0).any():
        raise InputError("an observation needs finite numbers and an sd of 0 or more")
    budgets, values, sds = numbers.T
    for budget in budgets:
        if not 0 < budget <= LARGEST_BUDGET:
            raise InputError(
                f"budget {budget:g}: observations lie above 0 and up to {LARGEST_BUDGET:,} labels"
            )
    on_axis = budgets > 1
    return Scores(budgets[on_axis], values[on_axis], np.maximum(sds[on_axis], _SMALLEST_SD))


def binomial_sd(score: float, size: int) -> float:
    """Return the sd of a mean score over a test set of so many examples.

    One success and one failure more are counted, so that a perfect score has noise too.

    >>> round(binomial_sd(0.8, 1000), 4)
    0.0127
    """
    share = (score * size + 1) / (size + 2)
    return math.sqrt(share * (1 - share) / size)


class Design(NamedTuple):
    """How observations measure the seven latent values of a curve at 50, 100, ... 5,000.

    Between two budgets of the grid the latent curve is linear on the logarithmic axis, plus a
    deviation: that of a Brownian bridge.

    Attributes:
        rows: [m, 7]; with `offset` [m] the linear part.
        off_grid: budgets off the grid, [u], rising, each once.
        member: 1 where observation m stands at off-grid budget u, [m, u].
        bridge: how much of the variance of its segment's rise the deviation has, [u].
        segment: number of the segment of each off-grid budget, [u]; 0 lies below 50 labels.
    """

    rows: Array
    offset: Array
    off_grid: Array
    member: Array
    bridge: Array
    segment: Sequence[int]

    def deviations(self, covariance: Array) -> Array:
        """Return the prior variance of the deviations, [u], given that of the latent curve."""
        padded = np.zeros((len(GRID), len(GRID)))
        padded[1:, 1:] = covariance
        left = np.asarray(self.segment, dtype=np.intp)
        rise = padded[left + 1, left + 1] + padded[left, left] - 2 * padded[left, left + 1]
        return np.asarray(self.bridge * rise)


def design(budgets: Array) -> Design:
    """Return the design of observations at these rising budgets, [m]."""
    grid, x = log_position(GRID), log_position(budgets)
    segment = np.clip(np.searchsorted(grid, x, side="left") - 1, 0, len(GRID) - 2)
    share = (x - grid[segment]) / (grid[segment + 1] - grid[segment])
    full = np.zeros((len(x), len(GRID)))
    np.put_along_axis(full, segment[:, None], 1 - share[:, None], axis=1)
    np.put_along_axis(full, segment[:, None] + 1, share[:, None], axis=1)
    off = (budgets[:, None] != np.array(GRID, dtype=np.float64)).all(axis=1)
    off_grid = np.array(sorted(set(budgets[off].tolist())), dtype=np.float64)
    first = np.searchsorted(budgets[off], off_grid)
    return Design(
        rows=full[:, 1:],
        offset=full[:, 0] * float(to_latent(0.0)),
        off_grid=off_grid,
        member=(budgets[:, None] == off_grid[None]).astype(np.float64),
        bridge=(share * (1 - share))[off][first],
        segment=[int(s) for s in segment[off][first]],
    )
