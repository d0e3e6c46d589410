"""Low-rank adapters beside the layers of a frozen model, which is never changed itself.

For gradients that are read and thrown away; what is to be kept is trained by `training`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from labelcast.models.gradients import sketch_matrix
from labelcast.models.layers import Layer

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj", "qkv_proj", "c_attn")


class Adapters(nn.Module):
    """Two matrices A [R,I] and B [O,R] for each layer, whose output gets (alpha / R) B A h.

    A starts as peft draws it, B at zero, so that new adapters change no output.
    """

    def __init__(
        self,
        layers: Mapping[str, Layer],
        *,
        rank: int,
        alpha: float,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        """New adapters in float32, on the devices of their layers."""
        super().__init__()
        self.names, self.scale = list(layers), alpha / rank
        # In a tuple, so that the model's layers are not parts of the adapters.
        self.bases = tuple(layer.module for layer in layers.values())
        self.drop = nn.Dropout(dropout)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for name, layer in layers.items():
            device = next(layer.module.parameters()).device
            down = nn.Linear(layer.in_features, rank, bias=False, device=device)
            up = nn.Linear(rank, layer.out_features, bias=False, device=device)
            with torch.no_grad():
                down.weight.copy_(sketch_matrix(name, layer.in_features, rank, seed))
                up.weight.zero_()
            self.down.append(down)
            self.up.append(up)

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Context manager: add the adapters to the outputs of their layers."""
        with ExitStack() as hooks:
            for base, down, up in zip(self.bases, self.down, self.up, strict=True):
                hooks.callback(base.register_forward_hook(self._hook(down, up)).remove)
            yield

    def _hook(self, down: nn.Module, up: nn.Module) -> Any:
        def add(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            change = up(down(self.drop(args[0].to(torch.float32)))) * self.scale
            return output + change.to(output.dtype)

        return add

    def layers(self) -> dict[str, Layer]:
        """The adapters as layers whose gradients count, named like their weights."""
        found = {}
        for name, down, up in zip(self.names, self.down, self.up, strict=True):
            found[f"{name}.A"] = Layer(down, down.in_features, down.out_features)
            found[f"{name}.B"] = Layer(up, up.in_features, up.out_features)
        return found


def attention_layers(layers: Mapping[str, Layer]) -> dict[str, Layer]:
    """The projections of attention among a language model's layers, or all plain ones without."""
    plain = {n: one for n, one in layers.items() if isinstance(one.module, nn.Linear | Conv1D)}
    chosen = {n: one for n, one in plain.items() if n.rpartition(".")[2] in ATTENTION}
    return chosen or plain


def encoder_layers(body: nn.Module) -> dict[str, Layer]:
    """The linear layers of an encoder, without those of a pooler, which nothing reads."""
    return {
        name: Layer(module, module.in_features, module.out_features)
        for name, module in body.named_modules()
        if isinstance(module, nn.Linear) and "pooler" not in name
    }
