"""Noise that is learned from the scores, and noise that is given."""

from typing import Any

import numpy as np

from labelcast.forecast.answer import CurveBand, Forecast
from labelcast.forecast.forecasting import forecast
from labelcast.forecast.posterior import posterior
from labelcast.forecast.question import Question

EQUAL = [(100, 0.6), (100, 0.601), (100, 0.599), (100, 0.6), (100, 0.6)]
SCATTERED = [(100, 0.45), (100, 0.75), (100, 0.62), (100, 0.5), (100, 0.68)]


def _tau(seen: list[tuple[int, float]]) -> float:
    draws = posterior(Question.of(observations=seen, observe_size=5000), None).final
    return float(draws.weights @ draws.tau)


def _at(answer: Forecast, n: int) -> CurveBand:
    return next(band for band in answer.curve if band.n == n)


def test_seed_noise_is_learned() -> None:
    """Scattered seeds give more noise than one seed, equal seeds less."""
    equal, one, scattered = (_tau(seen) for seen in (EQUAL, EQUAL[:1], SCATTERED))
    assert equal < one < scattered
    assert scattered > 2 * equal
    assert scattered > 0.5 * np.std([score for _, score in SCATTERED])


def test_scattered_seeds_widen_the_interval_and_give_a_warning() -> None:
    """The same mean with more scatter says less about the curve; a warning asks for more seeds."""
    calm, wild = (
        forecast(observations=seen, observe_size=5000, target_score=0.8, budget=100)
        for seen in (EQUAL, SCATTERED)
    )
    bands = [_at(answer, 100) for answer in (calm, wild)]
    widths = [band.high - band.low for band in bands]
    assert widths[1] > 1.5 * widths[0]
    assert any("scatter" in warning for warning in wild.warnings)
    assert not any("scatter" in warning for warning in calm.warnings)
    assert calm.at_budget is not None and wild.at_budget is not None
    runs = [answer.at_budget.high - answer.at_budget.low for answer in (calm, wild)]  # type: ignore[union-attr]
    assert runs[1] > runs[0] and all(r > w for r, w in zip(runs, widths, strict=True))


def test_the_scatter_of_scores_is_on_their_scale() -> None:
    """In percent it is a hundred times that of shares; of losses it is one of losses."""
    shares = [(50, 0.71), (50, 0.51), (200, 0.79), (200, 0.62)]
    percent = [(n, 100 * share) for n, share in shares]
    losses = [(n, -float(np.log(share))) for n, share in shares]
    found = []
    for seen, options in (
        (shares, {"target_score": 0.85}),
        (percent, {"target_score": 85, "scale": 100}),
        (losses, {"target_score": 0.1, "lower_is_better": True}),
    ):
        asked: dict[str, Any] = {"observations": seen, **options}
        (said,) = (warning for warning in forecast(**asked).warnings if "scatter" in warning)
        found.append(float(said.partition("by about ")[2].split()[0]))
    of_share, of_percent, of_loss = found
    assert 0.05 < of_share < 0.1 and of_percent == 100 * of_share and of_loss > 1.3 * of_share


def test_an_erratic_series_widens_the_interval_and_gives_a_warning() -> None:
    """A series that jumps up and down gives a less certain later score than one that rises."""
    steady = [(50, 0.5), (100, 0.55), (200, 0.6), (400, 0.65), (800, 0.7)]
    erratic = [(50, 0.5), (100, 0.7), (200, 0.45), (400, 0.8), (800, 0.6)]
    one, two = (
        forecast(observations=seen, observe_size=2000, target_score=0.8)
        for seen in (steady, erratic)
    )
    for n in (1000, 5000):
        widths = [next(b.high - b.low for b in answer.curve if b.n == n) for answer in (one, two)]
        assert widths[1] > widths[0]
    assert any("fall" in warning for warning in two.warnings)
    assert one.warnings == ()


def test_a_fall_within_the_noise_gives_no_warning() -> None:
    """A small test set explains a fall that a large one does not; it says that nothing rises."""
    seen = [(50, 0.6), (100, 0.5)]
    small, large = (
        forecast(observations=seen, observe_size=size, target_score=0.8).warnings
        for size in (50, 5000)
    )
    assert len(small) == 1 and "do not improve" in small[0]
    assert any("fall from 0.6 at 50 to 0.5 at 100" in w for w in large)


def test_scores_that_do_not_rise_give_a_warning() -> None:
    """Several seeds, or more labels, show a rise that two small test sets hide."""
    flat = [(50, 0.7), (100, 0.735)]
    found = {
        name: any("do not improve" in w for w in forecast(observations=seen, **options).warnings)
        for name, seen, options in (
            ("flat", flat, {}),
            ("one budget", [(50, 0.7), (50, 0.7)], {}),
            ("large test set", flat, {"observe_sd": 0.001}),
            ("more labels", [*flat, (1000, 0.8)], {}),
            ("losses", [(50, 0.7), (100, 0.71)], {"lower_is_better": True, "scale": 1}),
        )
    }
    assert found == {
        "flat": True,
        "one budget": False,
        "large test set": False,
        "more labels": False,
        "losses": True,
    }


def test_a_plateau_above_zero_shot_is_learned() -> None:
    """No warning of a model that does not learn; a score below zero-shot has one of its own."""
    flat = [(500, 0.8), (1000, 0.8), (2000, 0.8)]
    learned, unknown, worse = (
        " ".join(
            forecast(
                observations=flat, observe_size=500, target_score=0.9, zero_shot=start
            ).warnings
        )
        for start in (0.3, None, 0.88)
    )
    assert "do not improve" not in learned and "do not improve" in unknown
    assert "0.8, is worse than zero-shot, 0.88" in worse and "worse" not in learned + unknown


