"""The prior over curves and its conditioning."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_data import shared

from evidence.reproduce.fit_prior import fit_published
from evidence.reproduce.published import read_published
from labelcast.errors import InputError
from labelcast.forecast.efficiency import GRID, area, log_position
from labelcast.forecast.intervals import weighted_quantiles
from labelcast.forecast.observed import Observation, ScoreObservation
from labelcast.forecast.posterior import Posterior
from labelcast.forecast.prior import MAX_GRID_AUC, CurvePrior, PriorCurve
from labelcast.forecast.student import t_quantile

PRIOR = CurvePrior.load()
BUDGETS = st.sampled_from([7, 50, 60, 75, 100, 130, 200, 210, 500, 999, 1000, 2500, 4000, 5000])
OBSERVATIONS = st.lists(
    st.builds(Observation, BUDGETS, st.floats(0, 1), st.floats(0.001, 0.3)), max_size=5
)
SCORES = st.lists(
    st.builds(ScoreObservation, BUDGETS, st.floats(0, 1), st.floats(0.001, 0.3)), max_size=4
)
UNKNOWN: dict[str, Any] = {"zero_shot": None, "ceiling": None}


def _quantiles(posterior: Posterior) -> np.ndarray:
    """Return quantiles of area, labels, and the curve between and on the grid."""
    parts = (
        posterior.areas(),
        np.minimum(posterior.labels_for_gain(0.5), 1e4) / 5000,
        np.minimum(posterior.labels_for_gain(0.9), 1e4) / 5000,
        posterior.gains_at(77),
        posterior.gains_at(500),
        posterior.scores_at(5000),
    )
    tails = [0.05, 0.5, 0.95]
    return np.array([weighted_quantiles(v, posterior.weights, tails) for v in parts])


def _areas_sd(posterior: Posterior) -> float:
    areas = posterior.areas()
    return float(np.sqrt(posterior.weights @ (areas - posterior.weights @ areas) ** 2))


def _are_curves(posterior: Posterior) -> None:
    curves = posterior.curves
    assert np.isfinite(curves).all() and (curves[:, 0] == 0).all()
    assert (np.diff(curves) >= 0).all() and curves.max() <= 1
    assert posterior.weights.sum() == pytest.approx(1)
    assert (np.diff(posterior.budgets) > 0).all() and set(GRID) <= set(posterior.budgets.tolist())


@given(OBSERVATIONS)
@settings(max_examples=40, deadline=None)
def test_samples_are_curves(observations: list[Observation]) -> None:
    """Whatever was observed, samples never fall, lie within 0 and 1 and start at 0."""
    _are_curves(PRIOR.condition(observations, samples=200))


@given(SCORES, st.none() | st.floats(0, 0.9), st.none() | st.floats(0.91, 1))
@settings(max_examples=30, deadline=None)
def test_samples_are_curves_with_unknown_ends(
    scores: list[ScoreObservation], zero_shot: float | None, ceiling: float | None
) -> None:
    """The same with zero-shot or ceiling unknown; each sample's ceiling is above its zero-shot."""
    posterior = PRIOR.condition_on_scores(scores, zero_shot, ceiling, samples=200)
    _are_curves(posterior)
    assert (posterior.ceiling > posterior.zero_shot).all()


@given(st.lists(st.tuples(BUDGETS, st.floats(0, 1)), max_size=6, unique_by=lambda o: o[0]))
@settings(max_examples=60, deadline=None)
def test_monotone_observations_with_tiny_noise_are_interpolated(
    pairs: list[tuple[int, float]],
) -> None:
    """Every sample passes through precise rising observations, on the grid and off it."""
    budgets, gains = sorted(b for b, _ in pairs), sorted(g for _, g in pairs)
    observed = [Observation(b, g, 1e-6) for b, g in zip(budgets, gains, strict=True)]
    posterior = PRIOR.condition(observed, samples=200)
    for o in observed:
        np.testing.assert_allclose(posterior.gains_at(o.budget), o.gain, atol=1e-4)


