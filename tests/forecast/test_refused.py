"""What a forecast refuses, and what the message says."""

import math
from typing import Any

import pytest

from labelcast.errors import InputError
from labelcast.forecast.forecasting import forecast

KNOWN: dict[str, Any] = {"zero_shot": 0.4, "ceiling": 0.9}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "--coslow"),
        ({"zero_shot": 0.4, "observations": [(0, 0.4)], "ceiling": 0.9}, "--coslow"),
        ({"coslow": 1.2}, "--coslow"),
        ({"coslow": math.nan}, "--coslow"),
        ({"coslow": "0.3"}, "--coslow"),
        ({"coslow": 0.3, "calibration": "lama"}, "--calibration"),
        ({"observations": [(50, 0.5)], "calibration": "lama"}, "--calibration"),
        ({"coslow": 0.3, "target": 1.2}, "--target"),
        ({"coslow": 0.3, "target": 0.0}, "--target"),
        ({"coslow": 0.3, "target": -0.5}, "--target"),
        ({"coslow": 0.3, "target": math.nan}, "--target"),
        ({"coslow": 0.3, "target": 0.9, "target_score": 0.8, **KNOWN}, "both set the target"),
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
        ({"observations": [(50, 0.5, 0.1, 3, 4)], **KNOWN}, "N=SCORE"),
        ({"observations": [(50,)], **KNOWN}, "N=SCORE"),
        ({"observations": [(50, 0.5, None, 0)], **KNOWN}, "--observe 50: the test size"),
        ({"observations": [(50, 0.5, None, 2.5)], **KNOWN}, "--observe 50: the test size"),
        ({"observations": [(50, math.nan)], **KNOWN}, "--observe 50"),
        ({"observations": [(50, 72)], **KNOWN}, "for 72% give 0.72"),
        ({"observations": [(-50, 0.5)], **KNOWN}, "--observe"),
        ({"observations": [(1_000_001, 0.5)], **KNOWN}, "--observe"),
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
        ({"coslow": 0.3, "budget": 1_000_001}, "--budget"),
        ({"coslow": 0.3, "budget": 10.5}, "--budget"),
        ({"coslow": 0.3, "horizon": 0}, "--horizon"),
        ({"coslow": 0.3, "horizon": 1_000_001}, "--horizon"),
        ({"coslow": 0.3, "horizon": 10.5}, "--horizon"),
        ({"coslow": 0.3, "run_cost": 3.0}, "need --label-cost"),
        ({"coslow": 0.3, "value": 3.0, "label_cost": 0}, "need --label-cost"),
        ({"coslow": 0.3, "label_cost": -1.0}, "--label-cost"),
        ({"coslow": 0.3, "label_cost": math.nan}, "--label-cost"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], words: str) -> None:
    """Each bad option is refused by its command-line name, with what to give instead."""
    with pytest.raises(InputError, match=words):
        forecast(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metric": "bleu"}, "--metric"),
        ({"metric": "score", "lower_is_better": True}, "--metric score"),
        ({"metric": "loss", "scale": 10.0}, "--scale"),
        ({"scale": 0.0}, "--scale"),
        ({"scale": -100.0}, "--scale"),
        ({"scale": math.inf}, "--scale"),
        ({"scale": 100.0, "target_score": 101.0}, "--target-score"),
        ({"scale": 100.0, "observe_sd": 101.0}, "--observe-sd"),
        ({"metric": "loss", "target_score": -0.1}, "a loss is 0 or more"),
        ({"metric": "error", "zero_shot": 0.2, "ceiling": 0.3}, "not above --ceiling"),
        ({"metric": "error", "zero_shot": 0.3, "ceiling": 0.2, "target_score": 0.1}, "below --c"),
        ({"lower_is_better": True, "zero_shot": 1.0, "ceiling": 2.0}, "not above --ceiling"),
        ({"lower_is_better": True, "observe_size": 10}, "not for losses; give --observe-sd"),
    ],
)
def test_contradictions_of_the_scale_are_named(options: dict[str, Any], words: str) -> None:
    """Scores that the scale cannot have, or that contradict the metric, give exit status 2."""
    with pytest.raises(InputError, match=words) as error:
        forecast(observations=[(50, 0.5)], **options)
    assert error.value.status == 2
