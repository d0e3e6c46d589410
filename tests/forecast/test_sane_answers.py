"""Questions that once got absurd forecasts, and what a statistician would accept."""

import math
from typing import Any

import numpy as np
import pytest
from forecast_helpers import needed, number

from labelcast.errors import InputError
from labelcast.forecast.forecasting import forecast
from labelcast.forecast.options import Observed


def test_a_low_slow_score_is_not_forecast_to_be_high() -> None:
    """ROUGE of .12, .14, .15 is not forecast above .5 at 5,000."""
    seen = [(50, 0.12), (100, 0.14), (200, 0.15)]
    at = forecast(zero_shot=0.08, target_score=0.5, observations=seen, budget=5000).at_budget
    assert at is not None and at.mean < 0.5


def test_a_low_slow_score_leaves_a_high_one_open() -> None:
    """The interval of the same curve at 5,000 reaches down to where the scores are."""
    seen = [(50, 0.12), (100, 0.14), (200, 0.15)]
    band = forecast(zero_shot=0.08, target_score=0.5, observations=seen).curve[-1]
    assert band.low < 0.25


@pytest.mark.parametrize("size", [None, 500, 20_000])
def test_twice_a_tiny_score_needs_far_more_labels(size: int | None) -> None:
    """.0143, .0152 at 200, 400: .03 may need 10,000 labels, which the interval includes."""
    found = needed(
        target_score=0.03,
        observations=[(200, 0.0143), (400, 0.0152)],
        observe_size=size,
        horizon=10**6,
    )
    assert number(found.median) > 400
    assert number(found.low) <= 10_000 <= number(found.high)


def test_worse_scores_never_need_fewer_labels() -> None:
    """Zero-shot .70, target .80: as a score goes from .75 down to .20, the labels needed rise."""
    found = [
        needed(zero_shot=0.7, target_score=0.8, observe_size=1000, observations=[(50, score)])
        for score in (0.75, 0.70, 0.65, 0.55, 0.40, 0.30, 0.20)
    ]
    medians = [number(answer.median) for answer in found]
    assert medians == sorted(medians) and medians[0] < medians[1] < medians[2]
    chances = [answer.reachable for answer in found]
    assert chances == sorted(chances, reverse=True)


def test_falling_scores_are_not_trusted() -> None:
    """.91, .76, .60: a warning about the fall, an open interval, advice to repeat."""
    answer = forecast(target_score=0.85, observations=[(50, 0.91), (100, 0.76), (200, 0.60)])
    assert any("fall from 0.91 at 50 to 0.6 at 200" in warning for warning in answer.warnings)
    found = answer.labels_needed
    assert found.high is None and found.median != found.low and found.reachable < 0.95
    assert "repeat" in answer.advice() and not answer.advice().startswith("Stop")
    at = {band.n: band for band in answer.curve}[200]
    assert at.high - at.low > 0.1


def test_below_50_labels_little_is_known() -> None:
    """Zero-shot .60, .91 at 50, target .79: the interval spans a factor of 8, below 50."""
    answer = forecast(zero_shot=0.6, target_score=0.79, observations=[(50, 0.91)])
    found = answer.labels_needed
    assert found.low is not None and found.high is not None and found.median is not None
    assert found.low < found.median < found.high <= 50
    assert found.high >= 8 * found.low


def test_the_interval_given_that_the_target_is_reached_is_closed() -> None:
    """If the other interval is open, these are the median and interval of curves that get there."""
    found = needed(zero_shot=0.4, target_score=0.85, observations=[(50, 0.5)], observe_size=1000)
    assert found.high is None
    assert found.if_reached is not None and found.if_reached_low is not None
    assert found.if_reached_high is not None
    assert found.if_reached_low <= found.if_reached <= found.if_reached_high <= 5000


def test_a_higher_coslow_never_needs_more_labels_at_the_top() -> None:
    """A CoS-Low of .8 once needed 330 labels and 1.0 needed 350."""
    low, high = (
        forecast(coslow, "llama-3.1-8b-instruct", target=0.9).labels_needed for coslow in (0.8, 1.0)
    )
    assert number(high.median) <= number(low.median)


def test_a_thousand_scores_give_a_sane_forecast() -> None:
    """The curve passes through the middle of the scores, with a narrow interval."""
    budgets = np.unique(np.geomspace(10, 5000, 1000).astype(int))
    steps = np.arange(len(budgets))
    noise = 0.02 * np.sin(steps * 2.4)
    middle = 0.3 + 0.06 * np.log(budgets)
    seen = [(int(n), float(s)) for n, s in zip(budgets, middle + noise, strict=True)]
    answer = forecast(observations=seen * 2, target_score=0.75, observe_size=500)
    bands = {band.n: band for band in answer.curve}
    for n in (50, 200, 1000):
        assert bands[n].mean == pytest.approx(0.3 + 0.06 * math.log(n), abs=0.03)
        assert bands[n].high - bands[n].low < 0.1
    found = answer.labels_needed
    assert found.median is not None and 1000 < found.median < 3000
    assert len(answer.observations) == 2 * len(seen)


