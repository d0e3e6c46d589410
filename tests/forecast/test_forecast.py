"""The forecast: its figures, its warnings, and what it refuses."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcast.forecast.answer import Forecast
from labelcast.forecast.calibration import by_name
from labelcast.forecast.chances import POINT
from labelcast.forecast.efficiency import GRID, power_law_labels
from labelcast.forecast.forecasting import forecast

LLAMA = "llama-3.1-8b-instruct"
COSLOWS = st.floats(-0.05, 0.8)
KNOWN: dict[str, Any] = {"zero_shot": 0.4, "ceiling": 0.9}


def _llama(coslow: float = 0.3, **options: Any) -> Forecast:
    return forecast(coslow, LLAMA, **options)


def _labels(value: int | None) -> float:
    return math.inf if value is None else value


@given(COSLOWS, st.floats(0.02, 1.0), st.floats(0.02, 1.0))
@settings(max_examples=5)
def test_more_gain_never_needs_fewer_labels(coslow: float, a: float, b: float) -> None:
    """Every quantile of the labels needed rises with the target, and the chance falls."""
    low, high = (_llama(coslow, target=t).labels_needed for t in sorted((a, b)))
    for name in ("low", "median", "high"):
        assert _labels(getattr(low, name)) <= _labels(getattr(high, name))
    assert low.reachable >= high.reachable


@given(COSLOWS, st.floats(0.1, 0.99), st.floats(0.1, 0.99), st.booleans())
@settings(max_examples=5)
def test_intervals_nest_as_the_level_grows(
    coslow: float, a: float, b: float, observed: bool
) -> None:
    """A higher level's interval contains a lower one's; medians and means stay the same."""
    scores: dict[str, Any] = {**KNOWN, "observations": [(50, 0.6)]} if observed else {}
    inner, outer = (_llama(coslow, level=v, budget=300, **scores) for v in sorted((a, b)))
    assert outer.auc.low <= inner.auc.low + 1e-9
    assert inner.auc.high <= outer.auc.high + 1e-9
    assert _labels(outer.labels_needed.low) <= _labels(inner.labels_needed.low)
    assert _labels(inner.labels_needed.high) <= _labels(outer.labels_needed.high)
    assert inner.labels_needed.median == outer.labels_needed.median
    for one, two in zip(inner.curve, outer.curve, strict=True):
        assert two.low <= one.low + 1e-12 and one.high <= two.high + 1e-12
        assert one.mean == two.mean


@given(st.permutations([(0, 0.4), (50, 0.55), (100, 0.5), (700, 0.8)]))
@settings(max_examples=5)
def test_order_of_observations_does_not_matter(observations: list[tuple[int, float]]) -> None:
    """Observations in any order give the same forecast."""
    first = _llama(observations=sorted(observations), ceiling=0.9)
    assert _llama(observations=observations, ceiling=0.9) == first


def test_a_score_from_a_tiny_test_set_counts_less() -> None:
    """A score from one test example moves the AUC less than a score from a thousand."""
    scores = {**KNOWN, "observations": [(50, 0.85)]}
    none, one, many = (
        _llama(**KNOWN).auc.mean,
        _llama(**scores, observe_size=1).auc.mean,
        _llama(**scores, observe_size=1000).auc.mean,
    )
    assert abs(one - none) < 0.1 * abs(many - none)


def test_scores_narrow_the_forecast() -> None:
    """With scores at 50, 100 and 200 the interval of the AUC is narrower than without."""
    before = _llama(**KNOWN).auc
    after = _llama(**KNOWN, observations=[(50, 0.5), (100, 0.55), (200, 0.62)]).auc
    assert after.high - after.low < 0.7 * (before.high - before.low)


def test_the_calibrated_auc_is_not_shrunk() -> None:
    """Without scores the AUC is the calibration's own prediction and interval, at any level."""
    for level in (0.5, 0.9, 0.98):
        estimate = by_name(LLAMA).predict(0.6, level)
        auc = _llama(0.6, level=level).auc
        assert (auc.mean, auc.low, auc.high) == (estimate.mean, estimate.low, estimate.high)


