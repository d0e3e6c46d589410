"""A model's score on a test set: greedy answers of the confidence step, and a metric."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labelcast.errors import InputError
from labelcast.models.confidence import MAX_NEW_TOKENS, score_confidence
from labelcast.models.protocols import Predictor
from labelcast.tasks.metrics import Scored, comparison, score_answers
from labelcast.tasks.prompts import Example

_UNITS = {
    "accuracy": "share right",
    "exact_match": "share matched",
    "macro_f1": "mean F1 of the classes",
    "token_f1": "mean F1 of the words",
    "rouge_l": "mean ROUGE-L F1",
}
_RESAMPLES = 1000


@dataclass(frozen=True)
class Score:
    """The score of a model on a test set.

    Attributes:
        value: in [0, 1].
        sd: its standard error over test sets of this size, above 0.
        size: how many examples were scored.
        metric: which metric.
        unit: what `value` counts, in words.
    """

    value: float
    sd: float
    size: int
    metric: str
    unit: str


def answers(
    lm: Predictor,
    examples: Sequence[Example],
    *,
    batch_size: int | None = None,
    max_new_tokens: int = MAX_NEW_TOKENS,
    progress: Callable[[int], None] = lambda done: None,
) -> list[str]:
    """The greedy answer to each example, in order; empty where a prompt does not fit the model.

    Args:
        lm: the model.
        examples: rendered for it.
        batch_size: None chooses one for the device.
        max_new_tokens: where an answer is cut off.
        progress: called with the number of examples done.
    """
    prompts = [example.prompt for example in examples]
    found = score_confidence(
        lm, prompts, batch_size=batch_size, max_new_tokens=max_new_tokens, progress=progress
    )
    return [value.answer for value in found]


def evaluate(
    lm: Predictor,
    examples: Sequence[Example],
    metric: str,
    *,
    allowed: Sequence[str] = (),
    batch_size: int | None = None,
    max_new_tokens: int = MAX_NEW_TOKENS,
    progress: Callable[[int], None] = lambda done: None,
) -> Score:
    """Score a model on labelled examples.

    Args:
        lm: the model.
        examples: labelled, rendered for it.
        metric: one of `tasks.metrics.METRICS`.
        allowed: the task's allowed answers.
        batch_size: None chooses one for the device.
        max_new_tokens: where an answer is cut off.
        progress: called with the number of examples done.

    Raises:
        InputError: no examples, or one without an answer.
    """
    gold = [example.answer for example in examples if example.answer is not None]
    if not gold or len(gold) < len(examples):
        raise InputError(
            f"{len(examples) - len(gold)} of {len(examples)} test examples have no answer; "
            "a test set is labelled, and has at least one example."
        )
    found = answers(
        lm, examples, batch_size=batch_size, max_new_tokens=max_new_tokens, progress=progress
    )
    return summarise(metric, found, gold, allowed)


def summarise(
    metric: str, found: Sequence[str], gold: Sequence[str], allowed: Sequence[str] = ()
) -> Score:
    """The score of answers that are at hand, with its standard error.

    For a share p of n the error is binomial, with p moved to (k + 1) / (n + 2) so that it is not 0
    where all answers are right or wrong. For the F1 and ROUGE-L scores it is the spread over
    resamples of the test set (bootstrap), but at least 1 / (2 n).
    """
    scored = score_answers(metric, found, gold, allowed)
    sd = _spread(metric, scored, found, gold, allowed)
    return Score(scored.total, sd, len(gold), metric, _UNITS[metric])


def _spread(
    metric: str,
    scored: Scored,
    found: Sequence[str],
    gold: Sequence[str],
    allowed: Sequence[str],
) -> float:
    n = len(gold)
    if metric in ("accuracy", "exact_match"):
        p = (sum(scored.values) + 1) / (n + 2)
        return float(np.sqrt(p * (1 - p) / n))
    picks = np.random.default_rng(0).integers(n, size=(_RESAMPLES, n))
    if metric == "macro_f1":
        form = comparison(gold, allowed)
        totals = _macro_f1s([form(g) for g in gold], [form(a) for a in found], picks)
    else:
        totals = np.asarray(scored.values)[picks].mean(axis=1)
    return max(float(totals.std()), 1 / (2 * n))


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
