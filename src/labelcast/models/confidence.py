"""The model's confidence on each example of a pool."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labelcast.errors import InputError, RunError
from labelcast.models.encoding import encode_prompt

if TYPE_CHECKING:
    from labelcast.models.generation import Answers
    from labelcast.models.protocols import Predictor, Progress, TorchModel

MAX_NEW_TOKENS = 30


@dataclass(frozen=True)
class Confidence:
    """A model's greedy answer to one prompt and its confidence.

    Attributes:
        confidence: mean of the largest probabilities of the counted tokens, in [0, 1]; NaN if the
            prompt was skipped. Where only allowed answers are decoded, the probabilities are those
            among the tokens that may follow, and the tokens at which nothing else may follow do
            not count.
        perplexity: exp of minus the mean log of the same probabilities, at least 1.
        answer: the generated text, without special tokens.
        answer_tokens: how many tokens were counted.
        token_probabilities: the largest probability at each counted token.
        margin: smallest difference between the two largest probabilities at any step. Below about
            1e-4 another batch size or machine may take the other token.
        flag: empty, ``too_long`` (prompt and answer do not fit the context: skipped),
            ``no_counted_token`` (the first token's probability is used) or ``duplicate``.
        is_cut: whether a free answer has as many tokens as allowed and no end.
    """

    confidence: float
    perplexity: float
    answer: str
    answer_tokens: int
    token_probabilities: tuple[float, ...]
    margin: float
    flag: str = ""
    is_cut: bool = False


SKIPPED = Confidence(math.nan, math.nan, "", 0, (), math.nan, "too_long")


def score_confidence(
    lm: Predictor,
    prompts: Iterable[str],
    *,
    batch_size: int | None = None,
    max_new_tokens: int = MAX_NEW_TOKENS,
    progress: Progress = lambda done: None,
    allowed: Sequence[str] = (),
) -> list[Confidence]:
    """Confidence of each prompt, in order.

    End-of-sequence, padding and newline tokens do not count. A prompt that does not fit the
    model's context is skipped and flagged.

    Args:
        lm: the model, from `load_model`.
        prompts: rendered prompts.
        batch_size: None chooses one for the device. It changes no value beyond rounding.
        max_new_tokens: the most tokens of an answer; 30 in the paper.
        progress: called with the number of prompts done.
        allowed: decode along these answers only; empty for free decoding. See `Confidence`.

    Raises:
        InputError: a prompt without tokens, or `max_new_tokens` below 1.
        RunError: the model computes NaN or infinity.

    Source: paper, section 4 (confidence).

    Examples:
        >>> from labelcast.models.loading import load_model
        >>> scores = score_confidence(load_model("smollm2"), ["One, two, three,"], max_new_tokens=2)
        >>> scores[0].answer
        'four,'
    """
    return lm.predictor(batch_size)(prompts, max_new_tokens, progress, allowed)


def confidences(
    lm: TorchModel,
    answers: Answers,
    prompts: Iterable[str],
    max_new_tokens: int,
    progress: Progress = lambda done: None,
    allowed: Sequence[str] = (),
) -> list[Confidence]:
    """Confidence of each prompt of a causal model, in order; see `score_confidence`.

    `answers` generates the answers; only the tokenizer, context and end tokens of `lm` are used.
    """
    from labelcast.models.generation import end_tokens

    if max_new_tokens < 1:
        raise InputError(f"--max-new-tokens {max_new_tokens}: must be at least 1.")
    prompts, trie, ends = list(prompts), None, end_tokens(lm)
    if allowed and prompts:
        from labelcast.models.constrained import AnswerTrie

        trie = AnswerTrie.of(lm, prompts[0], allowed, ends)
        max_new_tokens = trie.steps
    tokens = [encode_prompt(lm.tokenizer, prompt) for prompt in prompts]
    for number, ids in enumerate(tokens, 1):
        if not ids:
            raise InputError(f"prompt {number}: it has no tokens.")
    results = [SKIPPED] * len(tokens)
    fitting = [i for i, ids in enumerate(tokens) if len(ids) + max_new_tokens <= lm.context]
    progress(len(tokens) - len(fitting))
    counts = dict.fromkeys({*ends, lm.tokenizer.pad_token_id}, False)
    wanted = [tokens[i] for i in fitting]
    generated = answers.answer(wanted, max_new_tokens, progress, trie)
    for position, answer in zip(fitting, generated, strict=True):
        if not all(map(math.isfinite, answer.probabilities)):
            dtype = str(lm.dtype.value).removeprefix("torch.")
            raise RunError(
                f"model {lm.name}: its probabilities are not finite in {dtype}. Score with --dtype "
                "float32 into another --out; if that does not help, its weights are damaged."
            )
        for token in set(answer.tokens) - counts.keys():
            text = lm.tokenizer.decode([token])
            counts[token] = not text or bool(text.strip("\r\n"))
        pairs = zip(answer.tokens, answer.probabilities, strict=True)
        counted = [probability for token, probability in pairs if counts[token]]
        results[position] = Confidence(
            *summarise(counted or answer.probabilities[:1]),
            answer=answer.allowed
            or lm.tokenizer.decode(answer.tokens, skip_special_tokens=True).strip(),
            answer_tokens=len(counted),
            token_probabilities=tuple(counted),
            margin=answer.margin,
            flag="" if counted else "no_counted_token",
            is_cut=trie is None
            and len(answer.tokens) == max_new_tokens
            and answer.tokens[-1] not in ends,
        )
    return results


def summarise(probabilities: Sequence[float]) -> tuple[float, float]:
    """Mean confidence and perplexity of an answer's token probabilities, each in (0, 1].

    Examples:
        >>> summarise([0.5, 0.5])
        (0.5, 2.0)
    """
    count = len(probabilities)
    return (
        math.fsum(probabilities) / count,
        math.exp(-math.fsum(map(math.log, probabilities)) / count),
    )