def test_a_fall_is_one_of_means() -> None:
    """Among many seeds a good one at few labels and a bad one at more are no fall."""
    seeds = [(10, 0.60), (10, 0.65), (10, 0.73), (20, 0.60), (20, 0.68), (20, 0.75)]
    found = forecast(observations=seeds, observe_size=500, target_score=0.8).warnings
    assert not any("fall from" in warning for warning in found)


def test_a_frozen_model_may_never_learn() -> None:
    """With `frozen`, flat scores may stay flat; the forecast from rising scores hardly changes."""

    def low_and_mean(seen: list[tuple[int, float]], recipe: str) -> tuple[float, float]:
        answer = forecast(observations=seen, observe_size=500, budget=1000, recipe=recipe)
        assert answer.at_budget is not None
        return answer.at_budget.low, answer.at_budget.mean

    flat = [(50, 0.69), (100, 0.68)]
    (low, mean), (usual_low, usual) = (low_and_mean(flat, r) for r in ("Linear", "full"))
    assert low < 0.67 < 0.68 < usual_low
    assert mean < usual - 0.02
    rising = [(50, 0.5), (100, 0.62)]
    assert abs(low_and_mean(rising, "linear")[1] - low_and_mean(rising, "full")[1]) < 0.01
    said = forecast(observations=flat, observe_size=500, budget=1000, recipe="mine", frozen=True)
    assert said.at_budget is not None and said.at_budget.low == low
    denied = forecast(
        observations=flat, observe_size=500, budget=1000, recipe="linear", frozen=False
    )
    assert denied.at_budget is not None and denied.at_budget.low == usual_low
    hopes = [
        any("assumes that it does" in w for w in forecast(observations=flat, recipe=r).warnings)
        for r in ("linear", "full")
    ]
    assert hopes == [False, True]


def test_coslow_of_fine_tuned_models_says_nothing_about_a_frozen_one() -> None:
    """With scores it is not used, without them it is; both give a warning."""
    seen = [(50, 0.69), (100, 0.68)]
    card = "llama-3.1-8b-instruct"
    asked: dict[str, Any] = {"observations": seen, "target_score": 0.85, "frozen": True}
    answer = forecast(0.65, card, **asked)
    assert answer.labels_needed == forecast(**asked).labels_needed
    assert any("CoS-Low is not used" in warning for warning in answer.warnings)
    alone = forecast(0.65, card, frozen=True).warnings
    assert any("may never learn the task" in warning for warning in alone)


def test_a_ceiling_bounds_a_frozen_model_and_does_not_attract_it() -> None:
    """It is not expected to end near it."""
    seen = [(50, 0.5), (100, 0.52)]
    free, bounded, usual = (
        forecast(observations=seen, observe_size=500, budget=2000, **options).at_budget
        for options in (
            {"recipe": "linear"},
            {"recipe": "linear", "ceiling": 0.8},
            {"ceiling": 0.8},
        )
    )
    assert free is not None and bounded is not None and usual is not None
    assert bounded.high < 0.83 < free.high  # of a measured score, with its noise
    assert bounded.mean <= free.mean < usual.mean - 0.05


def test_a_rising_loss_has_its_own_warning() -> None:
    """For losses and errors the warning speaks of a rise, in the user's unit."""
    seen = [(50, 40.0), (100, 50.0)]
    answer = forecast(observations=seen, metric="error", scale=100, observe_size=5000)
    assert any("rise from 40 at 50 to 50 at 100" in w for w in answer.warnings)


def test_each_score_keeps_its_own_noise() -> None:
    """The more precise of two scores decides, and the given sd is kept."""
    first, second = (
        forecast(observations=[(100, 0.5, a), (100, 0.7, b)], target_score=0.8)
        for a, b in ((0.01, 0.1), (0.1, 0.01))
    )
    assert _at(first, 100).mean < 0.55 and _at(second, 100).mean > 0.65
    assert [round(o.sd, 3) for o in first.observations] == [0.01, 0.1]
    assert [round(o.sd, 3) for o in second.observations] == [0.1, 0.01]


def test_the_noise_of_a_test_set_comes_on_top_of_the_seed() -> None:
    """observe_sd is the test set's: the kept sd is larger; a larger test set has a smaller one."""
    seen = [(100, 0.6)]
    by_sd = forecast(observations=seen, observe_sd=0.02, target_score=0.8).observations[0]
    small, large = (
        forecast(observations=seen, observe_size=size, target_score=0.8).observations[0]
        for size in (100, 10_000)
    )
    assert by_sd.sd > 0.02 and small.sd > large.sd > 0.005


def test_a_score_may_have_its_own_test_size() -> None:
    """A fourth number is that size, like --observe-size for one score; an sd takes precedence."""
    asked: dict[str, Any] = {"target_score": 0.8, "zero_shot": 0.4}
    own = forecast(observations=[(50, 0.6, None, 300)], **asked)
    assert own == forecast(observations=[(50, 0.6)], observe_size=300, **asked)
    by_sd = forecast(observations=[(50, 0.6, 0.02, 300)], **asked)
    assert by_sd == forecast(observations=[(50, 0.6, 0.02)], **asked)


def test_an_sd_of_a_loss_is_compared_with_the_size_of_the_loss() -> None:
    """A squared error of 250,000 with an sd of 5,000 is measured well."""
    answer = forecast(
        observations=[(100, 250_000, 5000), (400, 180_000, 4000)],
        lower_is_better=True,
        target_score=150_000,
    )
    assert len(answer.observations) == 2
    assert not any("ignored" in warning for warning in answer.warnings)
