"""Sampled latent values turned into curves that never fall.

Knows samples at the grid and at observed budgets, and how far each observation is trusted. Does not
know the prior or what the gains mean as scores.
"""

from typing import NamedTuple

import numpy as np

from labelcast.forecast.efficiency import GRID, Array, log_position
from labelcast.forecast.warp import to_gain


class Observed(NamedTuple):
    """What a sample holds at one observed budget.

    Attributes:
        budget: labels.
        latent: the latent value there, [n]; None where the budget is one of the grid.
        trust: of the observation, against the prior there, 0 to 1, [n].
        kept: share of the deviation from the straight line that is kept, [n].
    """

    budget: float
    latent: Array | None
    trust: Array
    kept: Array


def rising_curves(latent: Array, observed: list[Observed]) -> tuple[Array, Array]:
    """Return budgets [k] and gains [n, k]: 0 at zero-shot, never falling, within 0 and 1.

    Args:
        latent: values at the grid from 50 labels on, [n, 7].
        observed: by rising budget.

    An observation without weight leaves the curves exactly as they are without it, and one
    without noise is met exactly.
    """
    off = [o for o in observed if o.latent is not None]
    budgets = np.array([*GRID[1:], *(o.budget for o in off)], dtype=np.float64)
    order = np.argsort(budgets, kind="stable")
    columns = [latent, *(o.latent[:, None] for o in off if o.latent is not None)]
    gains = to_gain(np.concatenate(columns, axis=1)[:, order])
    pulled = _pulled_down(gains, budgets[order], observed)
    kept = {o.budget: o.kept for o in off}
    risen = _risen(pulled, [kept.get(float(n)) for n in budgets[order]])
    at_zero = np.zeros((len(latent), 1))
    if not off:
        return np.array(GRID, dtype=np.float64), np.concatenate([at_zero, risen], axis=1)
    at = {float(n): risen[:, i] for i, n in enumerate(budgets[order])}
    on_grid = np.stack([at[float(n)] for n in GRID[1:]], axis=1)
    knots, curves = np.array(GRID, dtype=np.float64), np.concatenate([at_zero, on_grid], axis=1)
    for o in sorted(off, key=lambda o: (-float(o.kept.mean()), o.budget)):
        knots, curves = _inserted(knots, curves, o, at[o.budget])
    return knots, curves


def _pulled_down(gains: Array, budgets: Array, observed: list[Observed]) -> Array:
    """Pull what stands before an observation down to it, by its trust.

    Without it the running maximum would lift a precise score to a sample's accident before it.
    """
    own = np.zeros_like(gains)
    places = [int(np.searchsorted(budgets, o.budget)) for o in observed]
    for place, o in zip(places, observed, strict=True):
        own[:, place] = o.trust
    pulled = gains.copy()
    for place, o in zip(reversed(places), reversed(observed), strict=True):
        above = np.maximum(pulled[:, :place] - pulled[:, [place]], 0.0)
        pulled[:, :place] -= o.trust[:, None] * (1 - own[:, :place]) * above
    return pulled


def _risen(gains: Array, kept: list[Array | None]) -> Array:
    """Return the running maximum; a knot off the grid lifts the rest by what is kept of it."""
    risen = np.empty_like(gains)
    level = np.zeros(len(gains))
    for column, share in enumerate(kept):
        risen[:, column] = np.maximum(level, np.minimum(gains[:, column], 1.0))
        here = risen[:, column]
        level = here if share is None else np.minimum(level + share * (here - level), here)
    return risen


def _inserted(knots: Array, curves: Array, o: Observed, value: Array) -> tuple[Array, Array]:
    """Add a knot off the grid: between the straight line and the value found there."""
    place = int(np.searchsorted(knots, o.budget))
    x = log_position(np.array([knots[place - 1], o.budget, knots[place]]))
    left, right = curves[:, place - 1], curves[:, place]
    line = left + (right - left) * (x[1] - x[0]) / (x[2] - x[0])
    gain = np.clip(line + o.kept * (value - line), left, right)
    return np.insert(knots, place, o.budget), np.insert(curves, place, gain, axis=1)
