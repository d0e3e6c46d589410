"""Labelled examples as tokens, for the methods that choose before training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from labelcast.errors import InputError

if TYPE_CHECKING:
    from labelcast.models.causal import LanguageModel
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


def contents(examples: Sequence[Example]) -> list[str]:
    """Prompts and answers, for what a signal depends on (`SignalStore.rows`)."""
    return [text for example in examples for text in (example.prompt, str(example.answer))]
