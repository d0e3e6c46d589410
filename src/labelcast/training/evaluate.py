"""Score a model's greedy answers on a test set."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelcast.errors import InputError, LabelcastWarning
from labelcast.models.confidence import MAX_NEW_TOKENS, score_confidence
from labelcast.models.protocols import Predictor, Progress
from labelcast.tasks.metrics import comparison, score_answers
from labelcast.tasks.prompts import Example
from labelcast.tasks.task import Task
from labelcast.training.backend import Placement

FEW_CUT = 0.1
"""The share of answers that are cut off above which there is a warning."""
_RESAMPLES = 1000


@dataclass(frozen=True)
class Scoring:
    """How a model is scored."""

    metric: str  # one of `tasks.metrics.METRICS`
    allowed: Sequence[str] = ()  # the task's allowed answers
    constrain: bool = False  # decode along these only
    batch_size: int | None = None  # None chooses one for the device
    max_new_tokens: int = MAX_NEW_TOKENS
    placement: Placement = field(default_factory=Placement)
    progress: Progress = lambda done: None  # called with the number of examples scored

    @classmethod
    def of(cls, task: Task | None, **settings: Any) -> Scoring:
        """How answers to a task are scored; None for prompts that are already rendered."""
        if task is None:
            return cls("accuracy", **settings)
        return cls(task.metric, task.answers, task.constrain, **settings)


@dataclass(frozen=True)
class Evaluation:
    """The score of a model on a test set."""

    value: float  # in [0, 1]
    sd: float  # its standard error over test sets of this size, above 0
    size: int  # number of examples
    metric: str


def evaluate(lm: Predictor, examples: Sequence[Example], scoring: Scoring) -> Evaluation:
    """Score a model on labelled examples; there must be one, and all need answers."""
    gold = [example.answer for example in examples if example.answer is not None]
    if not gold or len(gold) < len(examples):
        raise InputError(
            f"{len(examples) - len(gold)} of {len(examples)} test examples have no answer; "
            "a test set needs at least one example, all of them labelled."
        )
    found = score_confidence(
        lm.for_answers(scoring.allowed),
        [example.prompt for example in examples],
        batch_size=scoring.batch_size,
        max_new_tokens=scoring.max_new_tokens,
        progress=scoring.progress,
        allowed=scoring.allowed if scoring.constrain else (),
    )
    if too_long := sum(value.flag == "too_long" for value in found):
        warnings.warn(
            f"{too_long} of {len(found)} test prompts do not fit the model's context: their "
            "answers count as wrong",
            LabelcastWarning,
            stacklevel=2,
        )
    # One that is longer than the right answer would not be right without the cut either.
    pairs = zip(found, gold, strict=True)
    cut = sum(value.is_cut and len(value.answer) < len(answer) for value, answer in pairs)
    if cut > FEW_CUT * len(found):
        warnings.warn(
            f"{cut} of {len(found)} answers were cut off at {scoring.max_new_tokens} tokens, and "
            "the right ones are longer: allow more with --max-new-tokens (for a run, score the "
            "pool into a new run with it)",
            LabelcastWarning,
            stacklevel=2,
        )
    answers = [value.answer for value in found]
    return summarise(scoring.metric, answers, gold, scoring.allowed)


def summarise(
    metric: str, found: Sequence[str], gold: Sequence[str], allowed: Sequence[str] = ()
) -> Evaluation:
    """The score of given answers, with its standard error.

    For accuracy and exact match the error is binomial, with p = (k + 1) / (n + 2) for k of n right
    answers, so that it is above 0 if all answers are right or wrong. For F1 and ROUGE-L it is the
    spread over bootstrap resamples of the test set, but at least 1 / (2 n).
    """
    scored, n = score_answers(metric, found, gold, allowed), len(gold)
    if metric in ("accuracy", "exact_match"):
        p = (sum(scored.values) + 1) / (n + 2)
        sd = float(np.sqrt(p * (1 - p) / n))
    else:
        picks = np.random.default_rng(0).integers(n, size=(_RESAMPLES, n))
        if metric == "macro_f1":
            form = comparison(gold, allowed)
            totals = _macro_f1s([form(g) for g in gold], [form(a) for a in found], picks)
        else:
            totals = np.asarray(scored.values)[picks].mean(axis=1)
        sd = max(float(totals.std()), 1 / (2 * n))
    return Evaluation(scored.total, sd, n, metric)


def _macro_f1s(
    truth: Sequence[str], answer: Sequence[str], picks: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Macro F1 of each resample [R] of n examples; `picks` [R,n] are positions."""
    classes, codes = np.unique(np.array(truth), return_inverse=True)
    number = {name: code for code, name in enumerate(classes.tolist())}
    given = np.array([number.get(text, -1) for text in answer])
    scores, present = np.zeros(len(picks)), np.zeros(len(picks))
    for code in range(len(classes)):
        wanted = (codes == code)[picks].sum(axis=1)
        both = ((codes == code) & (given == code))[picks].sum(axis=1)
        total = wanted + (given == code)[picks].sum(axis=1)
        scores += np.where(wanted > 0, 2 * both / np.maximum(total, 1), 0)
        present += wanted > 0
    return scores / present
