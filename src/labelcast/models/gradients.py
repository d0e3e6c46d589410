"""Inner products of per-example gradients, computed without storing full gradients.

Fresh LoRA adapters with B = 0 change no output, so the unmodified model is run.

Shapes: N examples, S tokens, I inputs and O outputs of a layer, R rank, K seeds, P parts of a rank.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from labelcast.models.choices import choose_batch
from labelcast.models.encoding import Encoded
from labelcast.models.layers import Contraction, ExampleSums, Layer, linear_layers
from labelcast.models.memory import Halving, check_room, free_memory, unless_full
from labelcast.models.passes import run_batches
from labelcast.models.plan import Plan, count_costs, gpu_rooms, one_room, plan_at_once, plan_batches
from labelcast.models.protocols import Progress, TorchModel

Method = Literal["sketch", "exact"]
PARTS = 4
_CHUNK_BYTES = 2**28


@dataclass(frozen=True)
class Gram:
    """Inner products of the gradients of N examples, float64 on the CPU.

    Attributes:
        values: [K,P,N,N]; summed over P, the inner products for each seed. `exact` has K = P = 1.
        held_bytes: the most memory used for per-example gradients at once.
        layers: names of the L layers that the inner products are summed over.
        by_layer: the terms of that sum, [L,K,N,N].
        batch_size: examples that ran at once.
    """

    values: Tensor
    held_bytes: int
    layers: tuple[str, ...]
    by_layer: Tensor
    batch_size: int = 0


def gram(
    lm: TorchModel,
    pairs: Sequence[Encoded],
    method: Method,
    rank: int,
    seeds: Sequence[int],
    batch_size: int | None,
    progress: Progress,
) -> Gram:
    """The Gram matrix by `sketched_gram` or `exact_gram`, with a batch size for the device."""
    size = choose_batch(batch_size, lm.device.value, "gradients").value
    if method == "exact":
        memory = gradient_memory()
        return exact_gram(lm, pairs, batch_size=size, memory=memory, progress=progress)
    at_once = None if batch_size is None else 0
    return sketched_gram(
        lm, pairs, rank=rank, seeds=seeds, batch_size=size, at_once=at_once, progress=progress
    )


def gradient_memory() -> int:
    """Bytes that `exact` may use: a quarter of free memory, at least 1 GiB."""
    return max(free_memory() // 4, 1 << 30)


def sketch_matrix(name: str, inputs: int, rank: int, seed: int) -> Tensor:
    """The fixed A of one layer's adapter, [R,I] float32, uniform in +-1/sqrt(I) as peft draws it.

    The draw depends only on the layer's name and the seed, not on the order of the layers.
    """
    bound, generator = inputs**-0.5, generator_of(f"{seed} {name}")
    return torch.empty(rank, inputs).uniform_(-bound, bound, generator=generator)


def generator_of(text: str) -> torch.Generator:
    """A random generator with a text as its seed."""
    # torch's CPU generator uses only the lower 32 bits of a seed.
    digest = hashlib.blake2b(text.encode(), digest_size=4).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest))


def sketched_gram(
    lm: TorchModel,
    pairs: Sequence[Encoded],
    *,
    rank: int,
    seeds: Sequence[int],
    batch_size: int,
    at_once: int | None = None,
    progress: Progress = lambda done: None,
) -> Gram:
    """The Gram matrix of LoRA-B gradients at B = 0 (paper, section on CoS-Low).

    For each layer the gradient with respect to B is G = d^T (h A^T), [O,R]. If one batch holds all
    examples, G is dropped as soon as its inner products are computed. Otherwise it is kept in half
    precision, each example scaled by about its largest element, until every batch has run.

    The result has P parts per seed: parts of A's rows, whose spread shows the sketch's noise.

    Args:
        lm: the model, weights frozen.
        pairs: encoded prompts with answers.
        rank: rows of A for each seed.
        seeds: one A for each.
        batch_size: examples at once, if not all of them run at once.
        at_once: bytes that the activations of all examples may take; 0 runs them in batches. None
            means the free memory of the model's GPUs, and batches on a CPU, where they are faster.
        progress: called with the number of examples done.
    """
    layers = linear_layers(lm)
    rows = rank * len(seeds)
    sketches = sum(4 * rows * layer.in_features for layer in layers.values())  # A in float32
    _check_room(pairs, sketches)
    costs, rooms = count_costs(lm, layers, pairs, rows), gpu_rooms(lm)
    together = rooms if at_once is None else [one_room(lm, at_once)]
    # At once nothing is held until the batch ends.
    plan = plan_at_once(replace(costs, row=0), together, pairs) if together else None

    def run(kind: type[_Stored | _AtOnce], plan: Plan) -> Gram:
        sketch = kind(layers, len(pairs), rank, seeds)
        size = run_batches(lm, pairs, layers, sketch, plan=plan, progress=progress)
        return replace(sketch.gram(), batch_size=size)

    found = unless_full(partial(run, _AtOnce, plan)) if plan else None
    if found is not None:
        return found
    gradients = sum(2 * rows * layer.out_features * len(pairs) for layer in layers.values())
    _check_room(pairs, sketches + gradients)  # G in float16
    return run(_Stored, plan_batches(lm, costs, rooms, pairs, batch_size))


def _check_room(pairs: Sequence[Encoded], needed: int) -> None:
    check_room(
        f"the gradients of {len(pairs):,} examples",
        needed,
        "Use fewer examples (the paper has 32) or --seeds, a lower --rank, or --method exact.",
    )


class _Sketch(Contraction):
    """The matrices A of every layer, [KR,I], and how the rows of a sketch are grouped."""

    def __init__(self, layers: Mapping[str, Layer], count: int, rank: int, seeds: Sequence[int]):
        self.count, self.seeds = count, len(seeds)
        self.parts = PARTS if rank % PARTS == 0 else 1
        self.groups, self.part_rank = self.seeds * self.parts, rank // self.parts

        def draw(name: str) -> Tensor:
            inputs = layers[name].in_features
            return torch.cat([sketch_matrix(name, inputs, rank, seed) for seed in seeds])

        # A large model needs 1e8 numbers; one thread draws about 2e8 per second.
        with ThreadPoolExecutor() as pool:
            self.projections = dict(zip(layers, pool.map(draw, layers), strict=True))

    def keep(self, name: str, h: Tensor) -> Tensor:
        # The inputs have the device and dtype to use; a 4-bit or offloaded weight has others.
        a = self.projections[name] = self.projections[name].to(h.device, h.dtype)
        return h @ a.T  # [N,S,I] @ [I,KR] -> [N,S,KR]

    def grouped(self, g: Tensor) -> Tensor:
        """Gradients [N,O,KR] as [KP,N,OR/P], a row for each part of a sketch."""
        n, o, _ = g.shape
        g = g.view(n, o, self.groups, self.part_rank).permute(2, 0, 1, 3)
        return g.reshape(self.groups, n, -1)

    def summed(self, found: Mapping[str, Tensor], held: int) -> Gram:
        """The result, from each layer's inner products [KP,N,N]."""
        shape = (self.seeds, self.parts, self.count, self.count)
        by_layer = torch.stack([one.view(shape) for one in found.values()])  # [L,K,P,N,N]
        return Gram(by_layer.sum(0), held, tuple(found), by_layer.sum(2))


