"""Made-up tasks on which CoS-Low and AUC correlate."""

import math
from dataclasses import replace

import numpy as np

from labelcast.forecast.calibration import Calibration
from labelcast.forecast.line import loto_difference


def made_up(correlation: float, tasks: int = 19, seed: int = 0) -> tuple[list[float], list[float]]:
    """CoS-Low and AUC of made-up tasks with about that correlation."""
    rng = np.random.default_rng(seed)
    x, noise = rng.normal(size=(2, tasks))
    y = correlation * x + math.sqrt(1 - correlation**2) * noise
    return (0.4 + 0.1 * x).tolist(), (0.5 + 0.08 * y).tolist()


def made_up_card(correlation: float) -> Calibration:
    """A card of made-up tasks that has been tried."""
    x, y = made_up(correlation)
    return replace(Calibration.fit(x, y, name="made-up"), loto_difference=loto_difference(x, y))
