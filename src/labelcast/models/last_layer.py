"""Run the end of a model only at the positions that a loss reads.

After its attention, a transformer's last layer mixes no positions, and its output is never read
where no answer token is predicted. Hooks drop those positions before the attention's output
projection and the feed-forward block, and put zeros in their place after each. The output
embeddings get only the positions that are read.

Shapes: N examples of a batch, S tokens, U used positions, M of the N U that are read, F features.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from labelcast.models.causal import LanguageModel


class Used(threading.local):
    """What this thread's pass needs.

    Attributes:
        positions: [U] of the last layer; None for all.
        read: [N,U], whether the logits there are read; None for all.
        tokens: S, set by the hooks.
    """

    positions: Tensor | None = None
    read: Tensor | None = None
    tokens: int = 0


@contextmanager
def trimmed(lm: LanguageModel) -> Iterator[Used]:
    """Run the end of the model at chosen positions, if its last layer is built as expected.

    Yields:
        Where the caller sets what each pass needs. The last layer's states elsewhere are then
        wrong, and the logits are [M,V] if `read` is given.
    """
    used = Used()
    handles = []
    for module in _per_position(lm):
        handles.append(module.register_forward_pre_hook(_cut(used)))
        handles.append(module.register_forward_hook(_fill(used)))
    head = lm.model.get_output_embeddings()
    if head is not None:
        handles.append(head.register_forward_pre_hook(_read(used)))
    try:
        yield used
    finally:
        for handle in handles:
            handle.remove()


def _per_position(lm: LanguageModel) -> list[nn.Module]:
    """The parts of the last layer that mix no positions; none if its build is unknown."""
    layers = getattr(lm.model.get_decoder(), "layers", None)
    last = layers[-1] if isinstance(layers, nn.ModuleList) and len(layers) else None
    projection = getattr(getattr(last, "self_attn", None), "o_proj", None)
    block = getattr(last, "mlp", None)
    # Experts get all positions: their router counts tokens.
    plain = block is not None and all(
        isinstance(part, nn.Linear)
        for part in block.children()
        if next(part.parameters(), None) is not None
    )
    if not isinstance(projection, nn.Linear) or block is None or not plain:
        return []
    return [projection, block]


def _cut(used: Used) -> Any:
    def hook(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if used.positions is None:
            return None
        used.tokens = args[0].shape[1]
        kept = args[0].index_select(1, used.positions.to(args[0].device))  # [N,S,F] -> [N,U,F]
        return (kept, *args[1:])

    return hook


def _fill(used: Used) -> Any:
    def hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        if used.positions is None:
            return None
        filled = output.new_zeros(len(output), used.tokens, output.shape[-1])
        return filled.index_copy(1, used.positions.to(output.device), output)  # [N,U,F] -> [N,S,F]

    return hook


def _read(used: Used) -> Any:
    def hook(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if used.read is None:
            return None
        return (args[0][used.read.to(args[0].device)], *args[1:])  # [N,U,F] -> [M,F]

    return hook
