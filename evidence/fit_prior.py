"""Fit the prior over learning curves, and write the numbers that ship.

`python -m evidence.fit_prior RESULTS CURVES --out src/labelcast/forecast/prior.json` reads the
authors' results folder and a folder of measured curves. A mixture of Gaussians over the parameters
of a curve is fitted by Monte Carlo EM: every curve's parameters are sampled given the mixture, and
the mixture is fitted to the samples. No measured score enters the file. It takes about five
minutes on one core.
"""

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from evidence.development import LOSSES, PUBLISHED, MeasuredCurve, read_curves
from evidence.reproduce.gains import fit_gains
from evidence.reproduce.published import read_published
from labelcast.errors import LabelcastError
from labelcast.forecast.distributions import Mixture
from labelcast.forecast.efficiency import Array
from labelcast.forecast.families import FITTED, LOG_TAU, ZERO_SHOT, Prior, curve_scores
from labelcast.forecast.observed import log_likelihood, seed_variance, test_variance
from labelcast.forecast.posterior import HEADROOM_FACTORS

COMPONENTS = {"scores": 4, "losses": 2}
STEPS: dict[str, dict[str, int]] = {"scores": {}, "losses": {"rounds": 25, "steps": 250}}
"""Rounds and steps of a fit, if they differ from those of `fit_scores`."""

CHAINS = 32
LEFT_OUT = ("fewsquad",)
"""Sources that show only the start of a curve; they are not fitted."""

CURVES = Path(__file__).parent / "curves"
"""The measured curves that may be shared."""

HEADROOM_N = (10, 15, 20, 32, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 1500, 2500)

_START = np.array([-0.3, 0.6, np.log(200.0), 0.0, 0.0, -3.6, -0.3])
_SPREAD = np.array([1.2, 0.8, 1.8, 0.5, 0.8, 0.7, 1.2])
_PRIOR_WEIGHT = 8.0
_PRIOR_SHRINK = 0.35
_MOST_RUNS = 60


@dataclass(frozen=True, eq=False)
class Packed:
    """Curves as arrays: log labels, scores and a mask [C, M], test sizes [C], zero-shots [C]."""

    log_n: Array
    scores: Array
    mask: Array
    sizes: Array
    zero_shots: Array

    @classmethod
    def of(cls, curves: Sequence[MeasuredCurve]) -> "Packed":
        """Pack curves; of a long curve, 60 evenly spaced runs are kept."""
        rows = []
        for curve in curves:
            runs = list(curve.scores)
            if len(runs) > _MOST_RUNS:
                steps = np.linspace(0, len(runs) - 1, _MOST_RUNS).astype(int)
                runs = [runs[i] for i in steps]
            rows.append(runs)
        width = max(map(len, rows))
        shape = (len(rows), width)
        log_n, scores, mask = np.zeros(shape), np.full(shape, 0.5), np.zeros(shape)
        for i, runs in enumerate(rows):
            values = np.array(runs)
            log_n[i, : len(runs)] = np.log(values[:, 0])
            scores[i, : len(runs)] = values[:, 1]
            mask[i, : len(runs)] = 1
        unknown = [np.inf if c.source == LOSSES else 500.0 for c in curves]
        sizes = [c.test_size or size for c, size in zip(curves, unknown, strict=True)]
        zero = [np.nan if c.zero_shot is None else _odds(c.zero_shot) for c in curves]
        return cls(log_n, scores, mask, np.array(sizes, dtype=np.float64), np.array(zero))

    def log_likelihood(self, parameters: Array) -> Array:
        """Return the log likelihood of every curve under its samples, [C, J]."""
        curves, samples, _ = parameters.shape
        total = np.zeros((curves, samples))
        for i in range(curves):
            real = self.mask[i] > 0
            at, inverse = np.unique(self.log_n[i, real], return_inverse=True)
            fitted = curve_scores(parameters[i], at)
            tau = np.exp(parameters[i, :, LOG_TAU])[:, None]
            own = test_variance(fitted, float(self.sizes[i]))
            seed = np.concatenate(
                [
                    seed_variance(fitted[:, k : k + 1], float(np.exp(n)), tau)
                    for k, n in enumerate(at)
                ],
                axis=1,
            )
            variance = (own + seed + 1e-7)[:, inverse]
            residual = self.scores[i, real] - fitted[:, inverse]
            total[i] = log_likelihood(residual, variance).sum(axis=1)
        away = (parameters[:, :, ZERO_SHOT] - self.zero_shots[:, None]) / 0.08
        return total + np.where(np.isnan(away), 0.0, -0.5 * np.nan_to_num(away) ** 2)


