"""A distribution over whole curves, conditioned on what was observed of one.

Knows curves as latent values on the grid, a Gaussian mixture over them fitted to other tasks'
curves, and those tasks' zero-shots and ceilings. Does not know calibrations or targets.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from labelcast.errors import InputError
from labelcast.forecast.ceiling import Ends, Hypotheses, equal_quantiles, hypotheses
from labelcast.forecast.conditioning import Conditioned, Readings, condition, read
from labelcast.forecast.efficiency import GRID, Array, area, log_position
from labelcast.forecast.lattice import lattice_normals
from labelcast.forecast.mixture import Mixture, reduced
from labelcast.forecast.monotone import Observed, rising_curves
from labelcast.forecast.observed import (
    SEED_SD,
    Design,
    Observation,
    ScoreObservation,
    Scores,
    checked,
    design,
)
from labelcast.forecast.posterior import AreaDensity, Posterior
from labelcast.forecast.warp import to_latent

__all__ = ["CurvePrior", "Observation", "PriorCurve", "ScoreObservation"]

_SHIPPED = Path(__file__).with_name("prior.json")

COMPONENTS = 12
"""Components that the kernel density is reduced to at most: as accurate as the density itself."""

SAMPLES = 2000
_OFFSET = (5**0.5 - 1) / 2
"""Irrational, so that no step falls on the border of two components, where rounding decides."""

JITTER = 1e-4
"""Added to the variance of every latent value, so that the covariance can be inverted."""

MAX_GRID_AUC = area(log_position(GRID), np.array([0.0] + [1.0] * (len(GRID) - 1)))
"""The largest area on the grid, 0.770: nothing is measured between zero-shot and 50 labels."""


class PriorCurve(NamedTuple):
    """A measured curve that a prior is fitted to.

    Attributes:
        task: its name; curves of one task share its weight.
        gains: at the eight budgets of the grid, 0 to 1, 0 at zero-shot, [8].
        zero_shot: the score at gain 0, None where it was not measured.
        ceiling: the score at gain 1.
    """

    task: str
    gains: Array
    zero_shot: float | None
    ceiling: float


@dataclass(frozen=True, eq=False)
class CurvePrior:
    """A mixture over latent curves, with the ends that curves have.

    Attributes:
        mixture: over the latent values at 50, 100, ... 5,000 labels.
        ends: zero-shots and ceilings of other tasks.
        bandwidth: of the kernels, in units of the curves' own spread.
        seed_sd: noise sd of a score from the training seed.

    Source: fitted to the published curves of Je and Raffel (2025); `prior.json` says how.
    """

    mixture: Mixture
    ends: Ends
    bandwidth: float
    seed_sd: float = SEED_SD

    @classmethod
    @cache
    def load(cls) -> "CurvePrior":
        """Return the prior that ships with the package."""
        return cls.from_dict(json.loads(_SHIPPED.read_text(encoding="utf-8")))

    @classmethod
    def from_dict(cls, fitted: dict[str, Any]) -> "CurvePrior":
        """Return the prior whose fitted numbers these are."""
        parts = fitted["components"]
        upper = np.array([part["covariance"] for part in parts])
        size = len(GRID) - 1
        covariances = np.zeros((len(parts), size, size))
        rows, columns = np.triu_indices(size)
        covariances[:, rows, columns] = covariances[:, columns, rows] = upper
        mixture = Mixture(
            np.array([part["weight"] for part in parts]),
            np.array([part["mean"] for part in parts]),
            covariances,
        )
        ends = Ends(np.array(fitted["zero_shot_quantiles"]), np.array(fitted["ceiling_quantiles"]))
        return cls(mixture, ends, fitted["bandwidth"], fitted["seed_sd"])

    def to_dict(self) -> dict[str, Any]:
        """Return the fitted numbers as JSON-ready fields."""
        rows, columns = np.triu_indices(len(GRID) - 1)
        parts = zip(self.mixture.weights, self.mixture.means, self.mixture.covariances, strict=True)
        return {
            "bandwidth": self.bandwidth,
            "seed_sd": self.seed_sd,
            "components": [
                {"weight": w, "mean": m.tolist(), "covariance": c[rows, columns].tolist()}
                for w, m, c in parts
            ],
            "zero_shot_quantiles": self.ends.zero_shot.tolist(),
            "ceiling_quantiles": self.ends.ceiling.tolist(),
        }

    @classmethod
    def fit(
        cls,
        curves: Sequence[PriorCurve],
        *,
        components: int = COMPONENTS,
        seed_sd: float = SEED_SD,
    ) -> "CurvePrior":
        """Fit a kernel density to curves and reduce it to a few components.

        Args:
            curves: of three tasks or more; every task has the same weight.
            components: at most so many.
            seed_sd: noise sd of a score from the training seed.

        Raises:
            InputError: too few tasks, another width than the grid's, or a value not finite.
        """
        tasks = [curve.task for curve in curves]
        if len(set(tasks)) < 3:
            raise InputError("a prior needs curves of three tasks or more")
        gains = np.array([np.asarray(curve.gains, dtype=np.float64) for curve in curves])
        if gains.shape[1:] != (len(GRID),) or not np.isfinite(gains).all():
            raise InputError(f"a prior needs curves of {len(GRID)} finite gains each")
        weights = np.array([1 / tasks.count(task) for task in tasks])
        weights /= weights.sum()
        latent = to_latent(gains[:, 1:])
        # Scott's rule in seven dimensions: a task counts once, however many models it has.
        bandwidth = len(set(tasks)) ** (-1 / (len(GRID) + 3))
        kernel = bandwidth**2 * _covariance(latent, weights)
        return cls(
            reduced(weights, latent, kernel, components), _ends(curves, weights), bandwidth, seed_sd
        )

    @cached_property
    def plain(self) -> Posterior:
        """Samples before anything is observed."""
        drawn = _sampled(
            self.mixture, checked(()), _gains(), (0.0, 0.0), (SAMPLES, 0), AreaDensity(np.ones(1))
        )
        return drawn._replace(prior_area=AreaDensity.of(drawn.areas()))

    def condition(
        self,
        observations: Iterable[Observation] = (),
        *,
        samples: int = SAMPLES,
        seed: int = 0,
    ) -> Posterior:
        """Condition on observed gains: zero-shot and ceiling are known.

        Args:
            observations: at any budgets; their order is of no matter.
            samples: to draw.
            seed: of the draw; samples are the same ones whatever was observed.

        Raises:
            InputError: a number is not finite, a budget outside 0 to 5,000, a negative sd.

        >>> posterior = CurvePrior.load().condition([Observation(50, 0.7, 0.03)])
        >>> 0.5 < float(posterior.weights @ posterior.areas()) < 0.7
        True
        """
        return _sampled(
            self.mixture,
            checked(observations),
            _gains(),
            (0.0, 0.0),
            (samples, seed),
            self.plain.prior_area,
        )

    def condition_on_scores(
        self,
        scores: Iterable[ScoreObservation],
        zero_shot: float | None,
        ceiling: float | None,
        *,
        zero_shot_sd: float = 0.0,
        gain_sd: float = 0.0,
        samples: int = SAMPLES,
        seed: int = 0,
    ) -> Posterior:
        """Condition on observed scores; what is not known of the ends is enumerated.

        Args:
            scores: at any budgets; their order is of no matter.
            zero_shot: None where unknown: then those of other tasks are reckoned with.
            ceiling: likewise.
            zero_shot_sd: error of zero-shot; it moves all gains together.
            gain_sd: noise in units of the gain, besides that of each score.
            samples: to draw.
            seed: of the draw.

        Raises:
            InputError: as `condition`.
        """
        seen = checked(scores)
        ends = hypotheses(self.ends, seen, zero_shot, ceiling)
        error = zero_shot_sd if zero_shot is not None else 0.0
        return _sampled(
            self.mixture, seen, ends, (error, gain_sd), (samples, seed), self.plain.prior_area
        )


def _gains() -> Hypotheses:
    """Return the one hypothesis under which scores are gains."""
    return Hypotheses(np.zeros(1), np.ones(1), np.zeros(1))


def _sampled(
    mixture: Mixture,
    scores: Scores,
    ends: Hypotheses,
    noise: tuple[float, float],
    draw: tuple[int, int],
    prior_area: AreaDensity,
) -> Posterior:
    """Condition and draw: weighted samples of rising curves."""
    plan = design(scores.budgets)
    readings = read(scores, ends, *noise)
    found = condition(mixture, readings, plan, ends.log_weight)
    latent, at = _drawn(found, *draw)
    budgets, curves = rising_curves(latent, _observed(latent, at, scores, plan, readings, found))
    return Posterior(
        budgets=budgets,
        curves=curves,
        weights=np.full(len(latent), 1 / len(latent)),
        zero_shot=ends.zero_shot[at],
        ceiling=ends.ceiling[at],
        prior_area=prior_area,
    )


def _drawn(found: Conditioned, samples: int, seed: int) -> tuple[Array, Any]:
    """Draw latent curves, [n, 7], and the number of each one's hypothesis, [n]."""
    steps = (np.arange(samples) + _OFFSET) / samples
    total = np.cumsum(found.weights.ravel())
    pair = np.searchsorted(total / total[-1], steps)
    # Rising already: np.unique is not needed, which would load numpy.ma at every start.
    first = np.diff(pair, prepend=-1) > 0
    used, member = pair[first], np.cumsum(first) - 1
    at, component = np.divmod(used, found.weights.shape[1])
    roots = _symmetric_roots(found.covariances[at, component])
    normals = lattice_normals(samples, len(GRID) - 1, seed)
    moved = np.einsum("nde,ne->nd", roots[member], normals)
    return found.means[at, component][member] + moved, at[member]


