"""From text to tokens: prompts, answers, and what a list of prompts has in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from labelcast.errors import InputError, brief, is_out_of_memory

_USUAL = 512


@dataclass(frozen=True)
class Encoded:
    """A prompt with its answer: `tokens` [S], of which the last `answer_length` are the answer."""

    tokens: list[int]
    answer_length: int


def encode_prompt(tokenizer: Any, prompt: str) -> list[int]:
    """The tokens of a rendered prompt; it already holds its special tokens as text.

    Raises:
        InputError: the tokenizer fails on it.
    """
    try:
        return list(tokenizer.encode(prompt, add_special_tokens=False))
    except Exception as error:  # the library has one kind of its own for all of them
        if is_out_of_memory(error):
            raise
        fault = brief(error)
        where = f"model {tokenizer.name_or_path}: its tokenizer cannot read"
        raise InputError(f"{where} {prompt[:40]!r}... ({fault}).") from None


def encode_pair(tokenizer: Any, prompt: str, answer: str) -> Encoded:
    """The tokens of a prompt and its answer, the prompt's own tokens first.

    Where the tokenizer would merge across the boundary the two are encoded apart, so that the
    prompt's tokens are always a prefix. The answer is its text alone, without an end-of-turn token.
    """
    first = encode_prompt(tokenizer, prompt)
    both = encode_prompt(tokenizer, prompt + answer)
    if both[: len(first)] != first or len(both) == len(first):
        both = first + encode_prompt(tokenizer, answer)
    return Encoded(both, len(both) - len(first))


def shared_prefix(sequences: Sequence[Sequence[int]]) -> int:
    """How many tokens at the start all sequences share, leaving at least one to each.

    Examples:
        >>> shared_prefix([[1, 2, 3], [1, 2, 4], [1, 2, 3, 5]])
        2
    """
    if not sequences:
        return 0
    low, high = min(map(tuple, sequences)), max(map(tuple, sequences))
    limit = min(len(sequence) for sequence in sequences) - 1
    for position in range(limit):
        if low[position] != high[position]:
            return position
    return max(limit, 0)


def by_length(
    sequences: Sequence[Sequence[int]], rows: int, *, equal: bool = False
) -> list[list[int]]:
    """Positions grouped into batches of similar length, longest first.

    A batch of very long sequences gets fewer rows, so that memory stays within that of `rows`
    sequences of 512 tokens (or of one sequence, where that is longer).

    Args:
        sequences: token lists.
        rows: how many sequences a batch holds at most.
        equal: put only sequences of one length together.

    Examples:
        >>> by_length([[1], [1, 2, 3], [1, 2]], 2)
        [[1, 2], [0]]
    """
    order = sorted(range(len(sequences)), key=lambda i: (-len(sequences[i]), i))
    groups: list[list[int]] = []
    for position in order:
        if groups:
            longest = len(sequences[groups[-1][0]])
            fits = len(groups[-1]) < rows and (len(groups[-1]) + 1) * longest <= rows * _USUAL
            if fits and not (equal and longest != len(sequences[position])):
                groups[-1].append(position)
                continue
        groups.append([position])
    return groups
