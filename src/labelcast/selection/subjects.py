"""Models with labelled examples, whose adapters are trained and give gradients.

Shapes: N examples, D numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from labelcast.errors import InputError
from labelcast.models.adapters import Adapters, attention_layers, encoder_layers
from labelcast.models.encoder import Classifier, Encoder, padded
from labelcast.models.encoding import encoded
from labelcast.models.gradient_vectors import (
    GradientVectors,
    Projection,
    classifier_vectors,
    gradient_vectors,
)
from labelcast.models.layers import Layer, linear_layers
from labelcast.selection.warm_up import Trainable, WarmUp
from labelcast.training.sequences import collate, end_of_turn, row_of
from labelcast.training.trainer import answer_loss

if TYPE_CHECKING:
    from labelcast.models.causal import LanguageModel
    from labelcast.models.loading import AnyModel
    from labelcast.tasks.prompts import Example


class Subject(Trainable, Protocol):
    """What can be trained, and gives vectors of its examples' gradients."""

    def vectors(self, rows: Sequence[int], how: Projection) -> GradientVectors:
        """Vectors of the gradients of some examples, [n,D]; an error names the record."""


def subject(
    lm: AnyModel, examples: Sequence[Example], allowed: Sequence[str], settings: WarmUp, seed: int
) -> Subject:
    """A model with new adapters and labelled examples; `seed` draws the adapters.

    Raises:
        InputError: an example is too long, or its answer is not one of an encoder's.
    """
    if isinstance(lm, Encoder):
        return _Texts(lm, examples, allowed, settings, seed)
    return _Answers(lm, examples, settings, seed)


class _Answers:
    """A causal model: the answers' tokens and the end of turn have a loss."""

    def __init__(
        self, lm: LanguageModel, examples: Sequence[Example], settings: WarmUp, seed: int
    ) -> None:
        self.lm, self.examples = lm, examples
        self.pairs = encoded(lm, examples, end=end_of_turn(lm))
        width = lm.model.config.get_text_config().hidden_size
        self.adapters = _adapters(attention_layers(linear_layers(lm)), width, settings, seed)

    def layers(self) -> dict[str, Layer]:
        return self.adapters.layers()

    def loss(self, rows: Sequence[int]) -> Tensor:
        batch = collate([row_of(self.pairs[row]) for row in rows])
        batch = {name: values.to(self.lm.input_device) for name, values in batch.items()}
        labels = batch.pop("labels")
        with self.adapters.attached():
            outputs = self.lm.model(**batch, use_cache=False)
        return answer_loss(outputs, labels.to(outputs.logits.device))

    def vectors(self, rows: Sequence[int], how: Projection) -> GradientVectors:
        pairs = [self.pairs[row] for row in rows]
        with self.adapters.attached():
            return gradient_vectors(self.lm, pairs, self.layers(), _named(how, self.examples, rows))


class _Texts:
    """An encoder with a linear head, which is trained too."""

    def __init__(
        self,
        lm: Encoder,
        examples: Sequence[Example],
        allowed: Sequence[str],
        settings: WarmUp,
        seed: int,
    ) -> None:
        given = [str(example.answer) for example in examples]
        lm = lm.for_answers(allowed or lm.answers or sorted(set(given)))
        for example, answer in zip(examples, given, strict=True):
            if answer not in lm.answers:
                raise InputError(
                    f"{_name(example)}: its answer {answer[:40]!r} is not one of "
                    f"the task's, {', '.join(lm.answers)[:200]}."
                )
        self.examples = examples
        self.lm, self.padding = lm, lm.tokenizer.pad_token_id or 0
        self.tokens = lm.tokens(example.prompt for example in examples)
        self.answers = [lm.answers.index(answer) for answer in given]
        head = lm.first_head(torch.Generator().manual_seed(seed))
        self.model = Classifier(lm.model, lm.pooling, head)
        width = lm.model.config.hidden_size
        self.adapters = _adapters(encoder_layers(lm.model), width, settings, seed)

    def layers(self) -> dict[str, Layer]:
        head = self.model.head
        return self.adapters.layers() | {"head": Layer(head, head.in_features, head.out_features)}

    def loss(self, rows: Sequence[int]) -> Tensor:
        batch = padded([self.tokens[row] for row in rows], self.padding, self.lm.device.value)
        with self.adapters.attached():
            logits = self.model(**batch)["logits"].float()
        wanted = torch.tensor([self.answers[row] for row in rows], device=logits.device)
        return nn.functional.cross_entropy(logits, wanted)

    def vectors(self, rows: Sequence[int], how: Projection) -> GradientVectors:
        tokens, answers = [self.tokens[row] for row in rows], [self.answers[row] for row in rows]
        how = _named(how, self.examples, rows)
        with self.adapters.attached():
            return classifier_vectors(self.model, tokens, answers, self.layers(), how, self.padding)


def _name(example: Example) -> str:
    return f"{example.where} (id {example.id})"


def _named(how: Projection, examples: Sequence[Example], rows: Sequence[int]) -> Projection:
    """The same projection, whose messages name the record of some rows."""
    return replace(how, name=lambda place: _name(examples[rows[place]]))


def _adapters(layers: dict[str, Layer], width: int, settings: WarmUp, seed: int) -> Adapters:
    rank = settings.rank or min(128, max(4, width // 32))
    alpha = 4.0 * rank if settings.alpha is None else settings.alpha
    made = Adapters(layers, rank=rank, alpha=alpha, dropout=settings.dropout, seed=seed)
    made.eval().requires_grad_(False)
    return made
