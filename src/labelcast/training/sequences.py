"""Labelled examples as token sequences whose answer alone carries a loss.

Shapes: N sequences, S tokens of the longest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from labelcast.models.encoding import encode_pair
from labelcast.models.generation import end_tokens
from labelcast.models.loading import LanguageModel
from labelcast.tasks.prompts import Example

IGNORED = -100


@dataclass(frozen=True)
class Sequences:
    """Encoded examples.

    Attributes:
        rows: tokens (``input_ids``) and labels of each, as long; -100 where no loss is taken.
        dropped: how many examples were too long and left out.
    """

    rows: tuple[dict[str, list[int]], ...]
    dropped: int


def encode(lm: LanguageModel, examples: Sequence[Example], max_length: int) -> Sequences:
    """Prompt, answer and end of turn of each example, in order.

    Args:
        lm: the model.
        examples: labelled, rendered for it.
        max_length: a sequence of so many tokens, or more than the model's context, is left out.
    """
    end = end_of_turn(lm)
    rows = []
    for example in examples:
        pair = encode_pair(lm.tokenizer, example.prompt, example.answer or "")
        tokens = pair.tokens + end
        prompt = len(pair.tokens) - pair.answer_length
        if len(tokens) < max_length and len(tokens) <= lm.context:
            labels = [IGNORED] * prompt + tokens[prompt:]
            rows.append({"input_ids": tokens, "labels": labels})
    return Sequences(tuple(rows), len(examples) - len(rows))


def end_of_turn(lm: LanguageModel) -> list[int]:
    """The token that ends an answer: the chat template's where generation stops at it.

    Empty where generation stops at no token at all.
    """
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


def collate(rows: Sequence[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    """A batch of rows, padded on the right: tokens, mask and labels, [N,S] each."""
    width = max(len(row["input_ids"]) for row in rows)
    batch = {
        "input_ids": torch.zeros(len(rows), width, dtype=torch.long),
        "attention_mask": torch.zeros(len(rows), width, dtype=torch.long),
        "labels": torch.full((len(rows), width), IGNORED),
    }
    for number, row in enumerate(rows):
        length = len(row["input_ids"])
        batch["input_ids"][number, :length] = torch.tensor(row["input_ids"])
        batch["attention_mask"][number, :length] = 1
        batch["labels"][number, :length] = torch.tensor(row["labels"])
    return batch
