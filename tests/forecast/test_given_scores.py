"""The scales of scores: 0 to 100, error rates, losses."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelcast.forecast.answer import Forecast
from labelcast.forecast.forecasting import forecast
from labelcast.forecast.given_scores import Scale

SEEN = [(50, 0.5), (50, 0.53), (200, 0.62)]


@given(st.floats(0.001, 1), st.sampled_from([Scale(), Scale("score", 100), Scale("error", 100)]))
def test_a_bounded_scale_can_be_inverted(share: float, scale: Scale) -> None:
    """From the user's scale to 0 to 1 and back, scores and sds stay the same."""
    assert scale.to_unit(scale.from_unit(share)) == pytest.approx(share)
    assert scale.sd_to_unit(scale.sd_from_unit(0.02, share), share) == pytest.approx(0.02)


@given(st.floats(0, 20), st.floats(0, 20))
def test_a_loss_can_be_inverted_and_falls_as_the_score_rises(a: float, b: float) -> None:
    """The lower the loss, the higher the score."""
    loss = Scale("loss")
    assert loss.falls and loss.from_unit(loss.to_unit(a)) == pytest.approx(a, abs=1e-12)
    low, high = sorted((a, b))
    assert loss.to_unit(low) >= loss.to_unit(high)


@pytest.mark.parametrize("ends", [{}, {"zero_shot": 0.4}, {"zero_shot": 0.4, "ceiling": 0.9}])
@pytest.mark.parametrize("noise", [{}, {"observe_size": 300}, {"observe_sd": 0.02}])
def test_0_to_100_is_0_to_1(ends: dict[str, Any], noise: dict[str, Any]) -> None:
    """The same labels and chances; scores are 100 times as large."""
    one = forecast(observations=SEEN, target_score=0.8, budget=700, **ends, **noise)
    hundred = forecast(
        observations=[(n, 100 * s) for n, s in SEEN],
        target_score=80.0,
        budget=700,
        scale=100,
        **{key: 100 * value for key, value in ends.items()},
        **{key: value * (100 if key == "observe_sd" else 1) for key, value in noise.items()},
    )
    assert hundred.labels_needed == pytest.approx(one.labels_needed)
    assert hundred.next_budget == one.next_budget
    for large, small in zip(hundred.curve, one.curve, strict=True):
        assert large == pytest.approx((small.n, *(100 * v for v in small[1:])))
    assert hundred.at_budget is not None and one.at_budget is not None
    assert hundred.at_budget.low == pytest.approx(100 * one.at_budget.low)
    assert hundred.at_budget.chance == pytest.approx(one.at_budget.chance)
    assert hundred.observations[0].sd == pytest.approx(100 * one.observations[0].sd)


@pytest.mark.parametrize("named", [{"metric": "error"}, {"lower_is_better": True, "scale": 1.0}])
@pytest.mark.parametrize("ends", [{}, {"zero_shot": 0.4, "ceiling": 0.9}])
def test_an_error_rate_mirrors_accuracy(ends: dict[str, Any], named: dict[str, Any]) -> None:
    """The same labels; scores are 1 minus the accuracy, with the ends in rising order."""
    right = forecast(observations=SEEN, target_score=0.8, budget=700, **ends)
    wrong = forecast(
        observations=[(n, 1 - s) for n, s in SEEN],
        target_score=1 - 0.8,
        budget=700,
        **{key: 1 - value for key, value in ends.items()},
        **named,
    )
    assert wrong.lower_is_better and not right.lower_is_better
    assert wrong.labels_needed == pytest.approx(right.labels_needed)
    for error, score in zip(wrong.curve, right.curve, strict=True):
        assert error == pytest.approx((score.n, 1 - score.mean, 1 - score.high, 1 - score.low))


def _loss(**options: Any) -> Forecast:
    seen = [(50, 3.2), (200, 2.7), (800, 2.3)]
    return forecast(observations=seen, metric="loss", observe_sd=0.02, **options)


def test_a_loss_is_forecast_in_its_own_unit() -> None:
    """It falls with labels, is close to the observed losses, and is never below 0."""
    answer = _loss(target_score=2.0, budget=2000)
    means = [band.mean for band in answer.curve]
    assert means == sorted(means, reverse=True) and answer.lower_is_better
    assert all(0 <= band.low <= band.mean <= band.high for band in answer.curve)
    bands = {band.n: band for band in answer.curve}
    for n, loss in ((50, 3.2), (200, 2.7)):
        assert bands[n].low <= loss <= bands[n].high
        assert bands[n].mean == pytest.approx(loss, abs=0.25)
    assert answer.at_budget is not None and 1.5 < answer.at_budget.mean < 2.3
    assert answer.target.score == pytest.approx(2.0)
    assert [o.score for o in answer.observations] == pytest.approx([3.2, 2.7, 2.3])


def test_a_lower_loss_needs_more_labels() -> None:
    """Targets below the observed losses need more labels than were tried, in order."""
    easy, hard = (_loss(target_score=t, horizon=10**6).labels_needed for t in (2.1, 1.9))
    assert easy.median is not None and easy.low is not None
    assert 800 < easy.low <= easy.median
    assert hard.median is None or hard.median > easy.median
    assert hard.reachable < easy.reachable
    assert "Reached" in _loss(target_score=2.3).sentence()


@pytest.mark.parametrize("options", [{"metric": "loss"}, {"lower_is_better": True}])
def test_lower_is_better_without_a_scale_is_a_loss(options: dict[str, Any]) -> None:
    """Both ways to ask are the same."""
    found = forecast(observations=[(50, 3.2)], target_score=2.0, **options)
    assert found == forecast(observations=[(50, 3.2)], target_score=2.0, metric="loss")


def test_losses_that_may_be_error_rates_are_named() -> None:
    """All within 0 to 1: a warning names --metric error; with it, or beyond 1, there is none."""
    for score, scale, warned in ((0.4, None, True), (1.4, None, False), (0.4, 1.0, False)):
        asked: dict[str, Any] = {"lower_is_better": True, "target_score": 0.2, "scale": scale}
        found = forecast(observations=[(50, score)], **asked).warnings
        assert any("--metric error" in warning for warning in found) == warned
