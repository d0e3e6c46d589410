"""Inner products of per-example gradients, without ever keeping a gradient.

Hooks on the linear layers of the unmodified model (fresh adapters with B = 0 change nothing)
contract each layer's inputs and output gradients at once. Knows one model and batches of tokens;
knows nothing of confidence, cosines or medians.

Shapes: N examples, S tokens, I inputs and O outputs of a layer, R rank, K seeds, P parts of a rank.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from labelcast.errors import InputError
from labelcast.models.encoding import Encoded
from labelcast.models.loading import LanguageModel

LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_FUSED = ("qkv_proj", "gate_up_proj")
PARTS = 4
_CHUNK_BYTES = 2**28


@dataclass(frozen=True)
class Gram:
    """Inner products of the gradients of N examples.

    Attributes:
        values: [K,P,N,N] float64 on the CPU; summed over P they are the inner products for each
            seed. `exact` has K = P = 1.
        held_bytes: the most that was held for per-example gradients at once, in bytes.
    """

    values: Tensor
    held_bytes: int


def linear_layers(lm: LanguageModel) -> dict[str, nn.Linear]:
    """The linear layers that LoRA adapters would sit on, by name.

    Raises:
        InputError: the model has none of them.
    """
    found = {
        name: module
        for name, module in lm.model.named_modules()
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] in LAYERS + _FUSED
    }
    if not found:
        raise InputError(
            f"model {lm.name}: none of its linear layers is called {', '.join(LAYERS)}, "
            "so CoS-Low is not defined for it."
        )
    return found


def sketch_matrix(name: str, inputs: int, rank: int, seed: int) -> Tensor:
    """The fixed A of one layer's adapter, [R,I] float32, uniform in +-1/sqrt(I).

    This is how peft draws a fresh A (Kaiming uniform with a = sqrt(5)). The draw depends on the
    layer's name and the seed alone, not on the order in which layers are met.
    """
    generator = torch.Generator().manual_seed((seed << 32) + zlib.crc32(name.encode()))
    bound = inputs**-0.5
    return torch.empty(rank, inputs).uniform_(-bound, bound, generator=generator)


def sketched_gram(
    lm: LanguageModel,
    pairs: Sequence[Encoded],
    *,
    rank: int,
    seeds: Sequence[int],
    batch_size: int,
    progress: Callable[[int], None] = lambda done: None,
) -> Gram:
    """The Gram matrix of LoRA-B gradients at B = 0 (paper, section on CoS-Low).

    For each layer the gradient with respect to B is G = d^T (h A^T), [O,R]. It is kept in half
    precision, each example scaled by its largest element, until every batch has run.

    Args:
        lm: the model, weights frozen.
        pairs: encoded prompts with answers.
        rank: rows of A for each seed.
        seeds: one A for each.
        batch_size: examples run at once.
        progress: called with the number of examples done.

    Returns:
        `Gram` with P parts a seed: parts of A's rows, whose spread shows the sketch's noise.
    """
    layers = linear_layers(lm)
    parts = PARTS if rank % PARTS == 0 else 1
    groups, count = len(seeds) * parts, len(pairs)
    projections: dict[str, Tensor] = {}
    kept: dict[str, Tensor] = {}
    scales: dict[str, Tensor] = {}
    for name, layer in layers.items():
        stacked = torch.cat([sketch_matrix(name, layer.in_features, rank, seed) for seed in seeds])
        projections[name] = stacked.to(layer.weight.device, _working_dtype(lm))
        size = layer.out_features * rank // parts
        # On the CPU whatever the device: there is more room, and it is touched once a batch.
        kept[name] = torch.empty(groups, count, size, dtype=torch.float16)
        scales[name] = torch.zeros(count)
    sketched: dict[str, Tensor] = {}
    rows: list[int] = []

    def forward(name: str, h: Tensor) -> None:
        sketched[name] = h @ projections[name].T  # [N,S,I] @ [I,KR] -> [N,S,KR]

    def backward(name: str, d: Tensor) -> None:
        g = torch.bmm(d.transpose(1, 2), sketched.pop(name))  # [N,O,S] @ [N,S,KR] -> [N,O,KR]
        scale = g.abs().amax(dim=(1, 2))
        g = g / scale.clamp(min=torch.finfo(g.dtype).tiny)[:, None, None]
        n, o, _ = g.shape
        g = g.view(n, o, groups, rank // parts).permute(2, 0, 1, 3).reshape(groups, n, -1)
        kept[name][:, rows] = g.to("cpu", torch.float16)
        scales[name][rows] = scale.to("cpu", torch.float32)

    with _frozen(lm), _hooked(layers, forward, backward):
        for batch in _batches(pairs, batch_size):
            rows[:] = batch
            _run(lm, [pairs[i] for i in batch])
            progress(len(batch))
    total = torch.zeros(groups, count, count, dtype=torch.float64)
    for name, rows_kept in kept.items():
        total += _inner_products(rows_kept, scales[name])
    held = sum(t.numel() * t.element_size() for t in kept.values())
    return Gram(total.view(len(seeds), parts, count, count), held)


def exact_gram(
    lm: LanguageModel,
    pairs: Sequence[Encoded],
    *,
    batch_size: int,
    memory: int,
    progress: Callable[[int], None] = lambda done: None,
) -> Gram:
    """The Gram matrix that the sketch has in expectation: sum over layers of <G_i, G_j> / I.

    Here G = d^T h is the full gradient of a layer's weight. Inputs and output gradients are kept
    for as many layers as `memory` (bytes) holds; with more layers the batches run again.
    `progress` is called with examples done in each pass; `exact_passes` tells how many there are.
    """
    layers = linear_layers(lm)
    count = len(pairs)
    total = torch.zeros(1, 1, count, count, dtype=torch.float64)
    held = 0
    for group in _passes(layers, pairs, memory):
        inputs: dict[str, list[Tensor]] = {name: [torch.empty(0)] * count for name in group}
        outputs: dict[str, list[Tensor]] = {name: [torch.empty(0)] * count for name in group}
        rows: list[int] = []

        def keep(store: dict[str, list[Tensor]], name: str, states: Tensor) -> None:
            for row, state in zip(rows, states, strict=True):  # noqa: B023
                store[name][row] = state[: len(pairs[row].tokens)].float().cpu()

        chosen = {name: layers[name] for name in group}
        with (
            _frozen(lm),
            _hooked(
                chosen,
                lambda name, h: keep(inputs, name, h),  # noqa: B023
                lambda name, d: keep(outputs, name, d),  # noqa: B023
            ),
        ):
            for batch in _batches(pairs, batch_size):
                rows[:] = batch
                _run(lm, [pairs[i] for i in batch])
                progress(len(batch))
        held = max(
            held, sum(t.numel() * 4 for s in (inputs, outputs) for v in s.values() for t in v)
        )
        for name in group:
            total[0, 0] += _exact_layer(inputs.pop(name), outputs.pop(name))
    return Gram(total, held)


def exact_passes(lm: LanguageModel, pairs: Sequence[Encoded], memory: int) -> int:
    """How often `exact_gram` runs the batches with this much memory, in bytes."""
    return len(_passes(linear_layers(lm), pairs, memory))


def _exact_layer(inputs: list[Tensor], outputs: list[Tensor]) -> Tensor:
    """<G_i, G_j> / I of one layer, [N,N], with G in chunks of its rows to bound memory."""
    count, width, height = len(inputs), inputs[0].shape[1], outputs[0].shape[1]
    step = max(1, _CHUNK_BYTES // (4 * count * width))
    total = torch.zeros(count, count, dtype=torch.float64)
    for start in range(0, height, step):
        g = torch.stack(
            [
                (d[:, start : start + step].T @ h).flatten()  # [o,S] @ [S,I] -> [o,I]
                for d, h in zip(outputs, inputs, strict=True)
            ]
        )
        total += (g @ g.T).double()
    return total / width


def _inner_products(kept: Tensor, scales: Tensor) -> Tensor:
    """[G,N,N] float64 from half-precision rows [G,N,M] and the scale of each row, [N]."""
    groups, count, size = kept.shape
    total = torch.zeros(groups, count, count, dtype=torch.float64)
    step = max(1, _CHUNK_BYTES // (4 * count * groups))
    for start in range(0, size, step):
        rows = kept[:, :, start : start + step].float()
        total += torch.bmm(rows, rows.transpose(1, 2)).double()
    factor = scales.double()
    return total * factor[:, None] * factor


def _passes(layers: dict[str, nn.Linear], pairs: Sequence[Encoded], memory: int) -> list[list[str]]:
    tokens = sum(len(pair.tokens) for pair in pairs)
    passes: list[list[str]] = [[]]
    used = 0
    for name, layer in layers.items():
        need = 4 * tokens * (layer.in_features + layer.out_features)
        if passes[-1] and used + need > memory:
            passes.append([])
            used = 0
        passes[-1].append(name)
        used += need
    return passes


def _batches(pairs: Sequence[Encoded], size: int) -> Iterator[list[int]]:
    """Batches of similar length, so that little is spent on padding."""
    order = sorted(range(len(pairs)), key=lambda i: (len(pairs[i].tokens), i))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _run(lm: LanguageModel, pairs: Sequence[Encoded]) -> None:
    """One forward and backward pass of the sum over examples of each one's mean answer loss.

    Padding stands on the right, where a causal model's earlier tokens cannot see it: no mask is
    needed, and its gradient is zero. Logits are made where an answer token is predicted alone.
    """
    device = lm.model.device
    width = max(len(pair.tokens) for pair in pairs)
    ids = torch.zeros(len(pairs), width, dtype=torch.long, device=device)
    weights = torch.zeros(len(pairs), width, device=device)
    for row, pair in enumerate(pairs):
        length = len(pair.tokens)
        ids[row, :length] = torch.tensor(pair.tokens)
        weights[row, length - pair.answer_length - 1 : length - 1] = 1 / pair.answer_length
    used = weights.any(dim=0).nonzero().flatten()
    logits = lm.model(input_ids=ids, use_cache=False, logits_to_keep=used).logits.float()  # [N,U,V]
    losses = nn.functional.cross_entropy(
        logits.flatten(0, 1), ids[:, used + 1].flatten(), reduction="none"
    ).view(len(pairs), -1)
    (losses * weights[:, used]).sum().backward()


@contextmanager
def _hooked(
    layers: dict[str, nn.Linear],
    forward: Callable[[str, Tensor], None],
    backward: Callable[[str, Tensor], None],
) -> Iterator[None]:
    """Calls `forward` with each layer's inputs and `backward` with its outputs' gradients."""

    def attach(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            with torch.no_grad():
                forward(name, args[0].detach())
            output.register_hook(lambda d: backward(name, d))

        return hook

    handles = [layer.register_forward_hook(attach(name)) for name, layer in layers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _frozen(lm: LanguageModel) -> Iterator[None]:
    """Weights need no gradient; gradients flow from the output of the embedding."""
    trainable = [weight for weight in lm.model.parameters() if weight.requires_grad]
    for weight in trainable:
        weight.requires_grad_(False)
    embedding = lm.model.get_input_embeddings()
    handle = embedding.register_forward_hook(lambda m, a, output: output.requires_grad_(True))
    try:
        with torch.enable_grad():
            yield
    finally:
        handle.remove()
        for weight in trainable:
            weight.requires_grad_(True)


def _working_dtype(lm: LanguageModel) -> torch.dtype:
    return next(lm.model.parameters()).dtype
