"""The layers whose gradients count, and hooks that read the two factors of each gradient.

Shapes: N examples of a batch, S tokens of each, T = N S tokens of all, I inputs and O outputs of a
layer, H features of a token, F numbers kept of each token's inputs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS
from transformers.pytorch_utils import Conv1D

from labelcast.errors import InputError
from labelcast.models.protocols import TorchModel
from labelcast.models.recompute import Pass

LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
FUSED = ("qkv_proj", "gate_up_proj")
CONV = ("c_attn", "c_proj", "c_fc")
"""The layers of GPT-2, which have the class Conv1D: linear, with weights [I,O]."""
_SCORES_ONLY = "Forecasts from measured scores need no CoS-Low: `labelcast forecast --observe`."
_ONE_EXPERT = re.compile(r"\.experts\.\d+\.")


@dataclass(frozen=True)
class Layer:
    """One linear map h -> h W^T that an adapter would sit on."""

    module: nn.Module  # a linear layer, or all experts of a block
    in_features: int
    out_features: int
    share: float = 1.0  # of the tokens: 1, or an even share for an expert


class Contraction(Protocol):
    """Receives the factors of the gradients."""

    def begin(self, rows: Sequence[int]) -> None:
        """Called before the pass of these examples; forgets what an interrupted one has left."""
        return

    def keep(self, name: str, h: Tensor) -> Tensor:
        """What to keep of a layer's inputs h, [N,S,I], until its backward pass."""

    def contract(self, name: str, rows: Sequence[int], d: Tensor, kept: Tensor) -> None:
        """Add d^T h of some tokens to examples `rows`; d is [N,S,O], kept as `keep` returned it.

        Several calls for one example add up. There may be none: an expert has no gradient for an
        example whose tokens it does not see. Examples with fewer tokens are filled with zeros.
        """

    def finish(self, rows: Sequence[int]) -> None:
        """Called after the last call of `contract` for these examples."""
        return


class ExampleSums:
    """Adds up the parts of each example's gradient, layer by layer, until its batch is complete."""

    def __init__(self, layers: Mapping[str, Layer]):
        self._sums: dict[str, dict[int, Tensor]] = {name: {} for name in layers}

    def forget(self, rows: Sequence[int]) -> None:
        """Drop what an interrupted pass of these examples has left."""
        for sums in self._sums.values():
            for row in rows:
                sums.pop(row, None)

    def add(self, name: str, rows: Sequence[int], g: Tensor) -> None:
        """Add a layer's gradients [N,O,F] to examples `rows`."""
        sums = self._sums[name]
        for row, one in zip(rows, g, strict=True):
            sums[row] = sums[row].add_(one) if row in sums else one

    def take(self, rows: Sequence[int]) -> Iterator[tuple[str, list[int], Tensor]]:
        """For each layer those of `rows` that have a gradient, and these gradients [n,O,F].

        An expert that saw none of an example's tokens has no gradient for it.
        """
        for name, sums in self._sums.items():
            if seen := [row for row in rows if row in sums]:
                yield name, seen, torch.stack([sums.pop(row) for row in seen])


def linear_layers(lm: TorchModel) -> dict[str, Layer]:
    """The layers that LoRA adapters would sit on, by name; routers get none.

    Each expert is a separate layer, such as ``model.layers.0.mlp.experts.7.down_proj``.
    """
    found: dict[str, Layer] = {}
    for name, module in lm.model.named_modules():
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] in LAYERS + FUSED:
            if _ONE_EXPERT.search(name):
                raise _unknown_experts(lm, name)
            found[name] = Layer(module, module.in_features, module.out_features)
        elif isinstance(module, Conv1D) and name.rpartition(".")[2] in CONV:
            found[name] = Layer(module, module.nx, module.nf)
        elif any(weight.dim() > 2 for weight in module.parameters(recurse=False)):
            if _known_experts(module):
                found |= _experts(name, module)
            elif "expert" in type(module).__name__.lower():
                raise _unknown_experts(lm, type(module).__name__)
    if not found:
        known = ", ".join(LAYERS + CONV)
        raise InputError(
            f"model {lm.name}: none of its linear layers is called {known}, so CoS-Low is not "
            f"defined for it. {_SCORES_ONLY}"
        )
    return found


def _unknown_experts(lm: TorchModel, what: str) -> InputError:
    return InputError(
        f"model {lm.name}: its experts ({what}) have a structure that labelcast does not know, "
        f"so CoS-Low cannot be computed for it. {_SCORES_ONLY}"
    )


