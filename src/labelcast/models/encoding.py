"""From text to tokens: prompts, answers, and batches of similar length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labelcast.errors import InputError, brief

if TYPE_CHECKING:
    from labelcast.models.protocols import Reader
    from labelcast.tasks.prompts import Example

_USUAL_LENGTH = 512


@dataclass(frozen=True)
class Encoded:
    """A prompt with its answer: `tokens` [S], of which the last `answer_length` are the answer."""

    tokens: list[int]
    answer_length: int

    @property
    def prompt(self) -> list[int]:
        """The tokens of the prompt."""
        return self.tokens[: len(self.tokens) - self.answer_length]


def encode_prompt(tokenizer: Any, prompt: str) -> list[int]:
    """The tokens of a rendered prompt, which contains its special tokens as text."""
    try:
        return list(tokenizer.encode(prompt, add_special_tokens=False))
    except Exception as error:  # the library raises bare exceptions
        where = f"model {tokenizer.name_or_path}: its tokenizer cannot read"
        raise InputError(f"{where} {prompt[:40]!r}... ({brief(error)}).") from None


def encode_pair(tokenizer: Any, prompt: str, answer: str) -> Encoded:
    """The tokens of a prompt and its answer, without an end-of-turn token.

    The prompt's tokens always come first: if the tokenizer would merge across the boundary, the two
    are encoded separately.
    """
    first = encode_prompt(tokenizer, prompt)
    both = encode_prompt(tokenizer, prompt + answer)
    if both[: len(first)] != first or len(both) == len(first):
        both = first + encode_prompt(tokenizer, answer)
    return Encoded(both, len(both) - len(first))


def encoded(
    lm: Reader, examples: Sequence[Example], between: Sequence[int] = (), end: Sequence[int] = ()
) -> list[Encoded]:
    """The tokens of labelled examples; some may go between prompt and answer, and to the end.

    The tokens at the end belong to the answer, those between do not.

    Raises:
        InputError: an example is longer than the context, or its prompt or answer has no tokens.
    """
    found = []
    for example in examples:
        where = f"{example.where} (id {example.id})"
        text = example.answer or ""
        pair = encode_pair(lm.tokenizer, example.prompt, text)
        answer = pair.tokens[len(pair.prompt) :]
        tokens = [*pair.prompt, *between, *answer, *end]
        if not text.strip() or not answer:
            raise InputError(f"{where}: the answer is empty.")
        if len(tokens) > lm.context:
            raise InputError(
                f"{where}: {len(tokens)} tokens, but model {lm.name} reads at most {lm.context}. "
                "Shorten the example or leave it out."
            )
        if not pair.prompt:
            raise InputError(f"{where}: the prompt is empty.")
        found.append(Encoded(tokens, len(answer) + len(end)))
    return found


def shared_prefix(sequences: Sequence[Sequence[int]]) -> int:
    """How many first tokens all sequences share, leaving each at least one more.

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
    sequences: Sequence[Sequence[int]],
    rows: int,
    *,
    equal: bool = False,
    fits: Callable[[int, int], bool] = lambda rows, longest: True,
) -> list[list[int]]:
    """Positions grouped into batches of similar (or `equal`) length, longest first.

    A batch has at most `rows` sequences, and fewer if they are very long: it takes no more memory
    than `rows` sequences of 512 tokens, or than one sequence if that is longer. `fits` says whether
    that many rows of the longest one's length fit into memory; one sequence is always a batch.

    Examples:
        >>> by_length([[1], [1, 2, 3], [1, 2]], 2)
        [[1, 2], [0]]
    """
    order = sorted(range(len(sequences)), key=lambda i: (-len(sequences[i]), i))
    groups: list[list[int]] = []
    for position in order:
        if groups:
            longest = len(sequences[groups[-1][0]])
            size = len(groups[-1]) + 1
            room = size <= rows and size * longest <= rows * _USUAL_LENGTH
            if room and fits(size, longest) and not (equal and longest != len(sequences[position])):
                groups[-1].append(position)
                continue
        groups.append([position])
    return groups