class _AtOnce(_Sketch):
    """Adds the inner products of each layer's G at once, and drops G."""

    def __init__(self, layers: Mapping[str, Layer], count: int, rank: int, seeds: Sequence[int]):
        super().__init__(layers, count, rank, seeds)
        self.found = {name: torch.zeros(self.groups, count, count) for name in layers}
        self.held = 0

    def contract(self, name: str, rows: Sequence[int], d: Tensor, kept: Tensor) -> None:
        g = self.grouped(torch.bmm(d.transpose(1, 2), kept).float())
        self.held = max(self.held, g.numel() * g.element_size())
        chosen = torch.tensor(rows, device=g.device)
        # The sum stays on its device, since a copy to the CPU would make the GPU wait.
        total = self.found[name] = self.found[name].to(g.device)
        total[:, chosen[:, None], chosen] += torch.bmm(g, g.transpose(1, 2))

    def gram(self) -> Gram:
        found = {name: total.cpu().double() for name, total in self.found.items()}
        return self.summed(found, self.held)


class _Stored(_Sketch):
    """Keeps G in half precision until every batch has run."""

    def __init__(self, layers: Mapping[str, Layer], count: int, rank: int, seeds: Sequence[int]):
        super().__init__(layers, count, rank, seeds)
        self.stored: dict[str, Tensor] = {}
        self.scales = {name: torch.zeros(count) for name in layers}
        self.sums = ExampleSums(layers)
        for name, layer in layers.items():
            size = layer.out_features * self.part_rank
            # On the CPU, which has more memory; it is used once per batch.
            self.stored[name] = torch.zeros(self.groups, count, size, dtype=torch.float16)

    def contract(self, name: str, rows: Sequence[int], d: Tensor, kept: Tensor) -> None:
        # [N,O,S] @ [N,S,KR] -> [N,O,KR]
        self.sums.add(name, rows, torch.bmm(d.transpose(1, 2), kept))

    def begin(self, rows: Sequence[int]) -> None:
        self.sums.forget(rows)

    def finish(self, rows: Sequence[int]) -> None:
        for name, seen, g in self.sums.take(rows):
            # A power of two, so that scaling itself rounds nothing.
            scale = g.abs().amax(dim=(1, 2)).float().log2().ceil().exp2()
            # In float32, which holds the scale of every float16 gradient.
            scale = scale.clamp(min=torch.finfo(torch.float32).tiny)
            scaled = g.float().div_(scale[:, None, None])
            self.stored[name][:, seen] = self.grouped(scaled.half()).cpu()
            self.scales[name][seen] = scale.to("cpu", torch.float32)

    def gram(self) -> Gram:
        found = {name: _inner_products(s, self.scales[name]) for name, s in self.stored.items()}
        held = sum(t.numel() * t.element_size() for t in self.stored.values())
        return self.summed(found, held)