def _known_experts(module: nn.Module) -> bool:
    """Whether transformers can switch a block's implementation and its weights are unquantised."""
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


@contextmanager
def hooked(layers: Mapping[str, Layer], contraction: Contraction, state: Pass) -> Iterator[None]:
    """Pass the factors of each layer to a contraction; the model is restored at the end.

    Gradients begin at the outputs of these layers, so nothing below the first is differentiated.
    """
    taps = _Taps(layers, contraction, state)
    blocks: dict[Any, str] = {}
    with ExitStack() as hooks:
        for name, layer in layers.items():
            if isinstance(layer.module, nn.Linear | Conv1D):
                hooks.callback(layer.module.register_forward_hook(taps.linear(name)).remove)
            else:
                blocks[layer.module] = name.rsplit(".", 2)[0]
        hooks.enter_context(_run_by(_forward_of(blocks, taps), blocks))
        yield


class _Taps:
    """Passes inputs and output gradients on, by example."""

    def __init__(self, layers: Mapping[str, Layer], contraction: Contraction, state: Pass):
        self.layers, self.contraction, self.state = layers, contraction, state

    def linear(self, name: str) -> Any:
        """A hook for a linear layer that sees every token, as [N,S,I] or, flattened, [T,I]."""

        def hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            if self.state.again:
                return _differentiable(output)
            count, rows = self.state.count, self.state.rows
            h = args[0].detach()
            with torch.no_grad():
                kept = self.contraction.keep(name, h.reshape(count, -1, h.shape[-1]))

            def contract(d: Tensor) -> None:
                d = d.reshape(count, -1, d.shape[-1])
                self.contraction.contract(name, rows or self.state.rows, d, kept)

            return _tap(output, contract)

        return hook

    def expert(self, name: str, h: Tensor, output: Tensor, sort: _Sort) -> Tensor:
        """Tap one expert's layer: its tokens' inputs [t,I] and outputs [t,O]."""
        if name not in self.layers:
            return output
        if self.state.again:
            return _differentiable(output)
        rows = self.state.rows
        with torch.no_grad():
            kept = self.contraction.keep(name, sort.spread(h.detach()))

        def contract(d: Tensor) -> None:
            these = rows or self.state.rows
            seen = [these[example] for example in sort.examples]
            self.contraction.contract(name, seen, sort.spread(d), kept)

        return _tap(output, contract)


def _tap(output: Tensor, contract: Callable[[Tensor], None]) -> Tensor:
    """The output, with a hook that calls `contract` with its gradient."""
    output = _differentiable(output)
    output.register_hook(contract)
    return output


def _differentiable(output: Tensor) -> Tensor:
    """The output, made to have a gradient if nothing below it has one."""
    if output.requires_grad:
        return output
    started: Tensor = _StartGradient.apply(output, torch.zeros((), requires_grad=True))
    return started


class _StartGradient(torch.autograd.Function):
    """Where gradients begin; a tensor with `requires_grad` would also store its gradient."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, anchor: Tensor) -> Tensor:
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> tuple[None, None]:
        return None, None


class _Sort:
    """Which examples the tokens of an expert come from, by their ascending positions [t] in T."""

    def __init__(self, tokens: Tensor, each: int):
        found, self.row, counts = torch.unique_consecutive(
            tokens // each, return_inverse=True, return_counts=True
        )
        self.examples: list[int] = found.tolist()
        self.width = int(counts.max())
        starts = counts.cumsum(0) - counts
        self.slot = torch.arange(len(tokens), device=tokens.device) - starts[self.row]

    def spread(self, values: Tensor) -> Tensor:
        """[t,F] as [n,s,F] for the n examples that have tokens here, filled with zeros."""
        room = values.new_zeros(len(self.examples), self.width, values.shape[-1])
        room[self.row, self.slot] = values
        return room


def _forward_of(blocks: Mapping[Any, str], taps: _Taps) -> Callable[..., Tensor]:
    """A forward pass of a block of experts, expert by expert, with a tap at each layer."""

    def forward(block: Any, hidden: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        """[T,H] from hidden [T,H], the experts of each token [T,k] and their weights [T,k]."""
        total = torch.zeros_like(hidden)
        first, last = _projections(block)
        each = len(hidden) // taps.state.count
        # A block outside `blocks` may share the switch.
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
    """Context manager: run blocks of experts by `forward`, through transformers' own switch.

    To replace their method would skip the hooks that load offloaded weights.
    """
    # Blocks share a config, which has the switch.
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
