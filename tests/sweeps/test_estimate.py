"""How long a sweep will take."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_sweeps import make_place
from small_training import load, save_model

from labelcast.sweeps.estimate import Speed, measure_speed, rough_speed, seconds, steps, total
from labelcast.tasks.prompts import Example
from labelcast.training.recipe import FULL, SETFIT


def test_seconds_lie_between_early_stopping_and_every_step(tmp_path: Path) -> None:
    """A job's estimate runs from the first possible stop to the recipe's last step."""
    job = make_place(tmp_path).begin("s", budgets=(10,), recipe=FULL).jobs[0]
    speed = Speed(load=1.0, train=0.1, validate=0.01, test=0.5, device="cpu")
    low, high = (1 + 20 * 0.5 + n * 16 * 0.1 + n / 4 * 2 * 0.01 for n in steps(FULL))
    assert seconds(job, speed) == pytest.approx((low, high))
    assert steps(SETFIT) == (500, 500)  # does not stop early
    assert total([(low, high)] * 4, 2) == pytest.approx((2 * low, 2 * high))


def test_speed_is_measured_on_real_steps(tmp_path: Path) -> None:
    """A few steps and answers of the job's own model give seconds above zero."""
    speed = measure_speed(make_place(tmp_path).begin("s", budgets=(10,)).jobs[0])
    assert min(speed.load, speed.train, speed.test) > 0
    assert speed.validate >= 0
    assert "cpu" in speed.device


def test_a_text_longer_than_the_context_has_a_time_too(tmp_path: Path) -> None:
    """As in the work itself, which cuts it off or counts it as wrong."""
    lm = load(save_model(tmp_path / "m"))
    found = rough_speed(lm, [Example("0", 0, "", {}, "word " * 999, "yes", "0")], max_new_tokens=2)
    assert found.validate > 0
