"""Train on texts of different lengths without computing padding.

Shapes: N texts, S tokens of the longest, T tokens of all texts in a pack, F features, K answers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from labelcast.models.encoder import Classifier, Pooling

_TOKENS = 256
"""Most tokens of a pack: attention between its texts is computed and masked, which takes time."""


def classifier(body: nn.Module, pooling: Pooling, head: nn.Linear) -> Classifier:
    """A classifier to train; on a CPU one that packs, if the encoder is a BERT.

    Other families number positions in other ways.
    """
    device = next(body.parameters()).device.type
    packs = device == "cpu" and body.config.model_type == "bert"
    return (PackedClassifier if packs else Classifier)(body, pooling, head)


class PackedClassifier(Classifier):
    """The same logits, computed from several texts in one sequence that do not see each other."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        """Logits of the allowed answers, [N,K]; see `Classifier`."""
        inside = attention_mask.bool()
        text, position = inside.nonzero(as_tuple=True)
        # Once for all packs: its gradient is as large as the vocabulary.
        tokens = self.body.get_input_embeddings()(input_ids[inside])
        parts = []
        for part in packs(inside.sum(1).tolist()):
            states = self.body(
                inputs_embeds=tokens[None, part],
                position_ids=position[None, part],
                attention_mask=(text[part, None] == text[part])[None, None],
            ).last_hidden_state[0]
            parts.append(states)
        packed = torch.cat(parts)
        padded = packed.new_zeros(*input_ids.shape, packed.shape[-1])
        padded[inside] = packed
        return {"logits": self.classify(padded, attention_mask)}


def packs(lengths: list[int]) -> list[slice]:
    """Slices of texts that lie one after the other, of at most 256 tokens or of one text.

    >>> packs([100, 100, 100, 300, 5])
    [slice(0, 200, None), slice(200, 300, None), slice(300, 600, None), slice(600, 605, None)]
    """
    found, start, end = [], 0, 0
    for length in lengths:
        if end > start and end + length - start > _TOKENS:
            found.append(slice(start, end))
            start = end
        end += length
    return [*found, slice(start, end)]
