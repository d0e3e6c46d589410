"""Decoding along the allowed answers only: a trie over their tokens, walked by each row of a batch.

Shapes: B rows, V words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from labelcast.errors import InputError
from labelcast.models.encoding import encode_pair
from labelcast.models.protocols import TorchModel


@dataclass
class _Node:
    """Tokens so far; `answer` ends here, and `answers` are all that start with them."""

    children: dict[int, _Node] = field(default_factory=dict)
    answer: str | None = None
    answers: list[str] = field(default_factory=list)


class AnswerTrie:
    """The allowed answers as paths of tokens.

    Attributes:
        steps: the most tokens until the answer is known.
    """

    def __init__(self, sequences: Mapping[str, Sequence[int]], ends: frozenset[int]):
        """From the tokens of each answer, and the tokens that end an answer."""
        self.root, self.ends = _Node(), ends
        self.steps = 1
        for answer, tokens in sequences.items():
            node = self.root
            node.answers.append(answer)
            for token in tokens:
                node = node.children.setdefault(token, _Node())
                node.answers.append(answer)
            node.answer = answer if node.answer is None else node.answer
        for answer, tokens in sequences.items():
            self.steps = max(self.steps, self._steps_to(answer, tokens))

    def _steps_to(self, answer: str, tokens: Sequence[int]) -> int:
        """The tokens after which an answer is the only one left, or its end."""
        node = self.root
        for depth, token in enumerate(tokens, 1):
            node = node.children[token]
            if node.answers == [answer]:
                return depth
        return len(tokens) + 1

    @classmethod
    def of(
        cls, lm: TorchModel, prompt: str, answers: Sequence[str], ends: frozenset[int]
    ) -> AnswerTrie:
        """The trie of some answers, tokenized as they follow a rendered prompt.

        Raises InputError for an answer without tokens.
        """
        pairs = {answer: encode_pair(lm.tokenizer, prompt, answer) for answer in answers}
        for answer, pair in pairs.items():
            if not pair.answer_length:
                raise InputError(
                    f"model {lm.name}: the answer {answer!r} has no tokens, so it cannot be given. "
                    "Give it another name in the task file."
                )
        return cls({a: pair.tokens[len(pair.prompt) :] for a, pair in pairs.items()}, ends)

    def options(self, node: _Node) -> list[int]:
        """The tokens that may follow; those that end an answer where one ends."""
        return [*node.children, *(self.ends if node.answer is not None else ())]


class Walk:
    """Where each row of a batch is in a trie; a row is done once its answer is known.

    Attributes:
        answers: the allowed answer of each row; None until it is known.
        choices: for each row and token, whether another one was possible.
    """

    def __init__(self, trie: AnswerTrie, rows: int):
        self._trie = trie
        self._nodes = [trie.root] * rows
        self.answers: list[str | None] = [None] * rows
        self.choices: list[list[bool]] = [[] for _ in range(rows)]

    def only_allowed(self, logits: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        """Logits [B,V] of some rows, minus infinity for every token that may not follow."""
        options = [self._trie.options(self._nodes[row]) for row in rows]
        places = [place for place, tokens in enumerate(options) for _ in tokens]
        index = torch.tensor([places, [token for one in options for token in one]])
        place, token = index.to(logits.device)
        allowed = torch.full_like(logits, -torch.inf)
        allowed[place, token] = logits[place, token]
        return allowed

    def take(self, row: int, token: int) -> None:
        """Follow a token that `only_allowed` left."""
        node = self._nodes[row]
        self.choices[row].append(len(self._trie.options(node)) > 1)
        if token in node.children:
            node = self._nodes[row] = node.children[token]
            if len(node.answers) == 1:
                self.answers[row] = node.answers[0]
        else:
            self.answers[row] = node.answer

    def is_done(self, row: int) -> bool:
        """Whether the answer of a row is known."""
        return self.answers[row] is not None
