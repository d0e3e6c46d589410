"""Layers that run forward again in the backward pass, instead of keeping their activations.

For layers whose activations do not fit into memory, and for layers whose weights accelerate loads
only for a forward pass: autograd would keep all of these weights.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop
from transformers.modeling_layers import GradientCheckpointingLayer

from labelcast.models.protocols import TorchModel


class Pass(threading.local):
    """What a thread runs through the model.

    Autograd runs the backward pass of a GPU in a thread of its own. A layer that runs forward again
    there gets the state of its first run from `recomputed`.
    """

    again: bool = False  # a layer is running forward for the second time
    count: int = 1  # N examples
    # Which examples; empty in the forward pass of the shared tokens, set before a backward pass.
    rows: Sequence[int] = ()
    positions: Tensor | None = None  # [U] of the last layer; None means all
    read: Tensor | None = None  # [N,S], whether the logits there are read; None means all


def offloaded(model: nn.Module) -> bool:
    """Whether some weights are kept outside the devices that compute with them."""
    return any(weight.device.type == "meta" for weight in model.parameters())


def model_layers(model: nn.Module) -> list[nn.Module]:
    """The layers of a model that can run forward again, in order."""
    return [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)]


@contextmanager
def recomputed(lm: TorchModel, places: Collection[int]) -> Iterator[Pass]:
    """Recompute the layers at some places of the model, and all with offloaded weights.

    Yields:
        Where the caller says what each pass runs.
    """
    state = Pass()

    @contextmanager
    def second_run(first: Mapping[str, Any]) -> Iterator[None]:
        before = dict(vars(state))
        vars(state).update(first, again=True)
        try:
            yield
        finally:
            vars(state).clear()
            vars(state).update(before)

    chosen = [m for i, m in enumerate(model_layers(lm.model)) if i in places or offloaded(m)]
    run = partial(
        checkpoint,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), second_run(dict(vars(state)))),
    )
    with ExitStack() as stack:
        if any(map(offloaded, chosen)):
            # A layer that stops early would keep the weights that it has loaded.
            stack.enter_context(set_checkpoint_early_stop(False))
        for layer in chosen:
            stack.enter_context(_attribute(layer, "gradient_checkpointing", True))
            # Only the layer's own flag: its dropout modules stay off.
            stack.enter_context(_attribute(layer, "training", True))
            stack.enter_context(_attribute(layer, "_gradient_checkpointing_func", run))
        yield state


@contextmanager
def _attribute(layer: nn.Module, name: str, value: Any) -> Iterator[None]:
    """Context manager: set an attribute of the instance."""
    had, before = name in vars(layer), vars(layer).get(name)
    setattr(layer, name, value)
    try:
        yield
    finally:
        if had:
            setattr(layer, name, before)
        else:
            delattr(layer, name)
