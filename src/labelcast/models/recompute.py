"""Layers that run forward again in the backward pass, instead of keeping what it needs.

Two kinds do: those whose activations memory does not hold, and those whose weights accelerate
brings in for a forward pass and takes away again, since autograd would keep every weight that was
brought in.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop
from transformers.modeling_layers import GradientCheckpointingLayer

from labelcast.models.loading import LanguageModel


class Again(threading.local):
    """Whether the forward pass that this thread runs is a layer's second."""

    now: bool = False


def offloaded(model: nn.Module) -> bool:
    """Whether some weights are kept outside the devices that compute with them."""
    return any(weight.device.type == "meta" for weight in model.parameters())


@contextmanager
def recomputed(lm: LanguageModel, count: int) -> Iterator[Again]:
    """Runs the first `count` layers of the model so, and all that have offloaded weights.

    Yields:
        What tells a layer's second run from its first.
    """
    again = Again()
    layers = [m for m in lm.model.modules() if isinstance(m, GradientCheckpointingLayer)]
    chosen = [m for place, m in enumerate(layers) if place < count or offloaded(m)]
    run = partial(checkpoint, use_reentrant=False, context_fn=partial(_contexts, again))
    with ExitStack() as stack:
        if any(map(offloaded, chosen)):
            # Left half-way, a layer would keep the weights that it has brought in.
            stack.enter_context(set_checkpoint_early_stop(False))
        for layer in chosen:
            stack.enter_context(_set(layer, "gradient_checkpointing", True))
            # The layer's own flag alone: its dropout modules stay off.
            stack.enter_context(_set(layer, "training", True))
            stack.enter_context(_set(layer, "_gradient_checkpointing_func", run))
        yield again


def _contexts(again: Again) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """What holds in a layer's first run, and in its second."""
    return nullcontext(), _second(again)


@contextmanager
def _second(again: Again) -> Iterator[None]:
    again.now = True
    try:
        yield
    finally:
        again.now = False


@contextmanager
def _set(layer: nn.Module, name: str, value: Any) -> Iterator[None]:
    """An attribute of the instance, set for a while."""
    had, before = name in vars(layer), vars(layer).get(name)
    setattr(layer, name, value)
    try:
        yield
    finally:
        if had:
            setattr(layer, name, before)
        else:
            delattr(layer, name)
