"""Greedy answers to any number of prompts: what every way of running a model has in common.

`generation` runs one batch with transformers, `generation_vllm` runs vLLM; neither knows what the
answers are for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from labelcast.models.encoding import shared_prefix
from labelcast.models.generation import Generated, Prefix, batches, generate, read_prefix
from labelcast.models.loading import LanguageModel


class Answers(Protocol):
    """Something that answers prompts."""

    def answer(
        self,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        progress: Callable[[int], None] = lambda done: None,
    ) -> list[Generated]:
        """Greedy answers to prompts, in order.

        Args:
            prompts: token lists, none empty; each leaves room for its answer in the context.
            max_new_tokens: where an answer is cut off.
            progress: called with the number of prompts done.
        """


class LocalAnswers:
    """A model in this process, in batches of similar length.

    What all prompts of a call share is run once, and again in the next call only where that
    begins otherwise. An answer depends on the prompts of its own call alone.
    """

    def __init__(self, lm: LanguageModel, batch_size: int):
        self.lm, self.batch_size = lm, batch_size
        self._prefix = Prefix([], [])

    def answer(
        self,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        progress: Callable[[int], None] = lambda done: None,
    ) -> list[Generated]:
        """Greedy answers to prompts, in order; see `Answers`."""
        found: dict[int, Generated] = {}
        self._read(prompts)
        for batch in batches(self.lm, prompts, self.batch_size):
            chosen = [prompts[i] for i in batch]
            answers = generate(self.lm, chosen, self._prefix, max_new_tokens)
            found |= zip(batch, answers, strict=True)
            progress(len(batch))
        return [found[i] for i in range(len(prompts))]

    def _read(self, prompts: Sequence[Sequence[int]]) -> None:
        known = self._prefix.tokens
        same = len(prompts) > 1 and list(prompts[0][: len(known)]) == known
        if not (known and same and shared_prefix(prompts) == len(known)):
            self._prefix = read_prefix(self.lm, prompts)
