"""How long a sweep will take."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_sweeps import make_place

from labelcast.sweeps.estimate import Speed, measure_speed, seconds, steps, total
from labelcast.training.recipe import FULL


def test_seconds_lie_between_early_stopping_and_every_step(tmp_path: Path) -> None:
    """A job's estimate runs from the first possible stop to the recipe's last step."""
    job = make_place(tmp_path).begin("s", budgets=(10,), recipe=FULL).jobs[0]
    speed = Speed(load=1.0, train=0.1, validate=0.01, test=0.5, device="cpu")
    low, high = (1 + 20 * 0.5 + n * 16 * 0.1 + n / 4 * 2 * 0.01 for n in steps(FULL))
    assert seconds(job, speed) == pytest.approx((low, high))
    assert total([(low, high)] * 4, 2) == pytest.approx((2 * low, 2 * high))


def test_speed_is_measured_on_real_steps(tmp_path: Path) -> None:
    """A few steps and answers of the job's own model give seconds above zero."""
    speed = measure_speed(make_place(tmp_path).begin("s", budgets=(10,)).jobs[0])
    assert min(speed.load, speed.train, speed.test) > 0
    assert speed.validate >= 0
    assert "cpu" in speed.device
