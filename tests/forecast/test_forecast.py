"""The forecast: its answer, its honesty, and what it refuses."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcast.errors import InputError
from labelcast.forecast import power_law
from labelcast.forecast.answer import Forecast
from labelcast.forecast.cards import by_name
from labelcast.forecast.efficiency import GRID
from labelcast.forecast.forecasting import forecast

LLAMA = "llama-3.1-8b-instruct"
COSLOWS = st.floats(-0.05, 0.8)
KNOWN: dict[str, Any] = {"zero_shot": 0.4, "ceiling": 0.9}
FAST: dict[str, Any] = {"samples": 400}


def _llama(coslow: float = 0.3, **options: Any) -> Forecast:
    return forecast(coslow, LLAMA, **options)


def _labels(value: int | None) -> float:
    return math.inf if value is None else value


@given(COSLOWS, st.floats(0.02, 1.0), st.floats(0.02, 1.0))
@settings(max_examples=40, deadline=None)
def test_more_gain_never_needs_fewer_labels(coslow: float, a: float, b: float) -> None:
    """Every quantile of the labels needed rises with the target, and the chance falls."""
    low, high = (_llama(coslow, target=t, **FAST).labels_needed for t in sorted((a, b)))
    for name in ("low", "median", "high"):
        assert _labels(getattr(low, name)) <= _labels(getattr(high, name))
    assert low.reachable >= high.reachable


@given(COSLOWS, st.floats(0.1, 0.99), st.floats(0.1, 0.99), st.booleans())
@settings(max_examples=40, deadline=None)
def test_intervals_nest_as_the_level_grows(
    coslow: float, a: float, b: float, observed: bool
) -> None:
    """Every interval of a higher level holds that of a lower; medians and means stay.

    With observed scores the AUC's interval is put together from sampled quantiles, whose steps
    differ by level: it nests to about a thousandth.
    """
    scores: dict[str, Any] = {**KNOWN, "observations": [(50, 0.6)]} if observed else {}
    inner, outer = (_llama(coslow, level=v, budget=300, **scores, **FAST) for v in sorted((a, b)))
    step = 2e-3 if observed else 1e-9
    assert outer.auc.low <= inner.auc.low + step
    assert inner.auc.high <= outer.auc.high + step
    assert _labels(outer.labels_needed.low) <= _labels(inner.labels_needed.low)
    assert _labels(inner.labels_needed.high) <= _labels(outer.labels_needed.high)
    assert inner.labels_needed.median == outer.labels_needed.median
    for one, two in zip(inner.curve, outer.curve, strict=True):
        assert two.low <= one.low + 1e-12 and one.high <= two.high + 1e-12
        assert one.mean == two.mean


@given(st.permutations([(0, 0.4), (50, 0.55), (100, 0.5), (700, 0.8)]))
@settings(max_examples=15, deadline=None)
def test_order_of_observations_does_not_matter(observations: list[tuple[int, float]]) -> None:
    """Observations in any order give the same answer."""
    first = _llama(observations=sorted(observations), ceiling=0.9, **FAST)
    assert _llama(observations=observations, ceiling=0.9, **FAST) == first


def test_a_score_of_a_tiny_test_set_says_less() -> None:
    """One test example behind a score moves the AUC less than a thousand do."""
    scores = {**KNOWN, "observations": [(50, 0.85)]}
    none, one, many = (
        _llama(**KNOWN).auc.mean,
        _llama(**scores, observe_size=1).auc.mean,
        _llama(**scores, observe_size=1000).auc.mean,
    )
    assert abs(one - none) < 0.1 * abs(many - none)


def test_scores_sharpen_the_answer() -> None:
    """With scores at 50, 100 and 200 the interval of the AUC is narrower than without."""
    before = _llama(**KNOWN).auc
    after = _llama(**KNOWN, observations=[(50, 0.5), (100, 0.55), (200, 0.62)]).auc
    assert after.high - after.low < 0.7 * (before.high - before.low)


def test_calibrated_auc_is_not_shrunk() -> None:
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
    assert law.labels_needed == math.ceil(power_law.labels_for_gain(0.9, law.auc))


def test_fields_are_those_of_the_design_and_json_ready() -> None:
    """The dict goes through JSON unchanged and has the promised fields."""
    answer = _llama(0.3, target=0.9, budget=500).to_dict()
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    promised = "level auc labels_needed at_budget next_budget curve calibration warnings"
    extra = "power_law target answered_by curve_unit shares met zero_shot ceiling observations"
    assert set(answer) == set(f"{promised} {extra}".split())
    assert set(answer["auc"]) == {"mean", "low", "high"}
    assert set(answer["labels_needed"]) == {"median", "low", "high", "reachable", "if_reached"}
    assert set(answer["shares"]) == {"coslow", "scores", "prior"}
    assert [point["n"] for point in answer["curve"]] == list(GRID)
    assert answer["calibration"] == LLAMA and answer["answered_by"] == ["coslow", "prior"]


def test_curve_comes_in_scores_where_both_ends_are_known() -> None:
    """With zero-shot and ceiling the curve runs from the one towards the other."""
    gains, scores = _llama(budget=300), _llama(**KNOWN, budget=300)
    assert (gains.curve_unit, scores.curve_unit) == ("gain", "score")
    assert gains.curve[0].high == 0 and scores.curve[0].high == 0.4
    for gain, score in zip(gains.curve, scores.curve, strict=True):
        assert score.mean == pytest.approx(0.4 + 0.5 * gain.mean)
    assert gains.at_budget is not None and scores.at_budget is not None
    assert scores.at_budget.mean == pytest.approx(0.4 + 0.5 * gains.at_budget.mean)


def test_reverse_question_agrees_with_the_forward_one() -> None:
    """The chance at 5,000 is `reachable`; at the median it is about a half; at 0 it is none."""
    whole = _llama(0.5, budget=5000)
    assert whole.at_budget is not None
    assert whole.at_budget.chance == pytest.approx(whole.labels_needed.reachable, abs=1e-3)
    assert whole.labels_needed.median is not None
    half = _llama(0.5, budget=whole.labels_needed.median).at_budget
    none = _llama(0.5, budget=0).at_budget
    assert half is not None and half.chance == pytest.approx(0.5, abs=0.02)
    assert none is not None and none.chance == 0


def test_score_target_is_the_same_question() -> None:
    """A target as a score answers as the fraction of the gain that it is."""
    by_score = _llama(target_score=0.8, **KNOWN)
    by_gain = _llama(target=0.8, **KNOWN)
    assert by_score.labels_needed == by_gain.labels_needed
    assert by_score.target.gain == pytest.approx(0.8)
    assert by_gain.target.score == pytest.approx(0.8)


def test_none_needed() -> None:
    """Where zero-shot meets the target no label is needed, whatever else is known."""
    given: tuple[dict[str, Any], ...] = ({"coslow": 0.3, "calibration": LLAMA}, {})
    for options in given:
        answer = forecast(target_score=0.3, **KNOWN, **options)
        needed = answer.labels_needed
        assert (needed.low, needed.median, needed.high, needed.reachable) == (0, 0, 0, 1.0)
        assert answer.next_budget is None and answer.answered_by == ("zero-shot",)
        assert answer.sentence().startswith("None needed")


def test_met_target_needs_no_next_budget() -> None:
    """An observed score at the target ends the search; before that the next budget is new."""
    met = forecast(observations=[(0, 0.4), (100, 0.86)], ceiling=0.9)
    assert met.next_budget is None and met.met and met.calibration is None
    going = forecast(observations=[(0, 0.4), (100, 0.7)], ceiling=0.9)
    assert going.next_budget is not None and going.next_budget > 100 and not going.met
    assert going.power_law is None and going.answered_by == ("scores", "prior")
    assert forecast(observations=[(0, 0.4), (5000, 0.5)], ceiling=0.9).next_budget is None


@given(COSLOWS, st.floats(0.05, 1.0), st.sampled_from([0, 50, 300, 2000]))
@settings(max_examples=30, deadline=None)
def test_next_budget_lies_above_what_is_owned(coslow: float, target: float, owned: int) -> None:
    """The next budget is none, or more than was trained with, at most 5,000."""
    seen: dict[str, Any] = {**KNOWN, "observations": [(owned, 0.42)]} if owned else {}
    budget = _llama(coslow, target=target, **seen, **FAST).next_budget
    assert budget is None or owned < budget <= 5000


def test_unreached_quantiles_are_null_and_said_in_words() -> None:
    """A quantile beyond 5,000 is None; the sentence says so for one end and for the median."""
    open_above = _llama(0.4, target=0.9)
    assert open_above.labels_needed.high is None and open_above.labels_needed.median is not None
    assert "perhaps more than 5,000" in open_above.sentence()
    never = _llama(0.0, target=1.0)
    assert never.labels_needed.median is None and never.labels_needed.reachable < 0.5
    assert never.sentence().startswith("Probably not within 5,000 labels")


def test_sentence_of_a_closed_interval() -> None:
    """A closed interval reads as numbers of two digits, with level and chance."""
    answer = _llama(0.65, target=0.5)
    needed = answer.labels_needed._replace(median=417, low=152, high=1896, reachable=0.971)
    assert replace(answer, labels_needed=needed).sentence() == (
        "You will need about 420 labels, between 150 and 1,900 (90% interval); "
        "chance that 5,000 suffice: 97%."
    )


def test_warnings_of_card_and_recipe() -> None:
    """Pooled by default, another recipe, a clipped AUC and an unused card are said."""
    assert "pooled" in forecast(0.3).warnings[0] and forecast(0.3).calibration == "pooled"
    assert any("LoRA" in w for w in _llama(recipe="LoRA").warnings)
    assert _llama(recipe="Full fine-tuning").warnings == ()
    assert any("clipped" in w for w in forecast(0.9, "mistral-7b-instruct-v0.3").warnings)
    unused = forecast(calibration=LLAMA, observations=[(50, 0.5)], **KNOWN)
    assert any("not used" in w for w in unused.warnings) and unused.calibration is None


def test_score_above_the_ceiling_lifts_it() -> None:
    """An observed score above the ceiling becomes the ceiling, and a warning says so."""
    answer = _llama(observations=[(50, 0.95)], **KNOWN)
    assert answer.target.ceiling == 0.95 and any("ceiling" in w for w in answer.warnings)


def test_same_seed_same_answer() -> None:
    """The seed decides the draw; another seed gives nearly the same answer."""
    one, two, other = (_llama(0.5, seed=s) for s in (0, 0, 1))
    assert one == two != other
    assert one.labels_needed.reachable == pytest.approx(other.labels_needed.reachable, abs=0.04)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "--coslow"),
        ({"zero_shot": 0.4, "observations": [(0, 0.4)], "ceiling": 0.9}, "--coslow"),
        ({"coslow": 1.2}, "--coslow"),
        ({"coslow": math.nan}, "--coslow"),
        ({"coslow": "0.3"}, "--coslow"),
        ({"coslow": 0.3, "calibration": "lama"}, "--calibration"),
        ({"coslow": 0.3, "target": 1.2}, "--target"),
        ({"coslow": 0.3, "target": 0.0}, "--target"),
        ({"coslow": 0.3, "target": -0.5}, "--target"),
        ({"coslow": 0.3, "target": math.nan}, "--target"),
        ({"coslow": 0.3, "target": 0.9, "target_score": 0.8, **KNOWN}, "twice"),
        ({"coslow": 0.3, "target_score": 0.8, "ceiling": 0.7}, "above --ceiling"),
        ({"coslow": 0.3, "target_score": 0.95, **KNOWN}, "above --ceiling"),
        ({"coslow": 0.3, "target_score": 80, **KNOWN}, "for 80% give 0.8"),
        ({"coslow": 0.3, "zero_shot": 0.9, "ceiling": 0.9}, "--zero-shot"),
        ({"coslow": 0.3, "zero_shot": math.nan}, "--zero-shot"),
        ({"coslow": 0.3, "zero_shot": 1.0}, "nothing can be gained"),
        ({"coslow": 0.3, "ceiling": -0.1}, "--ceiling"),
        ({"coslow": 0.3, "ceiling": math.inf}, "--ceiling"),
        ({"observations": [(50, 0.5, math.nan)], **KNOWN}, "--observe 50"),
        ({"observations": [(50, 0.5, -0.1)], **KNOWN}, "--observe 50"),
        ({"observations": [(50, 0.5, 0.1, 3)], **KNOWN}, "N=SCORE"),
        ({"observations": [(50, 0.5), (50, 0.6)], **KNOWN}, "--observe 50: stands twice"),
        ({"observations": [(50, math.nan)], **KNOWN}, "--observe 50"),
        ({"observations": [(50, 72)], **KNOWN}, "for 72% give 0.72"),
        ({"observations": [(-50, 0.5)], **KNOWN}, "--observe"),
        ({"observations": [(9000, 0.5)], **KNOWN}, "--observe"),
        ({"observations": [(50.5, 0.5)], **KNOWN}, "--observe"),
        ({"observations": [(50, None)], **KNOWN}, "--observe"),
        ({"observations": [(None, 0.5)], **KNOWN}, "--observe"),
        ({"observations": [50], **KNOWN}, "N=SCORE"),
        ({"observations": [(0, 0.5), (50, 0.6)], **KNOWN}, "differ"),
        ({"coslow": 0.3, "observe_size": 0}, "--observe-size"),
        ({"coslow": 0.3, "observe_sd": -0.1}, "--observe-sd"),
        ({"coslow": 0.3, "observe_sd": math.inf}, "--observe-sd"),
        ({"coslow": 0.3, "observe_sd": 0.1, "observe_size": 10}, "give one of them"),
        ({"coslow": 0.3, "level": 1.0}, "--level"),
        ({"coslow": 0.3, "level": 90}, "--level"),
        ({"coslow": 0.3, "level": math.nan}, "--level"),
        ({"coslow": 0.3, "budget": -1}, "--budget"),
        ({"coslow": 0.3, "budget": 6000}, "--budget"),
        ({"coslow": 0.3, "budget": 10.5}, "--budget"),
        ({"coslow": 0.3, "seed": -1}, "--seed"),
        ({"coslow": 0.3, "samples": 3}, "samples"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], words: str) -> None:
    """Each bad option is refused by its command-line name, with what to give instead."""
    with pytest.raises(InputError, match=words):
        forecast(**options)


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


@given(st.floats(0.3, 0.9), st.sampled_from([None, 0.2]), st.sampled_from([None, 0.95]))
@settings(max_examples=25, deadline=None)
def test_unknown_ends_are_answered_and_said(
    score: float, zero_shot: float | None, ceiling: float | None
) -> None:
    """A score target needs neither end: what is unknown has an interval and a warning."""
    answer = forecast(
        target_score=score,
        zero_shot=zero_shot,
        ceiling=ceiling,
        observations=[(50, 0.5)],
        observe_size=1000,
        **FAST,
    )
    for name, known, end in (
        ("zero-shot", zero_shot, answer.zero_shot),
        ("ceiling", ceiling, answer.ceiling),
    ):
        assert end is not None and end.known == (known is not None)
        assert end.low <= end.median <= end.high
        assert any(w.startswith(f"the {name} is unknown") for w in answer.warnings) != end.known
    assert answer.curve_unit == "score"
    assert json.loads(json.dumps(answer.to_dict(), allow_nan=False)) == answer.to_dict()


@given(st.floats(0.05, 0.95), st.floats(0.05, 0.95), st.sampled_from([None, 0.3]))
@settings(max_examples=25, deadline=None)
def test_a_higher_score_never_needs_fewer_labels(
    a: float, b: float, zero_shot: float | None
) -> None:
    """Score targets with unknown ends keep the order too."""
    low, high = (
        forecast(0.4, LLAMA, target_score=t, zero_shot=zero_shot, **FAST).labels_needed
        for t in sorted((a, b))
    )
    for name in ("low", "median", "high"):
        assert _labels(getattr(low, name)) <= _labels(getattr(high, name))
    assert low.reachable >= high.reachable


def test_an_unknown_ceiling_widens_the_answer() -> None:
    """Without --ceiling the interval of the score at 5,000 is wider."""
    scores: dict[str, Any] = {"observations": [(0, 0.4), (50, 0.6)], "observe_size": 1000}
    known, unknown = (forecast(**scores, ceiling=c).curve[-1] for c in (0.9, None))
    assert unknown.high - unknown.low > known.high - known.low


@given(COSLOWS, st.lists(st.tuples(st.integers(1, 5000), st.floats(0.4, 0.9)), max_size=3))
@settings(max_examples=25, deadline=None)
def test_shares_sum_to_one_and_are_said(
    coslow: float, observations: list[tuple[int, float]]
) -> None:
    """Shares lie within 0 and 1 and sum to 1; what is not given has none."""
    unique = dict(observations)
    answer = _llama(coslow, observations=list(unique.items()), observe_size=500, **KNOWN, **FAST)
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


def test_huge_noise_changes_nothing() -> None:
    """A score whose own noise is huge leaves the curve and the labels as they are."""
    without = _llama(0.3, **KNOWN, budget=300)
    with_it = _llama(0.3, **KNOWN, budget=300, observations=[(130, 0.88, 1e6)])
    assert with_it.labels_needed == pytest.approx(without.labels_needed)
    for a, b in zip(with_it.curve, without.curve, strict=True):
        assert (a.mean, a.low, a.high) == pytest.approx((b.mean, b.low, b.high), abs=1e-6)


def test_precise_scores_are_met() -> None:
    """The forecast curve passes through rising scores without noise."""
    seen = [(50, 0.5, 1e-7), (130, 0.6, 1e-7), (1000, 0.75, 1e-7)]
    for budget, score, _ in seen:
        at = _llama(0.3, **KNOWN, observations=seen, budget=budget).at_budget
        assert at is not None and (at.low, at.mean, at.high) == pytest.approx(
            (score,) * 3, abs=1e-4
        )


def test_noise_not_said_is_assumed_and_said() -> None:
    """Without size or sd 500 test examples are assumed, with a warning; an sd is as good."""
    assumed = forecast(observations=[(50, 0.6)], **KNOWN)
    sized = forecast(observations=[(50, 0.6)], observe_size=500, **KNOWN)
    assert any("500" in w for w in assumed.warnings) and sized.warnings == ()
    assert assumed.labels_needed == sized.labels_needed
    by_sd = forecast(observations=[(50, 0.6)], observe_sd=0.2, **KNOWN)
    assert by_sd.auc.high - by_sd.auc.low > sized.auc.high - sized.auc.low


def test_if_reached_is_not_above_the_rest() -> None:
    """The median given that 5,000 suffice never exceeds the median; hopeless targets have none."""
    for target in (0.3, 0.6, 0.9, 1.0):
        needed = _llama(0.3, target=target).labels_needed
        assert needed.if_reached is not None
        assert needed.if_reached <= _labels(needed.median)


def test_contradicting_clues_are_said() -> None:
    """A CoS-Low that says quick and scores that say slow are called a contradiction."""
    seen = [(50, 0.4), (500, 0.41), (1000, 0.42)]
    answer = _llama(0.7, observations=seen, observe_size=5000, **KNOWN)
    assert any("contradict" in w for w in answer.warnings)