@pytest.mark.parametrize(
    ("n", "score", "sd"), [(1, 1.0, 0.0), (1, 1.0, None), (50, 0.8, 0.0), (5000, 0.9, 0.02)]
)
def test_a_score_that_meets_the_target_is_reported(n: int, score: float, sd: float | None) -> None:
    """However precise, at any budget: the target is met, and the forecast says by which score."""
    answer = forecast(observations=[(n, score)], observe_sd=sd, target_score=0.8, zero_shot=0.4)
    assert answer.met and answer.next_budget is None
    assert answer.sentence().startswith(f"Reached: the score of {score:.3g} at {n:,} labels")
    assert answer.advice().startswith("Stop")


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_scores_at_the_ends_of_the_scale_are_accepted(score: float) -> None:
    """None right and all right are scores too."""
    found = needed(observations=[(50, score)], target_score=0.5, zero_shot=0.2)
    assert 0 <= found.reachable <= 1 and number(found.low) <= number(found.median)
    assert (found.reachable > 0.9) == (score == 1.0)


def test_a_curve_near_its_target_is_not_given_up_at_5000_labels() -> None:
    """.70, .75, .80 with each doubling and a target of .82: hopeful just below 5,000 labels too."""
    answer = forecast(
        observations=[(1225, 0.70), (2450, 0.75), (4900, 0.80)],
        observe_size=2000,
        target_score=0.82,
    )
    found = answer.labels_needed
    assert found.reachable > 0.6 and answer.next_budget is not None
    assert found.point is not None and found.point > 4900 and number(found.low) >= 4900


@pytest.mark.parametrize("last", [0.86, 0.88, 0.90, 0.92])
def test_a_score_above_the_trend_counts(last: float) -> None:
    """The last of five scores jumps: the chance is that of the budget, and does not fall again."""
    before = [(100, 0.70), (200, 0.74), (500, 0.79), (1000, 0.82)]
    one, lower = (
        forecast(
            observations=[*before, (2000, score)],
            observe_size=2000,
            target_score=0.89,
            horizon=5000,
            budget=5000,
        )
        for score in (last, 0.84)
    )
    assert one.at_budget is not None
    assert one.at_budget.chance == pytest.approx(one.labels_needed.reachable, abs=1e-6)
    assert one.labels_needed.reachable > lower.labels_needed.reachable + 0.1


def test_one_lucky_seed_does_not_meet_the_target() -> None:
    """The mean of the scores with the same number of labels counts."""
    lucky = [(200, score) for score in (0.81, 0.82, 0.80, 0.83, 0.86)]
    answer = forecast(observations=lucky, observe_size=500, target_score=0.85)
    assert not answer.met and answer.next_budget is not None
    met = forecast(observations=lucky, observe_size=500, target_score=0.82)
    assert met.met and met.headline().startswith("Reached: the mean score of 0.824 at 200 labels")


@pytest.mark.parametrize("target", [1.49, 1.51])
def test_the_mean_of_losses_decides(target: float) -> None:
    """Losses of 1 and 2 meet 1.51, not 1.49: their mean counts, not that of exp(-loss)."""
    answer = forecast(
        observations=[(200, 1.0), (200, 2.0)], lower_is_better=True, target_score=target
    )
    assert answer.met == (target > 1.5)
    assert ("mean score of 1.5 at 200 labels" in answer.headline()) == answer.met


def test_many_seeds_of_a_loss_are_not_certain() -> None:
    """They share how a curve differs from those of the prior; 1 + 3 n^-0.35 takes 3,000 labels."""
    runs = [
        (n, (1 + 3 * n**-0.35) * factor)
        for n in (100, 200, 400, 800)
        for factor in (0.99, 0.995, 1.0, 1.005, 1.01)
    ]
    found = forecast(observations=runs, lower_is_better=True, target_score=1.182).labels_needed
    assert found.low is not None and found.low < 3000 < (found.high or math.inf)


