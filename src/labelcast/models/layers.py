"""The layers whose gradients count, and how their two factors are met in a pass.

Shapes: N examples of a batch, S tokens of each, T = N S tokens of all, I inputs and O outputs of a
layer, H features of a token.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

from labelcast.errors import InputError
from labelcast.models.loading import LanguageModel
from labelcast.models.recompute import Again

LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
FUSED = ("qkv_proj", "gate_up_proj")
_ONE_EXPERT = re.compile(r"\.experts\.\d+\.")


@dataclass(frozen=True)
class Layer:
    """One linear map h -> h W^T that an adapter would sit on.

    Attributes:
        module: what holds the weight: a linear layer, or all experts of a block.
        in_features: I.
        out_features: O.
        share: share of the tokens that it sees: 1, or for an expert what is its even share.
    """

    module: nn.Module
    in_features: int
    out_features: int
    share: float = 1.0


class Contraction(Protocol):
    """What is done with the factors of the gradients."""

    def keep(self, name: str, h: Tensor) -> Tensor:
        """What of a layer's inputs h, [N,S,I], is kept until its backward pass.

        Its dtype and device are those that the layer computes in; the weight's may be others.
        """

    def contract(self, name: str, rows: Sequence[int], d: Tensor, kept: Tensor) -> None:
        """Add d^T h of some tokens to examples `rows`; d is [N,S,O], kept as `keep` gave it.

        An example's tokens may come in several calls, which add up, or in none for a layer: an
        expert that sees none of its tokens has no gradient for it. Where examples bring unlike
        numbers of tokens, zeros fill them up.
        """

    def finish(self, rows: Sequence[int]) -> None:
        """All tokens of these examples have come."""


def linear_layers(lm: LanguageModel) -> dict[str, Layer]:
    """The layers that LoRA adapters would sit on, by name; each expert is a layer of its own.

    Expert 7 of a block is named by its number: ``model.layers.0.mlp.experts.7.down_proj``. Routers
    carry no adapter.

    Raises:
        InputError: the model has none of them, or experts of a build that is not known.
    """
    found: dict[str, Layer] = {}
    for name, module in lm.model.named_modules():
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] in LAYERS + FUSED:
            if _ONE_EXPERT.search(name):
                raise _unknown_experts(lm, name)
            found[name] = Layer(module, module.in_features, module.out_features)
        elif any(weight.dim() > 2 for weight in module.parameters(recurse=False)):
            if _known_experts(module):
                found |= _experts(name, module)
            elif "expert" in type(module).__name__.lower():
                raise _unknown_experts(lm, type(module).__name__)
    if not found:
        raise InputError(
            f"model {lm.name}: none of its linear layers is called {', '.join(LAYERS)}, "
            "so CoS-Low is not defined for it."
        )
    return found


def _unknown_experts(lm: LanguageModel, what: str) -> InputError:
    return InputError(
        f"model {lm.name}: its experts ({what}) are of a build that labelcast cannot take apart, "
        "so CoS-Low cannot be had for it. `labelcast score` works all the same."
    )


def _known_experts(module: nn.Module) -> bool:
    """Whether transformers runs a block by a switch, and its weights are numbers as they stand."""
    switched = hasattr(module, "_apply_gate") and hasattr(module, "is_transposed")
    return switched and all(weight.dtype.itemsize > 1 for weight in module.parameters())


def _experts(name: str, block: Any) -> dict[str, Layer]:
    """The layers of all experts of a block, whose weights are [E,O,I], or [E,I,O] transposed."""
    found = {}
    config = block.config
    chosen = getattr(config, "num_experts_per_tok", None) or getattr(config, "top_k_experts", None)
    for projection in _projections(block):
        count, outputs, inputs = getattr(block, projection).shape
        if block.is_transposed:
            outputs, inputs = inputs, outputs
        for expert in range(count):
            share = min(1.0, (chosen or count) / count)
            found[f"{name}.{expert}.{projection}"] = Layer(block, inputs, outputs, share)
    return found


def _projections(block: Any) -> tuple[str, str]:
    return ("gate_up_proj" if block.has_gate else "up_proj"), "down_proj"


class UnderWay(threading.local):
    """The examples of the pass that this thread runs.

    Attributes:
        count: how many a forward pass has.
        rows: which ones. Empty in a forward pass that stands for them all, whose backward pass runs
            once an example; then set before each of these, in the thread that runs it.
    """

    count: int = 1
    rows: Sequence[int] = ()


@contextmanager
def hooked(
    lm: LanguageModel, layers: Mapping[str, Layer], contraction: Contraction, again: Again
) -> Iterator[UnderWay]:
    """Contracts at each layer while it lasts; the model is left as it was, after an error too.

    Gradients begin at the outputs of these layers, so that nothing below the first is
    differentiated.

    Args:
        lm: the model.
        layers: some of `linear_layers`.
        contraction: what is done with the factors.
        again: tells passes whose factors were met before.

    Yields:
        What the caller says its passes are of.
    """
    taps = _Taps(layers, contraction, again)
    handles = []
    blocks: dict[Any, str] = {}
    for name, layer in layers.items():
        if isinstance(layer.module, nn.Linear):
            handles.append(layer.module.register_forward_hook(taps.linear(name)))
        else:
            blocks[layer.module] = name.rsplit(".", 2)[0]
    try:
        with _run_by(_forward_of(blocks, taps), blocks):
            yield taps.under_way
    finally:
        for handle in handles:
            handle.remove()


class _Taps:
    """Hands inputs and output gradients on, example by example."""

    def __init__(self, layers: Mapping[str, Layer], contraction: Contraction, again: Again):
        self.layers, self.contraction, self.again = layers, contraction, again
        self.under_way = UnderWay()

    def linear(self, name: str) -> Any:
        """A hook for a linear layer that sees every token, as [N,S,I] or, flattened, [T,I]."""

        def hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            if self.again.now:
                return _begun(output)
            count, rows = self.under_way.count, self.under_way.rows
            h = args[0].detach()
            with torch.no_grad():
                kept = self.contraction.keep(name, h.reshape(count, -1, h.shape[-1]))

            def contract(d: Tensor) -> None:
                d = d.reshape(count, -1, d.shape[-1])
                self.contraction.contract(name, rows or self.under_way.rows, d, kept)

            return _tap(output, contract)

        return hook

    def expert(self, name: str, h: Tensor, output: Tensor, sort: _Sort) -> Tensor:
        """Tap one expert's layer: its tokens' inputs [t,I] and outputs [t,O]."""
        if name not in self.layers:
            return output
        if self.again.now:
            return _begun(output)
        rows = self.under_way.rows
        with torch.no_grad():
            kept = self.contraction.keep(name, sort.spread(h.detach()))

        def contract(d: Tensor) -> None:
            these = rows or self.under_way.rows
            met = [these[example] for example in sort.examples]
            self.contraction.contract(name, met, sort.spread(d), kept)

        return _tap(output, contract)


def _tap(output: Tensor, contract: Callable[[Tensor], None]) -> Tensor:
    """The output, whose gradient `contract` will be called with."""
    output = _begun(output)
    output.register_hook(contract)
    return output


def _begun(output: Tensor) -> Tensor:
    """The output, with a gradient of its own where nothing above it has one."""
    if output.requires_grad:
        return output
    begun: Tensor = _Begin.apply(output, torch.zeros((), requires_grad=True))
    return begun


class _Begin(torch.autograd.Function):
    """Where gradients begin. A tensor that required one itself would also gather it."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, anchor: Tensor) -> Tensor:
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> tuple[None, None]:
        return None, None


