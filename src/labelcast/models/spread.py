"""Models spread over several devices by accelerate.

Knows that weights which fit on no GPU are brought in for a layer's forward pass and taken away
again, and what a backward pass needs then. Knows nothing of batches or gradients' use.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop
from transformers.modeling_layers import GradientCheckpointingLayer


def offloaded(model: nn.Module) -> bool:
    """Whether some weights are kept outside the devices that compute with them."""
    return any(weight.device.type == "meta" for weight in model.parameters())


@contextmanager
def recomputed(model: nn.Module) -> Iterator[None]:
    """Each layer with offloaded weights is run again for its backward pass, for a while.

    Else every weight that was brought in for the forward pass would stay until the backward pass:
    the whole model at once, on a device that cannot hold it. Nothing changes for other models.
    """
    layers = [
        module
        for module in model.modules()
        if isinstance(module, GradientCheckpointingLayer) and offloaded(module)
    ]
    with ExitStack() as stack:
        if layers:
            # Left half-way, a layer would keep the weights that it has brought in.
            stack.enter_context(set_checkpoint_early_stop(False))
        for layer in layers:
            stack.enter_context(_set(layer, "gradient_checkpointing", True))
            # The layer's own flag alone: its dropout modules stay off.
            stack.enter_context(_set(layer, "training", True))
            again = partial(checkpoint, use_reentrant=False)
            stack.enter_context(_set(layer, "_gradient_checkpointing_func", again))
        yield


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
