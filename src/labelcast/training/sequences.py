"""Labelled examples as the sequences that a causal language model is trained on.

Shapes: N sequences, S tokens of the longest one.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from labelcast.errors import InputError, LabelcastWarning
from labelcast.models.encoder import padded
from labelcast.models.encoding import Encoded, encode_pair
from labelcast.models.generation import end_tokens
from labelcast.models.loading import LanguageModel
from labelcast.tasks.prompts import Example
from labelcast.training.recipe import Recipe
from labelcast.training.splits import Budget

IGNORED = -100
"""The label of a token that has no loss."""


@dataclass(frozen=True)
class Sequences:
    """Encoded examples.

    Attributes:
        rows: the tokens (``input_ids``) of each example and as many labels, `IGNORED` except for
            the answer's tokens.
        dropped: how many examples were left out because they are too long.
    """

    rows: tuple[dict[str, Any], ...]
    dropped: int

    @property
    def all(self) -> list[dict[str, list[int]]]:
        """Every sequence; a row of T-Few has one for each allowed answer."""
        return [one for row in self.rows for one in row.get("choices", (row,))]


def encode_labels(lm: LanguageModel, labels: Budget, recipe: Recipe) -> list[Sequences]:
    """The sequences to train on and those for the validation loss, checked."""
    parts = [encode(lm, e, recipe.max_length) for e in (labels.train, labels.validation)]
    check_lengths(parts, recipe)
    return parts


def check_lengths(parts: Sequence[Sequences], recipe: Recipe) -> None:
    """Warn about examples that were left out; refuse to train if none remain."""
    too_long = f"(max_length of recipe {recipe.name!r}: {recipe.max_length} tokens)."
    for part, use in zip(parts, ("train", "validate"), strict=True):
        if not part.rows:
            raise InputError(
                f"no example is left to {use} on: {part.dropped} are too long {too_long}"
            )
    dropped = sum(part.dropped for part in parts)
    if dropped:
        total = dropped + sum(len(part.rows) for part in parts)
        warnings.warn(
            f"{dropped} of {total} labelled examples are too long and left out {too_long}",
            LabelcastWarning,
            stacklevel=5,
        )


def encode(lm: LanguageModel, examples: Sequence[Example], max_length: int) -> Sequences:
    """Prompt, answer and end of turn of each labelled example, in order.

    Sequences of `max_length` tokens or more, or longer than the model's context, are left out.
    """
    end = end_of_turn(lm)
    rows = []
    for example in examples:
        pair = encode_pair(lm.tokenizer, example.prompt, example.answer or "")
        ended = Encoded(pair.tokens + end, pair.answer_length + len(end))
        if len(ended.tokens) < max_length and len(ended.tokens) <= lm.context:
            rows.append(row_of(ended))
    return Sequences(tuple(rows), len(examples) - len(rows))


def row_of(pair: Encoded) -> dict[str, list[int]]:
    """The row of one sequence; see `Sequences.rows`."""
    start = len(pair.prompt)
    return {"input_ids": pair.tokens, "labels": [IGNORED] * start + pair.tokens[start:]}


def end_of_turn(lm: LanguageModel) -> list[int]:
    """The token that ends an answer, preferably the chat template's; empty if there is none."""
    ends = end_tokens(lm)
    if lm.has_chat_template:
        turns = [{"role": "user", "content": "u"}, {"role": "assistant", "content": "@end@"}]
        rest = lm.tokenizer.encode(lm.turns(turns).rpartition("@end@")[2], add_special_tokens=False)
        found = next((token for token in rest if token in ends), None)
        if found is not None:
            return [int(found)]
    if lm.tokenizer.eos_token_id in ends:
        return [int(lm.tokenizer.eos_token_id)]
    return sorted(ends)[:1]


def collate(rows: Sequence[dict[str, list[int]]]) -> dict[str, Tensor]:
    """A batch of rows, padded on the right: tokens, mask and labels, [N,S] each."""
    labels = [torch.tensor(row["labels"]) for row in rows]
    return padded([row["input_ids"] for row in rows], 0) | {
        "labels": pad_sequence(labels, batch_first=True, padding_value=IGNORED)
    }
