"""A short training of adapters on a share of the pool, and gradients at its checkpoints.

Shapes: N examples, D numbers of a vector.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from labelcast.errors import InputError
from labelcast.models.adapters import Adapters, attention_layers, encoder_layers
from labelcast.models.encoder import Classifier, Encoder, padded
from labelcast.models.gradient_vectors import (
    Direction,
    GradientVectors,
    classifier_vectors,
    gradient_vectors,
)
from labelcast.models.layers import Layer, linear_layers
from labelcast.selection.labelled import answers, encoded
from labelcast.selection.signals import OnSignal
from labelcast.training.trainer import IGNORED, answer_loss, collate, end_of_turn

if TYPE_CHECKING:
    from labelcast.models.causal import LanguageModel
    from labelcast.models.loading import AnyModel
    from labelcast.models.protocols import Progress
    from labelcast.tasks.prompts import Example

BETAS, EPSILON = (0.9, 0.999), 1e-8


@dataclass(frozen=True)
class WarmUp:
    """Settings of the training; None follows the size of the model or the pool.

    Attributes:
        share: of the pool that is trained on, but at least 32 examples.
        epochs: passes over them, with a checkpoint after each.
        rank: of the adapters; None is 1/32 of the model's width, the share that rank 128 has of
            LLaMA 7B.
        alpha: None is four times the rank.
        dropout: on the adapters' inputs.
        learning_rate: the highest; it rises in the first `rise` of the steps, then falls to 0.
        rise: see `learning_rate`.
        batch_size: None is 32, or 1/8 of the examples if these are fewer than 256.
    """

    share: float = 0.05
    epochs: int = 4
    rank: int | None = None
    alpha: float | None = None
    dropout: float = 0.1
    learning_rate: float = 2e-5
    rise: float = 0.03
    batch_size: int | None = None

    def count(self, size: int) -> int:
        """How many of a pool's examples are trained on."""
        return min(size, max(32, math.ceil(self.share * size))) if self.share else 0


@dataclass(frozen=True)
class Checkpoint:
    """Trained weights by name, with AdamW's moments of each.

    Attributes:
        weights: the values.
        first, second: the running means of gradients and of their squares, without correction.
        rate: the mean learning rate of the epoch.
    """

    weights: dict[str, Tensor]
    first: dict[str, Tensor]
    second: dict[str, Tensor]
    rate: float

    def adam(self, name: str, g: Tensor) -> Tensor:
        """AdamW's direction for gradients [n,O,I] of a weight, without bias correction."""
        m, v = self.first[name].to(g.device), self.second[name].to(g.device)
        first = BETAS[0] * m + (1 - BETAS[0]) * g
        second = BETAS[1] * v + (1 - BETAS[1]) * g.square()
        return first / (second.sqrt() + EPSILON)


class Subject(Protocol):
    """A model with labelled examples: a loss to train on, and vectors of gradients.

    Attributes:
        adapters: what is added to the model.
    """

    adapters: Adapters

    def layers(self) -> dict[str, Layer]:
        """The layers that are trained, by the names of their weights."""

    def loss(self, rows: Sequence[int]) -> Tensor:
        """The mean loss of some examples."""

    def vectors(
        self,
        rows: Sequence[int],
        *,
        size: int | None,
        seed: int,
        direction: Direction | None,
        batch_size: int | None,
        progress: Progress,
    ) -> GradientVectors:
        """Vectors of the gradients of some examples."""


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
        self.lm, self.pairs = lm, encoded(lm, examples, end=end_of_turn(lm))
        width = lm.model.config.get_text_config().hidden_size
        self.adapters = _adapters(attention_layers(linear_layers(lm)), width, settings, seed)

    def layers(self) -> dict[str, Layer]:
        return self.adapters.layers()

    def loss(self, rows: Sequence[int]) -> Tensor:
        pairs = [self.pairs[row] for row in rows]
        sequences = [
            {"input_ids": p.tokens, "labels": [IGNORED] * len(p.prompt) + p.tokens[len(p.prompt) :]}
            for p in pairs
        ]
        batch = {name: v.to(self.lm.input_device) for name, v in collate(sequences).items()}
        labels = batch.pop("labels")
        with self.adapters.attached():
            outputs = self.lm.model(**batch, use_cache=False)
        return answer_loss(outputs, labels.to(outputs.logits.device))

    def vectors(
        self,
        rows: Sequence[int],
        *,
        size: int | None,
        seed: int,
        direction: Direction | None,
        batch_size: int | None,
        progress: Progress,
    ) -> GradientVectors:
        with self.adapters.attached():
            return gradient_vectors(
                self.lm,
                [self.pairs[row] for row in rows],
                layers=self.layers(),
                size=size,
                seed=seed,
                direction=direction,
                batch_size=batch_size,
                progress=progress,
            )


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
        given = answers(examples)
        lm = lm.for_answers(allowed or lm.answers or sorted(set(given)))
        for example, answer in zip(examples, given, strict=True):
            if answer not in lm.answers:
                raise InputError(
                    f"{example.where} (id {example.id}): its answer {answer[:40]!r} is not one of "
                    f"the task's, {', '.join(lm.answers)[:200]}."
                )
        self.lm, self.padding = lm, lm.tokenizer.pad_token_id or 0
        self.tokens = lm.tokens(example.prompt for example in examples)
        self.answers = [lm.answers.index(answer) for answer in given]
        self.model = Classifier(lm.model, lm.pooling, _head(lm, seed))
        width = lm.model.config.hidden_size
        self.adapters = _adapters(encoder_layers(lm.model), width, settings, seed)

    def layers(self) -> dict[str, Layer]:
        head = self.model.head
        return self.adapters.layers() | {"head": Layer(head, head.in_features, head.out_features)}

    def loss(self, rows: Sequence[int]) -> Tensor:
        batch = padded([self.tokens[row] for row in rows], self.padding)
        batch = {name: values.to(self.lm.device.value) for name, values in batch.items()}
        with self.adapters.attached():
            logits = self.model(**batch)["logits"].float()
        wanted = torch.tensor([self.answers[row] for row in rows], device=logits.device)
        return nn.functional.cross_entropy(logits, wanted)

    def vectors(
        self,
        rows: Sequence[int],
        *,
        size: int | None,
        seed: int,
        direction: Direction | None,
        batch_size: int | None,
        progress: Progress,
    ) -> GradientVectors:
        with self.adapters.attached():
            return classifier_vectors(
                self.model,
                [self.tokens[row] for row in rows],
                [self.answers[row] for row in rows],
                layers=self.layers(),
                padding=self.padding,
                size=size,
                seed=seed,
                direction=direction,
                batch_size=batch_size,
                progress=progress,
            )