class _Sort:
    """Which examples the tokens of an expert come from: their positions [t] in T, ascending."""

    def __init__(self, tokens: Tensor, each: int):
        found, self.row, counts = torch.unique_consecutive(
            tokens // each, return_inverse=True, return_counts=True
        )
        self.examples: list[int] = found.tolist()
        self.width = int(counts.max())
        starts = counts.cumsum(0) - counts
        self.slot = torch.arange(len(tokens), device=tokens.device) - starts[self.row]

    def spread(self, values: Tensor) -> Tensor:
        """[t,F] as [n,s,F] for the n examples that have tokens here, filled up with zeros."""
        room = values.new_zeros(len(self.examples), self.width, values.shape[-1])
        room[self.row, self.slot] = values
        return room


def _forward_of(blocks: Mapping[Any, str], taps: _Taps) -> Callable[..., Tensor]:
    """What a block of experts computes, expert by expert, with a tap at each layer."""

    def forward(block: Any, hidden: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        """[T,H] from hidden [T,H], the experts of each token [T,k] and their weights [T,k]."""
        total = torch.zeros_like(hidden)
        first, last = _projections(block)
        each = len(hidden) // taps.under_way.count
        # A block of no interest may share the switch.
        name = blocks.get(block)
        for expert in chosen.unique().tolist():
            tokens, places = torch.where(chosen == expert)
            sort = _Sort(tokens, each)

            def run(projection: str, h: Tensor, expert: int = expert, sort: _Sort = sort) -> Tensor:
                output = _linear(block, projection, expert, h)
                return taps.expert(f"{name}.{expert}.{projection}", h, output, sort)

            made = run(first, hidden[tokens])
            made = block._apply_gate(made) if block.has_gate else block.act_fn(made)
            made = run(last, made)
            if block.has_post_expert_norm:
                made = block.post_expert_norm(made)
            made = made * weights[tokens, places, None]
            total.index_add_(0, tokens, made.to(total.dtype))
        return total

    return forward


def _linear(block: Any, projection: str, expert: int, h: Tensor) -> Tensor:
    weight = getattr(block, projection)[expert]
    bias = getattr(block, f"{projection}_bias")[expert] if block.has_bias else None
    return nn.functional.linear(h, weight.T if block.is_transposed else weight, bias)


@contextmanager
def _run_by(forward: Callable[..., Tensor], blocks: Mapping[Any, str]) -> Iterator[None]:
    """Blocks of experts run by `forward` for a while, by transformers' own switch for it.

    A switch rather than another method, since a block that is offloaded keeps its weights in hooks
    around that method.
    """
    # Blocks share a config, and the switch is a field of it.
    configs = list({id(block.config): block.config for block in blocks}.values())
    before = [config._experts_implementation for config in configs]
    key = f"labelcast-{id(forward)}"
    ALL_EXPERTS_FUNCTIONS[key] = forward
    try:
        for config in configs:
            config._experts_implementation = key
        yield
    finally:
        for config, value in zip(configs, before, strict=True):
            config._experts_implementation = value
        del ALL_EXPERTS_FUNCTIONS[key]