@pytest.mark.parametrize(
    ("losses", "target"),
    [
        ([(100, 3.2), (300, 1.9), (1000, 1.1)], 0.8),
        ([(100, 0.65), (200, 0.5), (500, 0.35)], 0.25),
        ([(50, 1.6), (100, 1.3), (200, 1.0)], 0.6),
    ],
)
def test_a_steep_fall_of_losses_is_not_over(losses: list[tuple[int, float]], target: float) -> None:
    """A power law meets the target below 2,000 labels; the answer is not a confident no."""
    answer = forecast(observations=losses, lower_is_better=True, target_score=target)
    assert answer.labels_needed.reachable > 0.5


def test_zero_shot_alone_is_not_enough() -> None:
    """The message says what is missing."""
    with pytest.raises(InputError, match="zero-shot alone says too little"):
        forecast(observations=[(0, 0.5)], target_score=0.8)


@pytest.mark.parametrize("scale", [1, 100])
def test_a_perfect_ceiling_raises_the_chance_and_says_so(scale: int) -> None:
    """Many give the largest accuracy that there is, which is no knowledge of the model."""

    def asked(ceiling: float | None, *, frozen: bool = False) -> tuple[float, bool]:
        answer = forecast(
            observations=[(100, 0.7 * scale)],
            observe_size=500,
            target_score=0.85 * scale,
            ceiling=ceiling,
            frozen=frozen,
            scale=scale,
        )
        warned = any(f"a ceiling of {scale} says" in warning for warning in answer.warnings)
        return answer.labels_needed.reachable, warned

    (without, not_warned), (chance, warned) = asked(None), asked(scale)
    assert chance > without and warned and not not_warned
    assert not asked(0.95 * scale)[1] and not asked(scale, frozen=True)[1]


def test_a_target_above_a_ceiling_that_was_too_low_names_the_ceiling_given() -> None:
    """The score of .7 raises the ceiling of .6, but .7 was not given as one."""
    with pytest.raises(InputError, match=r"--target-score 0.8 lies above --ceiling 0.6"):
        forecast(observations=[(100, 0.7)], target_score=0.8, ceiling=0.6)


def test_percent_is_not_believed_of_scores_up_to_1() -> None:
    """--scale 100 with 0.79 gives a confident no, so a warning names the mistake."""

    def warned(*scores: float, scale: float = 100) -> bool:
        seen = list(zip((50, 200), scores, strict=False))
        answer = forecast(observations=seen, scale=scale, target_score=0.85 * scale)
        return any("leave out --scale" in warning for warning in answer.warnings)

    assert warned(0.71, 0.79) and warned(71, 0.79)
    assert not warned(0.9, 7.1) and not warned(0.71, 0.79, scale=1) and not warned(0, 0)


def test_all_of_the_gain_is_reached_at_the_ceiling_by_definition() -> None:
    """A warning says so, also where the target is the ceiling as a score."""

    def warned(**asked: Any) -> bool:
        answer = forecast(observations=[(0, 0.5), (50, 0.7)], **asked)
        return any("no curve rises beyond" in warning for warning in answer.warnings)

    assert warned(target=1.0) and warned(target_score=0.95, ceiling=0.95)
    assert not warned(target=0.9) and not warned(target_score=0.9, ceiling=0.95)


def test_the_advice_where_nothing_was_learned_does_not_contradict_itself() -> None:
    """With a chance of a few percent the forecast does not assume that the model learns."""
    stuck = forecast(observations=[(50, 0.0), (200, 0.0)], target_score=0.5)
    said = " ".join(stuck.warnings)
    assert stuck.advice().startswith("Stop") and "do not improve" in said
    assert "assumes that it does" not in said and "at more labels" not in said


def test_labels_given_success_are_not_below_the_interval() -> None:
    """After "at least 5,000" there is no "if it is reached, the best guess is about 2,200"."""
    seen = [(0, 0.52), (50, 0.71), (50, 0.69), (200, 0.79)]
    answer = forecast(observations=seen, observe_size=1000, target_score=0.97)
    low, reached = number(answer.labels_needed.low), number(answer.labels_needed.if_reached)
    assert ("If it is reached" in answer.sentence()) == (reached >= low)


def test_the_chance_at_the_labels_quoted_is_said() -> None:
    """It is that of the reverse question, at most 60% of the chance of all."""
    seen = [(50, 0.71), (200, 0.79)]
    answer = forecast(observations=seen, target_score=0.85)
    found = answer.labels_needed
    there = forecast(observations=seen, target_score=0.85, budget=found.point).at_budget
    assert there is not None and there.chance == found.point_chance
    assert f"{there.chance:.0%} chance that 910 suffice" in answer.sentence()


def test_a_horizon_that_is_used_up_is_the_reason_to_stop() -> None:
    """Not the cost of labels that the forecast was not to look at."""
    answer = forecast(observations=[(100, 0.7), (200, 0.71)], horizon=200, target_score=0.9)
    assert answer.advice().startswith("Stop, or look further with --horizon")