def _observed(
    latent: Array,
    at: Any,
    scores: Scores,
    plan: Design,
    readings: Readings,
    found: Conditioned,
) -> list[Observed]:
    """Return what the samples hold at the observed budgets, by rising budget."""
    if not len(scores.budgets):
        return []
    line = latent @ plan.rows.T + plan.offset
    deviation = np.einsum("num,nm->nu", found.deviation[at], readings.latent[at] - line)
    result = []
    for budget in sorted(set(scores.budgets.tolist())):
        here = np.flatnonzero(scores.budgets == budget)
        trust = found.trust[:, here].max(axis=1)[at]
        off = np.flatnonzero(plan.off_grid == budget)
        value = line[:, here[0]] + deviation[:, off[0]] if len(off) else None
        kept = found.kept[at, off[0]] if len(off) else np.ones(len(latent))
        result.append(Observed(budget, value, trust, kept))
    return result


def _covariance(latent: Array, weights: Array) -> Array:
    """Return the covariance of weighted latent curves, unbiased, [7, 7]."""
    residuals = latent - weights @ latent
    effective = 1 / (weights**2).sum()
    spread = (residuals * weights[:, None]).T @ residuals * effective / (effective - 1)
    return np.asarray(spread + JITTER * np.eye(latent.shape[1]))


def _ends(curves: Sequence[PriorCurve], weights: Array) -> Ends:
    """Return the quantiles of zero-shots and ceilings."""
    has = np.array([curve.zero_shot is not None for curve in curves])
    if not has.any():
        raise InputError("a prior needs curves with a zero-shot score")
    zeros = np.array([curve.zero_shot for curve in curves if curve.zero_shot is not None])
    ceilings = np.array([curve.ceiling for curve in curves])
    if not (np.isfinite(zeros).all() and np.isfinite(ceilings).all()):
        raise InputError("a prior needs zero-shots and ceilings that are finite")
    return Ends(equal_quantiles(zeros, weights[has]), equal_quantiles(ceilings, weights))


def _symmetric_roots(covariances: Array) -> Array:
    """Return symmetric square roots, which change smoothly with the covariances."""
    values, vectors = np.linalg.eigh((covariances + np.swapaxes(covariances, -1, -2)) / 2)
    scaled = vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]
    return np.asarray(scaled @ np.swapaxes(vectors, -1, -2))
