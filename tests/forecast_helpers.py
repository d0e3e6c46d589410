"""Labels needed for a question, and made-up tasks whose CoS-Low and AUC correlate."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from labelcast.forecast.answer import LabelsNeeded
from labelcast.forecast.calibration import Calibration
from labelcast.forecast.chances import chances, labels_needed
from labelcast.forecast.line import loto_difference
from labelcast.forecast.posterior import posterior
from labelcast.forecast.question import Question


def needed(**options: Any) -> LabelsNeeded:
    """The labels needed, from scores alone."""
    question = Question.of(**options)
    return labels_needed(chances(posterior(question, None).parts, question), question)


def number(labels: int | None) -> float:
    """Labels as a number, infinite beyond the horizon."""
    return math.inf if labels is None else labels


def made_up(correlation: float, tasks: int = 19, seed: int = 0) -> tuple[list[float], list[float]]:
    """CoS-Low and AUC of made-up tasks with about that correlation."""
    rng = np.random.default_rng(seed)
    x, noise = rng.normal(size=(2, tasks))
    y = correlation * x + math.sqrt(1 - correlation**2) * noise
    return (0.4 + 0.1 * x).tolist(), (0.5 + 0.08 * y).tolist()


def made_up_card(correlation: float) -> Calibration:
    """A card of made-up tasks with its leave-one-task-out test."""
    x, y = made_up(correlation)
    return replace(Calibration.fit(x, y, name="made-up"), loto_difference=loto_difference(x, y))
