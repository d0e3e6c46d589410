"""The labels needed for a question, without the rest of the answer."""

import math
from typing import Any

from labelcast.forecast.answer import LabelsNeeded
from labelcast.forecast.posterior import posterior
from labelcast.forecast.question import Question
from labelcast.forecast.reading import chances_of, labels_needed


def needed(**options: Any) -> LabelsNeeded:
    """Return the labels needed, from scores alone."""
    question = Question.of(**options)
    return labels_needed(chances_of(posterior(question, None).parts, question), question)


def number(labels: int | None) -> float:
    """Return labels as a number, infinite beyond the horizon."""
    return math.inf if labels is None else labels
