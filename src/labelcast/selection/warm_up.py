"""A short training of adapters, with the state of AdamW at its checkpoints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from labelcast.models.adapters import Adapters
from labelcast.models.layers import Layer
from labelcast.selection.signals import OnSignal

BETAS, EPSILON = (0.9, 0.999), 1e-8


@dataclass(frozen=True)
class WarmUp:
    """Settings of the training; None follows the size of the model or the pool.

    Attributes:
        share: share of the pool that is trained on, but at least 32 examples.
        epochs: passes over them, with a checkpoint after each.
        rank: rank of the adapters; None is 1/32 of the model's width, the share that rank 128 has
            of LLaMA 7B.
        alpha: None is four times the rank.
        dropout: on the adapters' inputs.
        learning_rate: the highest; it rises in the first `rise` of the steps, then falls to 0.
            Published is 2e-5, for hundreds of steps of a model of 7B.
        rise: see `learning_rate`.
        batch_size: None is 32, or 1/8 of the examples if these are fewer than 256.
    """

    share: float = 0.05
    epochs: int = 4
    rank: int | None = None
    alpha: float | None = None
    dropout: float = 0.1
    learning_rate: float = 2e-4
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


class Trainable(Protocol):
    """A model with labelled examples.

    Attributes:
        adapters: what is added to the model.
    """

    adapters: Adapters

    def layers(self) -> dict[str, Layer]:
        """The layers that are trained, by the names of their weights."""

    def loss(self, rows: Sequence[int]) -> Tensor:
        """The mean loss of some examples."""


def warm_up(
    subject: Trainable,
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


def load_checkpoint(subject: Trainable, checkpoint: Checkpoint) -> None:
    """Give a subject the weights of a checkpoint."""
    with torch.no_grad():
        for name, layer in subject.layers().items():
            layer.module.weight.copy_(checkpoint.weights[name])