def exact_gram(
    lm: TorchModel,
    pairs: Sequence[Encoded],
    *,
    batch_size: int,
    memory: int,
    progress: Progress = lambda done: None,
) -> Gram:
    """The expected Gram matrix of the sketch: sum over layers of <G_i, G_j> / I.

    Here G = d^T h is the full gradient of a layer's weight. Inputs and output gradients are kept
    for as many layers as fit into `memory` (bytes); for the other layers the batches run again.
    The last of these passes reports progress.
    """
    layers = linear_layers(lm)
    count = len(pairs)
    found: dict[str, Tensor] = {}
    held = 0
    costs = count_costs(lm, layers, pairs, 0)
    plan = plan_batches(lm, costs, gpu_rooms(lm), pairs, batch_size)
    halving = Halving()
    passes = _passes(layers, pairs, memory, plan.batches)
    for number, group in enumerate(passes, 1):
        chosen = {name: layers[name] for name in group}
        factors = _Factors(chosen, count)
        done = progress if number == len(passes) else lambda done: None
        size = run_batches(lm, pairs, chosen, factors, plan=plan, halving=halving, progress=done)
        held = max(held, factors.held_bytes())
        for name in group:
            found[name] = _exact_layer(*factors.take(name))
    by_layer = torch.stack([found[name] for name in layers])[:, None]  # [L,1,N,N]
    return Gram(by_layer.sum(0)[None], held, tuple(layers), by_layer, size)


class _Factors(Contraction):
    """Keeps h [S,I] and d [S,O] of every example and layer, for `_exact_layer`."""

    def __init__(self, layers: Mapping[str, Layer], count: int):
        self.layers, self.count = layers, count
        self.kept: dict[tuple[str, int], list[tuple[Tensor, Tensor]]] = {}

    def begin(self, rows: Sequence[int]) -> None:
        for name in self.layers:
            for row in rows:
                self.kept.pop((name, row), None)

    def keep(self, name: str, h: Tensor) -> Tensor:
        return h.float().cpu()

    def contract(self, name: str, rows: Sequence[int], d: Tensor, kept: Tensor) -> None:
        for row, one, h in zip(rows, d.detach().float().cpu(), kept, strict=True):
            self.kept.setdefault((name, row), []).append((h, one))

    def take(self, name: str) -> tuple[list[Tensor], list[Tensor]]:
        """Remove the two factors of every example and return them."""
        layer = self.layers[name]
        none = (torch.empty(0, layer.in_features), torch.empty(0, layer.out_features))
        found = [self.kept.pop((name, row), [none]) for row in range(self.count)]
        inputs = [torch.cat([h for h, _ in pairs]) for pairs in found]
        return inputs, [torch.cat([d for _, d in pairs]) for pairs in found]

    def held_bytes(self) -> int:
        """Bytes kept, those that examples share counted once."""
        tensors = (t for pairs in self.kept.values() for pair in pairs for t in pair)
        return sum({t.data_ptr(): t.numel() * 4 for t in tensors}.values())


def _exact_layer(inputs: list[Tensor], outputs: list[Tensor]) -> Tensor:
    """<G_i, G_j> / I of one layer, [N,N], with G in chunks of rows to limit memory."""
    count, width, height = len(inputs), inputs[0].shape[1], outputs[0].shape[1]
    step = max(1, _CHUNK_BYTES // (4 * count * width))
    total = torch.zeros(count, count, dtype=torch.float64)
    for start in range(0, height, step):
        rows = [d[:, start : start + step].T for d in outputs]
        # [o,S] @ [S,I] -> [o,I]
        g = torch.stack([(d @ h).flatten() for d, h in zip(rows, inputs, strict=True)])
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


def _passes(
    layers: Mapping[str, Layer],
    pairs: Sequence[Encoded],
    memory: int,
    batches: Sequence[Sequence[int]],
) -> list[list[str]]:
    """The layers in groups whose factors fit into memory."""
    tokens = sum(len(batch) * len(pairs[batch[0]].tokens) for batch in batches)
    passes: list[list[str]] = [[]]
    used = 0
    for name, layer in layers.items():
        need = int(4 * tokens * layer.share * (layer.in_features + layer.out_features))
        if passes[-1] and used + need > memory:
            passes.append([])
            used = 0
        passes[-1].append(name)
        used += need
    return passes