def _odds(score: float) -> float:
    """Return the log odds of a score on 500 examples, plus half a right and half a wrong one."""
    return float(np.log((500 * score + 0.5) / (500 * (1 - score) + 0.5)))


@dataclass(frozen=True, eq=False)
class ScoreFit:
    """A mixture over the parameters of curves, with the samples it was fitted to.

    Attributes:
        curves: that were fitted, C of them.
        samples: of each curve's parameters, [C, J, 7].
        mixture: fitted to all of them.
    """

    curves: tuple[MeasuredCurve, ...]
    samples: Array
    mixture: Mixture

    @classmethod
    def cached(cls, results: Path, folder: Path = CURVES, kind: str = "scores") -> "ScoreFit":
        """Return the fit to the published curves and those of a folder, fitted once.

        It takes about a minute for scores and five for losses. `evidence/.cache` keeps it under a
        digest of the curves.

        Args:
            results: the authors' results folder.
            folder: the folder of other measured curves.
            kind: "scores" or "losses".
        """
        read = read_curves(results, folder)
        curves = tuple(fitted_curves(read) if kind == "scores" else loss_curves(read))
        digest = hashlib.sha256(repr((curves, COMPONENTS[kind])).encode()).hexdigest()
        path = Path(__file__).parent / ".cache" / f"{kind}-{digest[:16]}.npz"
        if path.exists():
            with np.load(path, allow_pickle=False) as kept:
                mixture = Mixture(kept["weights"], kept["means"], kept["covariances"])
                return cls(curves, kept["samples"], mixture)
        fit = fit_scores(curves, COMPONENTS[kind], progress=lambda line: None, **STEPS[kind])
        path.parent.mkdir(exist_ok=True)
        found = fit.mixture
        with path.with_suffix(".part").open("wb") as file:
            np.savez(
                file,
                samples=fit.samples,
                weights=found.weights,
                means=found.means,
                covariances=found.covariances,
            )
        path.with_suffix(".part").rename(path)
        return fit

    def without(self, task: str) -> Mixture:
        """Return the mixture refitted without the curves of a task, of any source and model.

        The samples of the other curves are kept; they were drawn under the mixture of all curves.
        """
        kept = np.array([curve.task != task for curve in self.curves])
        if kept.all():
            return self.mixture
        weights = task_weights(self.curves)[kept]
        return refit(self.samples[kept], weights, self.mixture, steps=4)

    def prior_without(self, task: str) -> Prior:
        """Return the shipped prior with the score curves and headroom shares of other tasks.

        The gains and their ends are still those of all tasks.
        """
        others = [c for c in self.curves if c.source == PUBLISHED and c.task != task]
        shares = np.array(headroom_shares(others))
        return replace(Prior.load(), scores=self.without(task), headroom_share=shares)


def task_weights(curves: Sequence[MeasuredCurve]) -> Array:
    """Return the weight of every curve, [C]: a task with k curves has the weight sqrt(k)."""
    counts = Counter(curve.key for curve in curves)
    return np.array([counts[curve.key] ** -0.5 for curve in curves])


def fit_scores(
    curves: Sequence[MeasuredCurve],
    components: int,
    *,
    rounds: int = 12,
    steps: int = 60,
    warm_up: int = 400,
    seed: int = 0,
    progress: Callable[[str], None] = lambda line: None,
) -> ScoreFit:
    """Fit a mixture to curves by Monte Carlo EM.

    Args:
        curves: to fit.
        components: of the mixture.
        rounds: of sampling and fitting.
        steps: of the Markov chains in each round.
        warm_up: steps before the first.
        seed: of the chains and of the start.
        progress: called with a line about the fit after each round.
    """
    rng = np.random.default_rng(seed)
    packed, weights = Packed.of(curves), task_weights(curves)
    spread = np.diag(_SPREAD**2)
    means = _START + 0.7 * _SPREAD * rng.standard_normal((components, FITTED))
    mixture = Mixture(
        np.full(components, 1 / components), means, np.repeat(spread[None], components, axis=0)
    )
    samples = _START + _SPREAD * rng.standard_normal((len(curves), CHAINS, FITTED))
    wide = Mixture(np.ones(1), _START[None], 2 * spread[None])
    samples = sampled(samples, packed, wide, warm_up, rng)
    for number in range(rounds):
        mixture = refit(samples, weights, mixture, steps=3)
        samples = sampled(samples, packed, mixture, steps, rng)
        fit = packed.log_likelihood(samples).mean(axis=1).sum() / packed.mask.sum()
        progress(f"round {number + 1} of {rounds}: log likelihood per score {fit:.3f}")
    return ScoreFit(tuple(curves), samples, refit(samples, weights, mixture, steps=3))


