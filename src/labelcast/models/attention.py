"""The attention weights of one layer of a causal model.

Shapes: S tokens, T of them whose attention is read, H heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from labelcast.errors import InputError
from labelcast.models.protocols import TorchModel
from labelcast.models.recompute import model_layers


@torch.inference_mode()
def attention_given(lm: TorchModel, tokens: Sequence[int], last: int, layer: int) -> Tensor:
    """The attention that the last tokens give to every token, summed over heads, [T,S] float32.

    The model's attention is computed by transformers' `eager` function for this pass, since the
    faster ones do not return weights.

    Args:
        lm: the model.
        tokens: S token ids.
        last: T.
        layer: which one, from 0.

    Raises:
        InputError: the model's attention has a structure that labelcast does not know.
    """
    found: list[Tensor] = []

    def hook(module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(output, tuple) and len(output) > 1 and torch.is_tensor(output[1]):
            found.append(output[1][0, :, -last:].float().sum(0).cpu())

    layers = model_layers(lm.model)
    block = layers[layer] if layer < len(layers) else None
    module = getattr(block, "self_attn", None) or getattr(block, "attn", None)
    if module is not None:
        before = lm.model.config._attn_implementation
        lm.model.set_attn_implementation("eager")
        try:
            with module.register_forward_hook(hook):
                ids = torch.tensor([list(tokens)], device=lm.input_device)
                lm.model(input_ids=ids, use_cache=False, logits_to_keep=1)
        finally:
            lm.model.set_attn_implementation(before)
    if not found:
        raise InputError(
            f"model {lm.name}: the attention of its layer {layer} cannot be read. Use another "
            "model, or another --method."
        )
    return found[0]
