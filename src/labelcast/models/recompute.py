"""Layers that run forward again in the backward pass, instead of keeping their activations.

For layers whose activations do not fit into memory, and for layers whose weights accelerate loads
only for a forward pass: autograd would keep all of these weights.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop
from transformers.modeling_layers import GradientCheckpointingLayer

from labelcast.models.protocols import TorchModel


class Again(threading.local):
    """Whether this thread is running a layer's forward pass for the second time."""

    now: bool = False


def offloaded(model: nn.Module) -> bool:
    """Whether some weights are kept outside the devices that compute with them."""
    return any(weight.device.type == "meta" for weight in model.parameters())


@contextmanager
def recomputed(lm: TorchModel, count: int) -> Iterator[Again]:
    """Recompute the first `count` layers of the model, and all with offloaded weights."""
    again = Again()

    @contextmanager
    def second_run() -> Iterator[None]:
        again.now = True
        try:
            yield
        finally:
            again.now = False

    layers = [m for m in lm.model.modules() if isinstance(m, GradientCheckpointingLayer)]
    chosen = [m for place, m in enumerate(layers) if place < count or offloaded(m)]
    run = partial(checkpoint, use_reentrant=False, context_fn=lambda: (nullcontext(), second_run()))
    with ExitStack() as stack:
        if any(map(offloaded, chosen)):
            # A layer that stops early would keep the weights that it has loaded.
            stack.enter_context(set_checkpoint_early_stop(False))
        for layer in chosen:
            stack.enter_context(_attribute(layer, "gradient_checkpointing", True))
            # Only the layer's own flag: its dropout modules stay off.
            stack.enter_context(_attribute(layer, "training", True))
            stack.enter_context(_attribute(layer, "_gradient_checkpointing_func", run))
        yield again


@contextmanager
def _attribute(layer: nn.Module, name: str, value: Any) -> Iterator[None]:
    """Set an attribute of the instance for a while."""
    had, before = name in vars(layer), vars(layer).get(name)
    setattr(layer, name, value)
    try:
        yield
    finally:
        if had:
            setattr(layer, name, before)
        else:
            delattr(layer, name)