def test_power_law_is_the_papers_figure() -> None:
    """The one-shot figure comes from AUC' by the published formula."""
    card = replace(by_name(LLAMA), slope=0.54, intercept=0.31)
    law = forecast(0.65, card, target=0.9).power_law
    assert law is not None and round(law.auc, 3) == 0.661
    assert law.exponent == pytest.approx(0.339 / 0.661)
    assert law.labels_needed == math.ceil(power_law_labels(0.9, law.auc))


def test_the_dict_has_the_documented_fields_and_is_json_ready() -> None:
    """It goes through JSON unchanged."""
    answer = _llama(0.3, target=0.9, budget=500).to_dict()
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    promised = "level auc labels_needed at_budget next_budget curve calibration warnings"
    extra = "power_law target answered_by curve_unit shares met zero_shot ceiling observations"
    later = "horizon lower_is_better plan"
    assert set(answer) == set(f"{promised} {extra} {later}".split())
    assert set(answer["auc"]) == {"mean", "low", "high"}
    needed = "median low high reachable if_reached if_reached_low if_reached_high point"
    assert set(answer["labels_needed"]) == {*needed.split(), "point_chance"}
    assert set(answer["shares"]) == {"coslow", "scores", "prior"}
    assert [point["n"] for point in answer["curve"]] == list(GRID)
    assert answer["calibration"] == LLAMA and answer["answered_by"] == ["coslow", "prior"]


def test_the_curve_is_in_scores_if_both_ends_are_known() -> None:
    """With zero-shot and ceiling the curve runs from one towards the other.

    A model fine-tuned on few labels may score below zero-shot, but not above the ceiling.
    """
    gains, scores = _llama(budget=300), _llama(**KNOWN, budget=300)
    assert (gains.curve_unit, scores.curve_unit) == ("gain", "score")
    assert gains.curve[0].high == 0 and scores.curve[0].high == 0.4
    by_budget = {score.n: score for score in scores.curve}
    for gain in gains.curve:
        score = by_budget[gain.n]
        assert score.low <= score.mean <= score.high <= 0.9 + 1e-12 and score.mean >= 0.4
        assert score.mean == pytest.approx(0.4 + 0.5 * gain.mean, abs=0.04)


def test_the_curve_stays_below_a_known_ceiling() -> None:
    """With both ends and CoS-Low no interval ends above the ceiling."""
    assert max(band.high for band in _llama(**KNOWN).curve) <= 0.9 + 1e-12


def test_reverse_question_agrees_with_the_forward_one() -> None:
    """The chance at 5,000 is `reachable`; at the median it is about a half; at 0 it is 0."""
    whole = _llama(0.5, budget=5000)
    assert whole.at_budget is not None
    assert whole.at_budget.chance == pytest.approx(whole.labels_needed.reachable, abs=1e-3)
    assert whole.labels_needed.median is not None
    half = _llama(0.5, budget=whole.labels_needed.median).at_budget
    none = _llama(0.5, budget=0).at_budget
    assert half is not None and half.chance == pytest.approx(0.5, abs=0.02)
    assert none is not None and none.chance == 0


def test_a_score_target_equals_the_same_fraction() -> None:
    """A target score gives the same forecast as the fraction of the gain that it equals."""
    by_score = _llama(target_score=0.8, **KNOWN)
    by_gain = _llama(target=0.8, **KNOWN)
    assert by_score.labels_needed == by_gain.labels_needed
    assert by_score.target.gain == pytest.approx(0.8)
    assert by_gain.target.score == pytest.approx(0.8)


