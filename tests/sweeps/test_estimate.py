"""What a sweep will cost."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweeps_made import make_place

from labelcast.sweeps.estimate import Speed, measure_speed, operations, seconds, steps, total
from labelcast.sweeps.sweep import split
from labelcast.training.recipe import FULL, LORA


def test_the_formula_counts_passes() -> None:
    """6 operations a weight and token in full training, 4 with frozen weights, 2 in scoring."""
    full, lora = (
        operations(10, recipe, budget=5, steps=1, tokens=100, test_size=0)
        for recipe in (FULL, LORA)
    )
    held_out = 10 * 2 * 1 * 100 / 4
    assert full == pytest.approx(10 * 6 * 16 * 100 + held_out)
    assert lora == pytest.approx(10 * 4 * 16 * 100 + held_out)
    assert operations(10, FULL, budget=0, steps=500, tokens=95, test_size=2) == 10 * 2 * 2 * 100


def test_seconds_lie_between_early_stopping_and_every_step(tmp_path: Path) -> None:
    """A job's estimate runs from the first possible stop to the recipe's last step."""
    job = make_place(tmp_path).begin("s", budgets=(10,), recipe=FULL).jobs[0]
    speed = Speed(load=1.0, train=0.1, validate=0.01, test=0.5, device="cpu")
    low, high = (1 + 20 * 0.5 + n * 16 * 0.1 + n / 4 * 2 * 0.01 for n in steps(FULL))
    assert seconds(job, speed) == pytest.approx((low, high))
    assert total([(low, high)] * 4, 2) == pytest.approx((2 * low, 2 * high))


def test_speed_is_measured_on_real_steps(tmp_path: Path) -> None:
    """A few steps and answers of the job's own model give seconds above zero."""
    place = make_place(tmp_path)
    job = place.begin("s", budgets=(10,)).jobs[0]
    speed = measure_speed(job, lambda render: split(place.chosen(), 20, seed=1, render=render))
    assert min(speed.load, speed.train, speed.test) > 0
    assert speed.validate >= 0
    assert "cpu" in speed.device
