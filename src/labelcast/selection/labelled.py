"""Labelled examples as tokens, for the methods that choose before training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from labelcast.errors import InputError
from labelcast.models.encoding import Encoded, encode_pair

if TYPE_CHECKING:
    from labelcast.models.causal import LanguageModel
    from labelcast.models.protocols import TorchModel
    from labelcast.selection.pool import Pool
    from labelcast.tasks.prompts import Example


def language_model(pool: Pool, method: str) -> LanguageModel:
    """The pool's model, which must be a causal language model.

    Raises:
        InputError: it is an encoder; names the methods that take one.
    """
    from labelcast.models.causal import LanguageModel

    if not isinstance(pool.lm, LanguageModel):
        raise InputError(
            f"--method {method} needs a language model, and {pool.lm.name} is an encoder. Use "
            "--model smollm2, or --method less or tive, which also take an encoder."
        )
    return pool.lm


def answers(examples: Sequence[Example]) -> list[str]:
    """The answers of labelled examples."""
    return [str(example.answer) for example in examples]


def contents(examples: Sequence[Example]) -> list[str]:
    """Prompts and answers, for what a signal depends on (`SignalStore.rows`)."""
    return [text for example in examples for text in (example.prompt, str(example.answer))]


def encoded(
    lm: TorchModel,
    examples: Sequence[Example],
    between: Sequence[int] = (),
    end: Sequence[int] = (),
) -> list[Encoded]:
    """The tokens of labelled examples; some may go between prompt and answer, and to the end.

    The tokens at the end belong to the answer, those between do not.

    Raises:
        InputError: an example is longer than the context, or its prompt or answer has no tokens.
    """
    found = []
    for example in examples:
        pair = encode_pair(lm.tokenizer, example.prompt, str(example.answer))
        answer = pair.tokens[len(pair.prompt) :]
        tokens = [*pair.prompt, *between, *answer, *end]
        where = f"{example.where} (id {example.id})"
        if len(tokens) > lm.context:
            raise InputError(
                f"{where}: {len(tokens)} tokens, but model {lm.name} reads at most {lm.context}. "
                "Shorten the example or leave it out."
            )
        if not answer or not pair.prompt:
            raise InputError(f"{where}: its prompt or its answer is empty.")
        found.append(Encoded(tokens, len(answer) + len(end)))
    return found