def sampled(
    samples: Array, packed: Packed, mixture: Mixture, steps: int, rng: np.random.Generator
) -> Array:
    """Move the samples of every curve by Metropolis steps, [C, J, 7].

    Two of three proposals are differences of two other samples of the curve (ter Braak 2006), the
    third moves some parameters at random.
    """
    curves, chains, _ = samples.shape
    row = np.arange(curves)[:, None]
    column = np.arange(chains)

    def score(at: Array) -> Array:
        return packed.log_likelihood(at) + log_density(at, mixture)

    now = score(samples)
    for step in range(steps):
        if step % 3 == 2:
            scale = np.exp(rng.uniform(-3.0, -0.3, (curves, chains, 1)))
            chosen = rng.random(samples.shape) < 0.5
            moved = samples + scale * rng.standard_normal(samples.shape) * _SPREAD * chosen
        else:
            first, second = (
                samples[row, (column + rng.integers(1, chains)) % chains] for _ in range(2)
            )
            step_size = rng.choice([0.3, 0.6], (curves, chains, 1))
            jumps = rng.random((curves, chains, 1)) < 0.15
            moved = samples + np.where(jumps, 1.0, step_size) * (first - second)
            moved += 0.01 * rng.standard_normal(samples.shape)
        then = score(moved)
        taken = np.log(rng.random((curves, chains))) < then - now
        samples = np.where(taken[..., None], moved, samples)
        now = np.where(taken, then, now)
    return samples


def component_log_density(points: Array, mixture: Mixture) -> Array:
    """Return the log of weight times density of every component, [K, ...], up to a constant."""
    parts = []
    for weight, mean, covariance in zip(
        mixture.weights, mixture.means, mixture.covariances, strict=True
    ):
        root = np.linalg.cholesky(covariance)
        standard = (points - mean) @ np.linalg.inv(root).T
        log_root = np.log(np.diag(root)).sum()
        parts.append(np.log(weight) - 0.5 * (standard**2).sum(axis=-1) - log_root)
    return np.array(parts)


def log_density(points: Array, mixture: Mixture) -> Array:
    """Return the log density of a mixture at points, [..., D], up to a constant."""
    parts = component_log_density(points, mixture)
    most = parts.max(axis=0)
    return np.asarray(most + np.log(np.exp(parts - most).sum(axis=0)))


def refit(samples: Array, weights: Array, mixture: Mixture, steps: int) -> Mixture:
    """Fit a mixture to samples by EM, from a start, with a weak prior on the covariances.

    Args:
        samples: [C, J, D].
        weights: of the curves, [C].
        mixture: the start.
        steps: of EM.
    """
    _, chains, size = samples.shape
    points = samples.reshape(-1, size)
    mass = np.repeat(weights / chains, chains)
    base = _PRIOR_WEIGHT * _PRIOR_SHRINK * np.diag(_SPREAD**2)
    for _ in range(steps):
        parts = component_log_density(points, mixture)
        share = np.exp(parts - parts.max(axis=0))
        share *= mass / share.sum(axis=0)
        total = share.sum(axis=1)
        centre = share.sum(axis=0) @ points / share.sum()
        means = (share @ points + centre) / (total + 1)[:, None]
        covariances = []
        for k in range(len(total)):
            away = points - means[k]
            scatter = (share[k][:, None] * away).T @ away
            covariances.append((scatter + base) / (total[k] + _PRIOR_WEIGHT))
        mixture = Mixture((total + 1) / (total + 1).sum(), means, np.array(covariances))
    return mixture