@given(OBSERVATIONS, BUDGETS, st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_an_observation_with_huge_noise_changes_nothing(
    observations: list[Observation], budget: int, gain: float
) -> None:
    """One more observation of noise sd 1e6 leaves every quantile as it was."""
    with_it = PRIOR.condition([*observations, Observation(budget, gain, 1e6)], samples=400)
    without = PRIOR.condition(observations, samples=400)
    np.testing.assert_allclose(_quantiles(with_it), _quantiles(without), atol=1e-6)


@given(SCORES, BUDGETS, st.floats(0, 1), st.none() | st.just(0.3))
@settings(max_examples=20, deadline=None)
def test_huge_noise_changes_nothing_where_the_ends_are_unknown(
    scores: list[ScoreObservation], budget: int, score: float, zero_shot: float | None
) -> None:
    """Nor does it say anything of the ceiling or of zero-shot."""
    more = [*scores, ScoreObservation(budget, score, 1e6)]
    with_it = PRIOR.condition_on_scores(more, zero_shot, None, samples=400)
    without = PRIOR.condition_on_scores(scores, zero_shot, None, samples=400)
    np.testing.assert_allclose(_quantiles(with_it), _quantiles(without), atol=1e-6)
    np.testing.assert_array_equal(with_it.ceiling, without.ceiling)


@given(SCORES, st.randoms(), st.none() | st.just(0.3))
@settings(max_examples=20, deadline=None)
def test_order_of_observations_does_not_matter(
    scores: list[ScoreObservation], random: Any, zero_shot: float | None
) -> None:
    """Observations in any order give the very same samples."""
    shuffled = list(scores)
    random.shuffle(shuffled)
    one = PRIOR.condition_on_scores(scores, zero_shot, None, samples=200)
    two = PRIOR.condition_on_scores(shuffled, zero_shot, None, samples=200)
    assert np.array_equal(one.curves, two.curves) and np.array_equal(one.ceiling, two.ceiling)


@given(OBSERVATIONS, st.floats(0.01, 1), st.floats(0.01, 1))
@settings(max_examples=30, deadline=None)
def test_more_gain_never_needs_fewer_labels(
    observations: list[Observation], a: float, b: float
) -> None:
    """Sample by sample the labels needed rise with the gain asked for, and agree with the curve."""
    posterior = PRIOR.condition(observations, samples=200)
    low, high = (posterior.labels_for_gain(v) for v in sorted((a, b)))
    assert (low <= high).all()
    for labels, gain in ((low, min(a, b)), (high, max(a, b))):
        there = np.array([posterior.gains_at(n)[i] for i, n in enumerate(labels) if n < 1e9])
        np.testing.assert_array_less(gain - 1e-9, there)


def test_known_ends_are_gains_in_other_units() -> None:
    """Scores with both ends known give the curves that the same gains give."""
    gains = PRIOR.condition([Observation(50, 0.5, 0.02), Observation(300, 0.7, 0.04)])
    seen = [ScoreObservation(50, 0.6, 0.01), ScoreObservation(300, 0.7, 0.02)]
    scores = PRIOR.condition_on_scores(seen, 0.35, 0.85)
    np.testing.assert_allclose(scores.curves, gains.curves, atol=1e-9)
    np.testing.assert_allclose(scores.labels_for_score(0.8), gains.labels_for_gain(0.9))
    np.testing.assert_allclose(scores.scores_at(80), 0.35 + 0.5 * gains.gains_at(80))


def test_errors_of_zero_shot_widen() -> None:
    """An uncertain zero-shot makes a first score say less."""
    seen = [ScoreObservation(50, 0.6, 0.01)]
    sure = PRIOR.condition_on_scores(seen, 0.4, 0.9)
    unsure = PRIOR.condition_on_scores(seen, 0.4, 0.9, zero_shot_sd=0.1)
    assert _areas_sd(unsure) > 1.1 * _areas_sd(sure)


def test_an_unknown_ceiling_widens_and_scores_narrow_it() -> None:
    """Without the ceiling the score at 5,000 is less certain; a high score rules out low ones."""
    seen = [ScoreObservation(50, 0.6, 0.01)]
    known = PRIOR.condition_on_scores(seen, 0.4, 0.9).scores_at(5000)
    unknown = PRIOR.condition_on_scores(seen, 0.4, None)
    assert unknown.scores_at(5000).std() > known.std()
    later = PRIOR.condition_on_scores([*seen, ScoreObservation(500, 0.93, 0.01)], 0.4, None)
    assert later.ceiling.min() > 0.9 and later.ceiling.std() < unknown.ceiling.std()


@given(st.floats(0.35, 0.5), st.floats(0.03, 0.08), st.floats(5, 60))
@settings(max_examples=20, deadline=None)
def test_a_predicted_area_replaces_the_priors(mean: float, sd: float, df: float) -> None:
    """Away from the bounds the area has the quantiles of the prediction: nothing is shrunk."""
    posterior = PRIOR.condition(samples=4000).predicted_auc(mean, sd, df)
    probabilities = [0.25, 0.5, 0.75]
    found = weighted_quantiles(posterior.areas(), posterior.weights, probabilities)
    expected = [mean + sd * t_quantile(p, df) for p in probabilities]
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_a_measured_area_is_shrunk_to_the_prior() -> None:
    """A measurement multiplies: its mean lies between the prior's and what was measured."""
    prior = PRIOR.condition()
    measured = prior.measured_auc(0.65, 0.1)
    middle = float(prior.weights @ prior.areas())
    assert middle < measured.weights @ measured.areas() < 0.65
    assert _areas_sd(measured) < min(_areas_sd(prior), 0.1)


def test_more_scores_narrow_the_area() -> None:
    """The area's spread falls with every score of a plain curve."""
    gains = [(50, 0.4), (100, 0.5), (200, 0.6), (500, 0.7)]
    seen = [Observation(n, gain, 0.01) for n, gain in gains]
    spreads = [_areas_sd(PRIOR.condition(seen[:k])) for k in range(len(seen) + 1)]
    assert spreads == sorted(spreads, reverse=True)


def test_areas_are_the_trapezoid_and_bounded() -> None:
    """Areas are those of the curves; on the grid none exceeds 0.770."""
    posterior = PRIOR.condition([Observation(300, 0.5, 0.01)], samples=50)
    x = log_position(posterior.budgets)
    expected = [area(x, curve) for curve in posterior.curves]
    np.testing.assert_allclose(posterior.areas(), expected)
    assert round(MAX_GRID_AUC, 3) == 0.770
    assert PRIOR.condition().areas().max() <= MAX_GRID_AUC + 1e-9


def test_the_seed_decides_the_samples() -> None:
    """A seed draws the same curves again; another seed's have nearly the same quantiles."""
    one, two = PRIOR.condition(seed=0), PRIOR.condition(seed=0)
    other = PRIOR.condition(seed=1)
    assert np.array_equal(one.curves, two.curves) and not np.array_equal(one.curves, other.curves)
    np.testing.assert_allclose(_quantiles(one), _quantiles(other), atol=0.03)


def test_fitted_numbers_survive_json() -> None:
    """A prior written and read again is the same."""
    again = CurvePrior.from_dict(json.loads(json.dumps(PRIOR.to_dict())))
    assert np.array_equal(again.condition().curves, PRIOR.condition().curves)


def _curves(tasks: int, models: int = 1) -> list[PriorCurve]:
    rng = np.random.default_rng(0)
    made = []
    for task in range(tasks):
        for _ in range(models):
            rises = np.sort(rng.uniform(size=7))
            made.append(PriorCurve(str(task), np.array([0.0, *rises]), 0.2, 0.9))
    return made


def test_a_task_counts_once_however_many_models_it_has() -> None:
    """The bandwidth counts tasks, and curves given twice give nearly the same prior."""
    curves = _curves(12)
    once, twice = CurvePrior.fit(curves), CurvePrior.fit([*curves, *curves])
    assert once.bandwidth == twice.bandwidth == pytest.approx(12 ** (-1 / 11))
    a, b = (float(prior.plain.areas().mean()) for prior in (once, twice))
    assert a == pytest.approx(b, abs=0.01)


def test_bad_fits_are_refused() -> None:
    """Too few tasks, another width, NaN and no zero-shot at all are refused."""
    wrong = (
        _curves(2, models=3),
        [PriorCurve(str(i), np.zeros(7), 0.2, 0.9) for i in range(5)],
        [PriorCurve(str(i), np.full(8, np.nan), 0.2, 0.9) for i in range(5)],
        [PriorCurve(c.task, c.gains, None, 0.9) for c in _curves(5)],
        [PriorCurve(c.task, c.gains, 0.2, math.inf) for c in _curves(5)],
    )
    for curves in wrong:
        with pytest.raises(InputError):
            CurvePrior.fit(curves)


@pytest.mark.parametrize(("mean", "sd"), [(math.nan, 0.1), (0.5, -1.0), (0.5, math.inf)])
def test_bad_areas_are_refused(mean: float, sd: float) -> None:
    """An area that is not finite and a negative sd are refused."""
    posterior = PRIOR.condition(samples=100)
    with pytest.raises(InputError):
        posterior.measured_auc(mean, sd)
    with pytest.raises(InputError):
        posterior.predicted_auc(mean, sd, 26)
    with pytest.raises(InputError):
        posterior.predicted_auc(0.5, 0.1, 0.5)


def test_leave_one_task_out_on_the_published_curves() -> None:
    """With a score at 50, at 50 and 100, ... and a noisy AUC, the area errs as little as stated."""
    curves = read_published(shared() / "paper" / "results")
    rows: dict[tuple[int, ...], float] = {(1,): 0.043, (1, 2): 0.039, (1, 2, 3): 0.029}
    errors: dict[tuple[int, ...], list[float]] = {places: [] for places in rows}
    for task in sorted({curve.task for curve in curves}):
        prior = fit_published([curve for curve in curves if curve.task != task])
        for i, curve in enumerate(curves):
            if curve.task != task:
                continue
            truth = curve.curve.auc
            noisy = truth + 0.108 * np.random.default_rng(1000 + i).standard_normal(20)
            for places in rows:
                seen = [Observation(GRID[k], float(curve.grid_gains[k]), 0.01) for k in places]
                posterior = prior.condition(seen)
                areas = posterior.areas()
                for auc in np.clip(noisy, 0.05, 0.9).tolist():
                    weights = posterior.measured_auc(auc, 0.108).weights
                    point = weighted_quantiles(areas, weights, [0.5])[0]
                    errors[places].append(abs(point - truth))
    for places, goal in rows.items():
        assert np.mean(errors[places]) <= goal