def _adapters(layers: dict[str, Layer], width: int, settings: WarmUp, seed: int) -> Adapters:
    rank = settings.rank or min(128, max(4, width // 32))
    alpha = 4.0 * rank if settings.alpha is None else settings.alpha
    made = Adapters(layers, rank=rank, alpha=alpha, dropout=settings.dropout, seed=seed)
    made.eval().requires_grad_(False)
    return made


def _head(lm: Encoder, seed: int) -> nn.Linear:
    """A head from the answers' names, or a random one if these mean nothing to the model."""
    if lm.pooling.sentence:
        return lm.named_head()
    head = nn.Linear(lm.model.config.hidden_size, len(lm.answers))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        head.weight.normal_(std=0.02, generator=generator)
        head.bias.zero_()
    return head.to(lm.device.value).requires_grad_(False)


def warm_up(
    subject: Subject,
    rows: Sequence[int],
    settings: WarmUp,
    seed: int,
    on_signal: OnSignal = lambda name, count: lambda done: None,
) -> list[Checkpoint]:
    """Train a subject's layers on some of its examples; its weights end as in the last checkpoint.

    AdamW without weight decay; the learning rate rises and falls linearly. `seed` decides the order
    of the examples and the dropout; `on_signal` makes the progress bar of the steps.

    Returns:
        A checkpoint after each epoch; none if there are no rows.
    """
    if not rows:
        return []
    layers = subject.layers()
    weights = {name: layer.module.weight for name, layer in layers.items()}
    size = settings.batch_size or min(32, max(1, len(rows) // 8))
    each = -(-len(rows) // size)
    steps = each * settings.epochs
    rise = min(math.ceil(settings.rise * steps), steps - 1)

    def rate(step: int) -> float:
        return step / rise if step < rise else (steps - step) / max(1, steps - rise)

    progress = on_signal("warm-up", steps)
    found, rng = [], np.random.default_rng(seed)
    for weight in weights.values():
        weight.requires_grad_(True)
    subject.adapters.train()
    optimizer = torch.optim.AdamW(
        weights.values(), settings.learning_rate, BETAS, EPSILON, weight_decay=0.0
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    try:
        with torch.random.fork_rng(), torch.enable_grad():
            torch.manual_seed(seed)
            for _ in range(settings.epochs):
                order, rates = rng.permutation(len(rows)), []
                for start in range(0, len(rows), size):
                    rates.append(schedule.get_last_lr()[0])
                    subject.loss([rows[i] for i in order[start : start + size]]).backward()
                    optimizer.step()
                    optimizer.zero_grad()
                    schedule.step()
                    progress(1)
                found.append(_checkpoint(weights, optimizer, float(np.mean(rates))))
    finally:
        subject.adapters.eval()
        for weight in weights.values():
            weight.requires_grad_(False)
    return found


def _checkpoint(
    weights: dict[str, Tensor], optimizer: torch.optim.Optimizer, rate: float
) -> Checkpoint:
    states = {name: optimizer.state[weight] for name, weight in weights.items()}
    return Checkpoint(
        {name: weight.detach().clone() for name, weight in weights.items()},
        {name: state["exp_avg"].clone() for name, state in states.items()},
        {name: state["exp_avg_sq"].clone() for name, state in states.items()},
        rate,
    )


def load_checkpoint(subject: Subject, checkpoint: Checkpoint) -> None:
    """Give a subject the weights of a checkpoint."""
    with torch.no_grad():
        for name, layer in subject.layers().items():
            layer.module.weight.copy_(checkpoint.weights[name])
