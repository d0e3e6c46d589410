"""The end of a model run at the positions that a loss looks at, and nowhere else.

Past its attention a transformer's last layer mixes no positions, and what it makes of a position
that predicts no answer token is never read. Hooks cut those positions out before the attention's
output projection and the feed-forward block, and put zeros in their place behind each; and they
hand the vocabulary's layer only what is read of it.

Shapes: N examples of a batch, S tokens, U used positions, M of the N U that are read, F features.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from labelcast.models.loading import LanguageModel


class Used(threading.local):
    """What this thread's pass needs.

    Attributes:
        positions: [U] of the last layer; None for all.
        read: [N,U], whether the logits there are read; None for all.
    """

    positions: Tensor | None = None
    read: Tensor | None = None


@contextmanager
def trimmed(lm: LanguageModel) -> Iterator[Used]:
    """Runs the end of the model at the positions that the caller sets, where it is built as known.

    Yields:
        What the caller says each pass needs. The last layer's states elsewhere are then wrong, and
        the logits are [M,V] where `read` is given.
    """
    used = Used()
    handles = []
    for module in _per_position(lm):
        lengths = _Lengths()
        handles.append(module.register_forward_pre_hook(_cut(used, lengths)))
        handles.append(module.register_forward_hook(_fill(used, lengths)))
    head = lm.model.get_output_embeddings()
    if head is not None:
        handles.append(head.register_forward_pre_hook(_read(used)))
    try:
        yield used
    finally:
        for handle in handles:
            handle.remove()


class _Lengths(threading.local):
    """S of the pass that this thread runs."""

    tokens: int = 0


def _per_position(lm: LanguageModel) -> list[nn.Module]:
    """The parts of the last layer that mix no positions; none for a build that is not known."""
    layers = getattr(lm.model.get_decoder(), "layers", None)
    last = layers[-1] if isinstance(layers, nn.ModuleList) and len(layers) else None
    projection = getattr(getattr(last, "self_attn", None), "o_proj", None)
    block = getattr(last, "mlp", None)
    # Experts are left whole: what routes to them counts tokens.
    plain = block is not None and all(
        isinstance(part, nn.Linear)
        for part in block.children()
        if next(part.parameters(), None) is not None
    )
    if not isinstance(projection, nn.Linear) or block is None or not plain:
        return []
    return [projection, block]


def _cut(used: Used, lengths: _Lengths) -> Any:
    def hook(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if used.positions is None:
            return None
        lengths.tokens = args[0].shape[1]
        return (
            args[0].index_select(1, used.positions.to(args[0].device)),
            *args[1:],
        )  # [N,S,F] -> [N,U,F]

    return hook


def _fill(used: Used, lengths: _Lengths) -> Any:
    def hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        if used.positions is None:
            return None
        whole = output.new_zeros(len(output), lengths.tokens, output.shape[-1])
        return whole.index_copy(1, used.positions.to(output.device), output)  # [N,U,F] -> [N,S,F]

    return hook


def _read(used: Used) -> Any:
    def hook(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if used.read is None:
            return None
        return (args[0][used.read.to(args[0].device)], *args[1:])  # [N,U,F] -> [M,F]

    return hook
