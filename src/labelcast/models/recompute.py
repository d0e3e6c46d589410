"""Layers that run forward again in the backward pass, instead of keeping their activations.

Knows torch's checkpoints and how a decoder is built. The hooks at the layers are told of the second
pass, whose factors they have already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from labelcast.models.layers import UnderWay
from labelcast.models.loading import LanguageModel


@contextmanager
def recomputed(lm: LanguageModel, count: int, under_way: UnderWay) -> Iterator[None]:
    """Runs the first `count` layers of the model so; it is left as it was, after an error too."""
    layers = getattr(lm.model.get_decoder(), "layers", ())
    chosen: list[nn.Module] = list(layers)[:count]
    try:
        for layer in chosen:
            layer.forward = partial(_run, layer.forward, under_way)
        yield
    finally:
        for layer in chosen:
            layer.__dict__.pop("forward", None)


def _run(forward: Callable[..., Any], under_way: UnderWay, *args: Any, **kwargs: Any) -> Any:
    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _again(under_way)

    return checkpoint(forward, *args, use_reentrant=False, context_fn=contexts, **kwargs)


@contextmanager
def _again(under_way: UnderWay) -> Iterator[None]:
    under_way.again = True
    try:
        yield
    finally:
        under_way.again = False