def test_none_needed() -> None:
    """If zero-shot meets the target no label is needed, whatever else is known."""
    given: tuple[dict[str, Any], ...] = ({"coslow": 0.3, "calibration": LLAMA}, {})
    for options in given:
        answer = forecast(target_score=0.3, **KNOWN, **options)
        needed = answer.labels_needed
        assert (needed.low, needed.median, needed.high, needed.reachable) == (0, 0, 0, 1.0)
        assert answer.next_budget is None and answer.answered_by == ("zero-shot",)
        assert answer.sentence().startswith("None needed")


def test_a_met_target_needs_no_next_budget() -> None:
    """An observed score at the target ends the search; before that the next budget is a new one."""
    met = forecast(observations=[(0, 0.4), (100, 0.86)], ceiling=0.9)
    assert met.next_budget is None and met.met and met.calibration is None
    going = forecast(observations=[(0, 0.4), (100, 0.7)], ceiling=0.9)
    assert going.next_budget is not None and going.next_budget > 100 and not going.met
    assert going.power_law is None and going.answered_by == ("scores", "prior")
    assert forecast(observations=[(0, 0.4), (5000, 0.5)], ceiling=0.9).next_budget is None


@given(COSLOWS, st.floats(0.05, 1.0), st.sampled_from([0, 50, 300, 2000]))
@settings(max_examples=5)
def test_the_next_budget_is_above_what_is_owned(coslow: float, target: float, owned: int) -> None:
    """It is None, or more than was trained with and within the horizon."""
    seen: dict[str, Any] = {**KNOWN, "observations": [(owned, 0.42)]} if owned else {}
    answer = _llama(coslow, target=target, **seen)
    assert answer.horizon == max(5000, 4 * owned)
    assert answer.next_budget is None or owned < answer.next_budget <= answer.horizon


def test_unreached_quantiles_are_none_and_reported_in_words() -> None:
    """A quantile beyond 5,000 is None; the sentence says so for an end and for the median."""
    open_above = _llama(0.4, target=0.9)
    assert open_above.labels_needed.high is None and open_above.labels_needed.median is not None
    assert "to more than 5,000)" in open_above.sentence()
    never = _llama(0.0, target=1.0)
    assert never.labels_needed.median is None and never.labels_needed.reachable < 0.5
    assert never.sentence().startswith("Probably more than 5,000 labels")


def test_sentence_of_a_closed_interval() -> None:
    """It has the best guess and both ends with two digits, the level and both chances."""
    answer = _llama(0.65, target=0.5)
    needed = answer.labels_needed._replace(
        point=417, median=380, low=152, high=1896, reachable=0.971, point_chance=0.583
    )
    assert replace(answer, labels_needed=needed).sentence() == (
        "About 420 labels to reach 0.5 of the gain (90%: 150 to 1,900); 58% chance that 420 "
        "suffice, 97% that 5,000 do."
    )


def test_warnings_of_card_and_recipe() -> None:
    """There is one for the pooled default, another recipe, a clipped AUC and an unused card."""
    assert "pooled" in forecast(0.3).warnings[0] and forecast(0.3).calibration == "pooled"
    assert any("LoRA" in w for w in _llama(recipe="LoRA").warnings)
    assert _llama(recipe="Full fine-tuning").warnings == ()
    assert any("clipped" in w for w in forecast(0.9, "mistral-7b-instruct-v0.3").warnings)
    unused = forecast(calibration=LLAMA, observations=[(50, 0.5)], **KNOWN)
    assert any("not used" in w for w in unused.warnings) and unused.calibration is None


def test_a_score_above_the_ceiling_raises_it() -> None:
    """An observed score above the ceiling becomes the ceiling, and a warning says so."""
    answer = _llama(observations=[(50, 0.95)], **KNOWN)
    assert answer.target.ceiling == 0.95 and any("ceiling" in w for w in answer.warnings)