def test_rows_of_an_array_are_observations() -> None:
    """As are tuples; labels may be written as 50.0."""
    rows = [(50, 0.71), (200, 0.79)]
    assert forecast(observations=np.array(rows)) == forecast(observations=rows)


def test_a_share_is_not_believed_beside_scores_in_percent() -> None:
    """A target of 0.85 would be met by every score, and a ceiling of 0.9 be passed by each."""
    seen = [(50, 71), (200, 79)]
    for option in ("target_score", "ceiling"):
        asked: dict[str, Any] = {"target_score": 85.0} | {option: 0.85}
        with pytest.raises(InputError, match=r"0\.85: from 0 to 1, .* such as 79; give 85$"):
            forecast(observations=seen, scale=100, **asked)
    errors = [(50, 7.1), (200, 2.9)]
    assert forecast(observations=errors, scale=100, lower_is_better=True, target_score=0.9)


def test_a_loss_alone_has_no_unit() -> None:
    """20 may be a perplexity that is hard to reach, or a loss that every model has."""
    with pytest.raises(InputError, match="--target-score: how large the losses are is unknown"):
        forecast(coslow=0.4, lower_is_better=True, target_score=20)
    with pytest.raises(InputError, match="--target-score"):
        forecast(observations=[(50, 0.7)], lower_is_better=True, target_score="0.5")  # type: ignore[arg-type]


def test_small_scores_are_written_with_three_digits() -> None:
    """A loss of 0.0008 is not 0.001, and not 0.000."""
    answer = forecast(
        observations=[(100, 0.0008)], lower_is_better=True, target_score=0.0005, budget=1000
    )
    assert " 0.000 " not in answer.budget_sentence()
    assert answer.figure(0.00084) != answer.figure(0.00083)


def test_many_equal_scores_below_the_target_do_not_promise_it() -> None:
    """Twelve scores of .80 from 100 to 3,000 labels: .85 by 12,000 is unlikely."""
    seen = [(n, 0.8) for n in (100, 300, 1000, 3000) for _ in range(3)]
    answer = forecast(observations=seen, target_score=0.85, observe_size=2000, budget=12_000)
    assert answer.at_budget is not None and answer.at_budget.chance < 0.2
    assert answer.labels_needed.point is None


@pytest.mark.parametrize("zero_shot", [None, 0.3])
def test_a_ceiling_does_not_push_the_curve_below_scores_beyond_5000(
    zero_shot: float | None,
) -> None:
    """.70, .80, .86 at 2,000, 10,000, 50,000: with a ceiling of .95 more labels are not worse."""
    answer = forecast(
        observations=[(2000, 0.7), (10_000, 0.8), (50_000, 0.86)],
        zero_shot=zero_shot,
        ceiling=0.95,
        target_score=0.88,
        budget=200_000,
    )
    assert answer.at_budget is not None and answer.at_budget.mean > 0.86


def test_a_ceiling_is_named_where_the_curves_end_at_5000() -> None:
    """With a ceiling and a horizon beyond 5,000, a warning names it; without one, none does.

    It does not say to leave the ceiling out: a target in gains needs it, and a run keeps its task.
    """
    seen = [(500, 0.7), (2000, 0.78), (5000, 0.82)]
    with_ceiling = forecast(observations=seen, ceiling=0.95, target_score=0.85)
    (said,) = [warning for warning in with_ceiling.warnings if "with a ceiling" in warning]
    assert "flat beyond" in said and "leave" not in said
    without = forecast(observations=seen, target_score=0.85)
    assert not any("ceiling" in warning for warning in without.warnings)


def test_the_interval_at_a_budget_does_not_depend_on_which_seed_is_better() -> None:
    """One of two seeds has an sd of its own, which is not that of a run with more labels."""
    widths = []
    for other, own in ((0.79, 0.80), (0.80, 0.79)):
        seen: list[Observed] = [(50, 0.71), (200, other), (200, own, 0.1)]
        at = forecast(observations=seen, target_score=0.85, budget=5000).at_budget
        assert at is not None
        widths.append(at.high - at.low)
    assert widths[0] == pytest.approx(widths[1], abs=0.02)


def test_the_best_guess_lies_within_a_narrow_interval() -> None:
    """At a level of 20% the interval may begin above the best guess."""
    seen = [(16, 0.205), (16, 0.227), (16, 0.241), (18, 0.229), (88, 0.33)]
    found = needed(observations=seen, target_score=0.592, observe_size=5000, level=0.2)
    assert number(found.low) <= number(found.point) <= number(found.high)