def headroom_shares(curves: Sequence[MeasuredCurve]) -> list[float]:
    """Return the share of the headroom that published curves gain on average, for `HEADROOM_N`.

    It is the mean over budgets 2, 4, 8, 16 and 32 times as large, up to 5,000 labels. Between its
    budgets the running maximum of a curve is linear in log(labels), from zero-shot at one label.
    """

    def share(n: int) -> float:
        later = [n * factor for factor in HEADROOM_FACTORS if n * factor <= 5000]
        return float(np.mean([np.mean(gained(curves, n, m)) for m in later]))

    return [share(n) for n in HEADROOM_N]


def gained(curves: Sequence[MeasuredCurve], first: float, last: float) -> Array:
    """Return the share of the headroom at `first` labels that curves gain by `last`, [c]."""
    shares = []
    for curve in curves:
        x, rising = _rising(curve)
        if np.log(first) < x[0] - 1e-9:
            continue
        here, there = np.interp(np.log([first, last]), x, rising)
        if here < 1:
            shares.append((there - here) / (1 - here))
    return np.array(shares)


@cache
def _rising(curve: MeasuredCurve) -> tuple[Array, Array]:
    """Return log(labels) and the running maximum of the scores, with zero-shot at one label."""
    budgets, scores = curve.means()
    x = np.log(budgets)
    if curve.zero_shot is not None and budgets[0] > 1:
        x, scores = np.r_[0.0, x], np.r_[curve.zero_shot, scores]
    return x, np.maximum.accumulate(scores)


def fitted_curves(curves: Sequence[MeasuredCurve]) -> list[MeasuredCurve]:
    """Return the curves that the mixture of scores is fitted to."""
    return [c for c in curves if c.source != LOSSES and c.source not in LEFT_OUT]


def loss_curves(curves: Sequence[MeasuredCurve]) -> list[MeasuredCurve]:
    """Return the curves that the mixture of losses is fitted to."""
    return [curve for curve in curves if curve.source == LOSSES]


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m evidence.fit_prior", description=__doc__)
    parser.add_argument("results", type=Path, help="the authors' results folder")
    parser.add_argument("curves", type=Path, help="a folder of measured curves (JSON Lines)")
    parser.add_argument("--out", required=True, type=Path, help="the JSON file to write")
    options = parser.parse_args(arguments)

    def tell(line: str) -> None:
        print(line, file=sys.stderr)

    try:
        curves = read_curves(options.results, options.curves)
        gains, zero_shots, ceilings = fit_gains(read_published(options.results))
        published = [curve for curve in curves if curve.source == PUBLISHED]
        scores = fit_scores(fitted_curves(curves), COMPONENTS["scores"], progress=tell)
        losses = fit_scores(
            loss_curves(curves), COMPONENTS["losses"], **STEPS["losses"], progress=tell
        )
        prior = Prior(
            scores=scores.mixture,
            losses=losses.mixture,
            gains=gains,
            zero_shots=zero_shots,
            ceilings=ceilings,
            headroom_n=np.array(HEADROOM_N, dtype=np.float64),
            headroom_share=np.array(headroom_shares(published)),
        )
    except LabelcastError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.status
    content = {
        "source": SOURCE,
        "command": "python -m evidence.fit_prior RESULTS CURVES --out FILE",
        "curves": dict(Counter(curve.source for curve in curves if curve.source not in LEFT_OUT)),
    } | prior_fields(prior)
    options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"{options.out}: {len(curves)} curves")
    return 0


def prior_fields(prior: Prior) -> dict[str, Any]:
    """Return the fitted numbers as JSON-ready fields, which `Prior.from_dict` reads."""
    vectors = ("zero_shots", "ceilings", "headroom_n", "headroom_share")
    return {
        name: mixture_fields(getattr(prior, name)) for name in ("scores", "losses", "gains")
    } | {name: getattr(prior, name).tolist() for name in vectors}


def mixture_fields(mixture: Mixture) -> list[dict[str, Any]]:
    """Return the components as JSON-ready fields, which `Mixture.from_dict` reads."""
    rows, columns = np.triu_indices(mixture.means.shape[1])
    parts = zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
    return [
        {"weight": float(w), "mean": m.tolist(), "covariance": c[rows, columns].tolist()}
        for w, m, c in parts
    ]


SOURCE = (
    "Fitted numbers only. Published curves of G. H. Je and C. Raffel, arXiv 2512.24991 (2025), and "
    "measured curves of other models; evidence/curves/README.md names each source and its licence."
)


if __name__ == "__main__":
    sys.exit(main())