@pytest.mark.parametrize("coslow", [None, 0.5])
def test_the_same_question_gives_the_same_forecast(coslow: float | None) -> None:
    """Nothing is random: two calls give equal forecasts, with and without CoS-Low."""
    seen: dict[str, Any] = {"observations": [(50, 0.5), (50, 0.52), (200, 0.6)], "budget": 300}
    one, two = (forecast(coslow, LLAMA, target_score=0.8, **seen) for _ in range(2))
    assert one == two and one.to_dict() == two.to_dict()


def test_starts_without_the_heavy_libraries() -> None:
    """A forecast with a shipped card imports none of the slow libraries."""
    code = (
        "import sys\n"
        "from labelcast.forecast import forecast\n"
        f"forecast(coslow=0.3, calibration='{LLAMA}', target=0.9)\n"
        "heavy = {'torch', 'transformers', 'pyarrow', 'scipy', 'pandas', 'pydantic',\n"
        "         'numpy.random'}\n"
        "sys.exit(' '.join(sorted(heavy & set(sys.modules))) or None)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("zero_shot", [None, 0.2])
@pytest.mark.parametrize("ceiling", [None, 0.95])
@pytest.mark.parametrize("score", [None, 0.7])
def test_unknown_ends_are_estimated_with_a_warning(
    score: float | None, zero_shot: float | None, ceiling: float | None
) -> None:
    """An unknown end has an interval; there is a warning if the target depends on it."""
    answer = forecast(
        target_score=score,
        zero_shot=zero_shot,
        ceiling=ceiling,
        observations=[(50, 0.5)],
        observe_size=1000,
    )
    for name, known, end in (
        ("zero-shot", zero_shot, answer.zero_shot),
        ("ceiling", ceiling, answer.ceiling),
    ):
        assert end is not None and end.known == (known is not None)
        assert end.low <= end.median <= end.high
        warned = any(
            w.startswith((f"the {name} is unknown", f"the {name} score is"))
            for w in answer.warnings
        )
        assert warned == (not end.known and answer.target.score is None)
    assert answer.curve_unit == "score"
    assert json.loads(json.dumps(answer.to_dict(), allow_nan=False)) == answer.to_dict()


@given(st.floats(0.05, 0.95), st.floats(0.05, 0.95), st.sampled_from([None, 0.3]))
@settings(max_examples=5)
def test_a_higher_target_score_never_needs_fewer_labels(
    a: float, b: float, zero_shot: float | None
) -> None:
    """This also holds if the ends are unknown."""
    low, high = (
        forecast(0.4, LLAMA, target_score=t, zero_shot=zero_shot).labels_needed
        for t in sorted((a, b))
    )
    for name in ("low", "median", "high"):
        assert _labels(getattr(low, name)) <= _labels(getattr(high, name))
    assert low.reachable >= high.reachable


def test_an_unknown_ceiling_widens_the_forecast() -> None:
    """Without --ceiling the interval of the score at 5,000 is wider."""
    scores: dict[str, Any] = {"observations": [(0, 0.4), (50, 0.6)], "observe_size": 1000}
    known, unknown = (forecast(**scores, ceiling=c).curve[-1] for c in (0.9, None))
    assert unknown.high - unknown.low > known.high - known.low


@given(COSLOWS, st.lists(st.tuples(st.integers(1, 5000), st.floats(0.4, 0.9)), max_size=3))
@settings(max_examples=5)
def test_shares_sum_to_one_and_are_printed(
    coslow: float, observations: list[tuple[int, float]]
) -> None:
    """Shares are within 0 and 1 and sum to 1; what is not given has a share of 0."""
    unique = dict(observations)
    answer = _llama(coslow, observations=list(unique.items()), observe_size=500, **KNOWN)
    shares = answer.shares
    assert shares.coslow + shares.scores + shares.prior == pytest.approx(1)
    assert min(shares.coslow, shares.scores, shares.prior) >= 0
    assert unique or shares.scores == 0
    assert "prior" in answer.basis()


def test_scores_take_over_from_coslow() -> None:
    """With scores at more budgets their share grows and the prior's falls."""
    seen = [(50, 0.55), (100, 0.6), (200, 0.66), (1000, 0.76)]
    shares = [_llama(observations=seen[:k], observe_size=2000, **KNOWN).shares for k in range(5)]
    assert [s.scores for s in shares] == sorted(s.scores for s in shares)
    assert [s.prior for s in shares] == sorted((s.prior for s in shares), reverse=True)
    alone = forecast(observations=seen, observe_size=2000, **KNOWN)
    assert alone.shares.coslow == 0 and "CoS-Low" not in alone.basis()


def test_a_score_with_huge_noise_changes_nothing() -> None:
    """It leaves the curve and the labels needed as they are."""
    without = _llama(0.3, **KNOWN, budget=300)
    with_it = _llama(0.3, **KNOWN, budget=300, observations=[(130, 0.88, 1e6)])
    assert with_it.labels_needed == pytest.approx(without.labels_needed)
    for a, b in zip(with_it.curve, without.curve, strict=True):
        assert (a.mean, a.low, a.high) == pytest.approx((b.mean, b.low, b.high), abs=1e-6)


def test_unknown_noise_is_assumed_with_a_warning() -> None:
    """Without size or sd, 500 test examples are assumed, with a warning; an sd is enough."""
    assumed = forecast(observations=[(50, 0.6)], **KNOWN)
    sized = forecast(observations=[(50, 0.6)], observe_size=500, **KNOWN)
    assert any("500" in w for w in assumed.warnings) and sized.warnings == ()
    assert assumed.labels_needed == sized.labels_needed
    by_sd = forecast(observations=[(50, 0.6)], observe_sd=0.2, **KNOWN)
    assert by_sd.auc.high - by_sd.auc.low > sized.auc.high - sized.auc.low


@pytest.mark.parametrize("target", [0.3, 0.6, 0.9, 1.0])
def test_the_best_guess_assumes_that_the_target_is_reached(target: float) -> None:
    """It is given if the target is probably reached, and lies in its own interval.

    It is the .6 quantile of the draws that reach the target: below the median of all where a sixth
    of them never do.
    """
    answer = _llama(0.3, target=target)
    needed = answer.labels_needed
    assert needed.if_reached is not None and needed.if_reached_low is not None
    assert needed.if_reached_high is not None
    assert needed.if_reached_low <= needed.if_reached <= needed.if_reached_high <= answer.horizon
    assert needed.point == (needed.if_reached if needed.reachable >= 0.5 else None)
    assert (needed.point is None) == answer.sentence().startswith("Probably more")
    if POINT * needed.reachable <= 0.5:
        assert needed.if_reached <= _labels(needed.median)
    else:
        assert needed.if_reached >= _labels(needed.median)


@pytest.mark.parametrize("ends", [{}, {"zero_shot": 0.4}, KNOWN])
@pytest.mark.parametrize("seen", [[(50, 0.6), (200, 0.7)], [(100, 0.5), (1000, 0.83)]])
def test_precise_scores_are_on_the_curve(
    seen: list[tuple[int, float]], ends: dict[str, Any]
) -> None:
    """With an sd of .001 it is within .01 of both."""
    answer = forecast(observations=[(n, s, 1e-3) for n, s in seen], target_score=0.85, **ends)
    bands = {band.n: band for band in answer.curve}
    for n, score in seen:
        assert bands[n].mean == pytest.approx(score, abs=0.01)


def test_contradicting_evidence_gives_a_warning() -> None:
    """A CoS-Low of a quick task and scores of a slow one are called a contradiction."""
    seen = [(50, 0.4), (500, 0.41), (1000, 0.42)]
    answer = _llama(0.7, observations=seen, observe_size=5000, **KNOWN)
    assert any("contradict" in w for w in answer.warnings)
