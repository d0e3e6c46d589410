"""How many examples run at once, and which layers run forward again in a backward pass.

Both follow from the bytes that a pass takes, counted on the model, and from each device's memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from labelcast.models.encoding import Encoded, by_length
from labelcast.models.layers import Contraction, Layer, hooked
from labelcast.models.memory import free_memory, gpu_memory, too_small, unless_full
from labelcast.models.protocols import TorchModel
from labelcast.models.recompute import Pass, model_layers, offloaded

# The share of free memory that a pass may take.
_CPU_SHARE, _GPU_SHARE = 0.5, 0.8
# On a CPU the count decides only how many batches run in parallel: a short text is enough.
_CPU_TOKENS = 128


@dataclass(frozen=True)
class Plan:
    """The batches of a run, as positions of examples, the longest first."""

    batches: list[list[int]]
    batch_size: int  # most examples at once
    at_once: bool = False  # one batch has all examples, so no gradient outlives its layer
    recomputed: frozenset[int] = frozenset()  # layers that run forward again in the backward pass
    workers: int = 1  # batches in parallel, one thread each


@dataclass(frozen=True)
class Room:
    """A device: the places of the layers that it runs, and the bytes that are free for them."""

    layers: Sequence[int]
    memory: int


@dataclass(frozen=True)
class MemoryCosts:
    """Bytes that a pass for gradients takes."""

    layer: float  # of a token, by one layer for its backward pass
    entry: float  # of a token, by each layer whether it runs again or not
    row: float = 0  # of an example, by each layer until the batch ends
    example: int = 0  # of an example, while one layer's gradients are contracted
    answer: int = 0  # of a token of an answer: logits and their gradients
    fixed: int = 0  # of any batch


def recomputed_layers(
    costs: MemoryCosts, rooms: Sequence[Room], rows: int, tokens: int, answers: int
) -> frozenset[int] | None:
    """The layers that must run forward again for a batch to fit; None if it does not fit.

    Args:
        costs: what its pass takes.
        rooms: the devices that run it.
        rows: its examples.
        tokens: its tokens, with padding.
        answers: its tokens that are part of an answer.
    """
    found: list[int] = []
    for room in rooms:
        count, most = len(room.layers), _GPU_SHARE * room.memory
        fitting = (
            again
            for again in range(count)  # the last layer keeps its activations
            if pass_bytes(costs, count, again, rows, tokens, answers) <= most
        )
        again = next(fitting, None)
        if again is None:
            return None
        found += room.layers[:again]
    return frozenset(found)


def pass_bytes(
    costs: MemoryCosts, layers: int, again: int, rows: int, tokens: int, answers: int
) -> float:
    """Bytes of a pass on a device with `layers` layers, some of which run again.

    The other arguments are those of `recomputed_layers`. Layers that run again share room for the
    activations of one.
    """
    once = costs.fixed + rows * costs.example + answers * costs.answer
    each = tokens * costs.layer
    return once + layers * (tokens * costs.entry + rows * costs.row) + (layers - again + 1) * each


def answers_fit(
    config: Any, rooms: Sequence[Room], itemsize: int, rows: int, length: int, new: int
) -> bool:
    """Whether prompts of a length and `new` tokens of their answers fit into every device.

    The estimate has the cache of keys and values, one layer's activations, and the logits.
    """
    width, heads = config.hidden_size, config.num_attention_heads
    head = getattr(config, "head_dim", None) or width // heads
    keys = getattr(config, "num_key_value_heads", None) or heads
    block = getattr(config, "intermediate_size", None) or 4 * width
    cache = 2 * keys * head * itemsize * (length + new)  # of one layer
    running = length * itemsize * (4 * width + 3 * block) + 12 * config.vocab_size
    return all(
        rows * (len(room.layers) * cache + running) <= _GPU_SHARE * room.memory for room in rooms
    )


def gpu_rooms(lm: TorchModel) -> list[Room]:
    """The GPUs that run a model, with their free memory; none on a CPU."""
    if lm.input_device.type != "cuda":
        return []
    places: dict[torch.device, list[int]] = {}
    largest = 0  # bytes of a layer that is loaded only to run
    inside = {id(weight) for layer in _layers(lm) for weight in layer.parameters()}
    # The last norm and the head, which are the first to be offloaded.
    outside = (w for w in lm.model.parameters() if w.device.type == "meta" and id(w) not in inside)
    beside = sum(w.numel() * w.dtype.itemsize for w in outside)
    for place, layer in enumerate(_layers(lm)):
        weights = list(layer.parameters())
        if offloaded(layer):
            largest = max(largest, sum(w.numel() * w.dtype.itemsize for w in weights))
        device = next((w.device for w in weights if w.device.type != "meta"), lm.input_device)
        places.setdefault(device, []).append(place)
    return [Room(at, gpu_memory(device) - largest - beside) for device, at in places.items()]


def one_room(lm: TorchModel, memory: int) -> Room:
    """One device with `memory` bytes that runs all layers."""
    return Room(range(len(_layers(lm))), memory)


def plan_at_once(
    costs: MemoryCosts, rooms: Sequence[Room], pairs: Sequence[Encoded]
) -> Plan | None:
    """One batch of all examples, or None if the devices cannot hold it."""
    lengths, answers = [len(pair.tokens) for pair in pairs], [pair.answer_length for pair in pairs]
    tokens = len(pairs) * max(lengths)
    recomputed = recomputed_layers(costs, rooms, len(pairs), tokens, sum(answers))
    if recomputed is None:
        return None
    order = by_length([pair.tokens for pair in pairs], 1)
    together = [row for batch in order for row in batch]
    return Plan([together], len(pairs), at_once=True, recomputed=recomputed)


def plan_batches(
    lm: TorchModel,
    costs: MemoryCosts,
    rooms: Sequence[Room],
    pairs: Sequence[Encoded],
    batch_size: int,
) -> Plan:
    """Batches of at most a given size.

    On GPUs one runs at a time, smaller and with recomputed layers where memory requires it. On a
    CPU as many run in parallel as threads and memory allow, unless weights are offloaded.
    """
    answer = max(pair.answer_length for pair in pairs)

    def recompute(rows: int, longest: int) -> frozenset[int] | None:
        return recomputed_layers(costs, rooms, rows, rows * longest, rows * answer)

    def fits(rows: int, longest: int) -> bool:
        return recompute(rows, longest) is not None

    batches = by_length([pair.tokens for pair in pairs], batch_size, fits=fits)
    sizes = [(len(batch), len(pairs[batch[0]].tokens)) for batch in batches]
    layers = range(len(_layers(lm)))
    if rooms:
        needed = (recompute(*size) for size in sizes)
        # What does not fit by this estimate is tried with the least memory.
        every = [frozenset(layers) if one is None else one for one in needed]
        largest = max(rows for rows, _ in sizes)
        return Plan(batches, largest, recomputed=frozenset().union(*every))
    if lm.input_device.type != "cpu" or offloaded(lm.model):
        return Plan(batches, batch_size)
    widest = max(rows * longest for rows, longest in sizes)
    memory = int(_CPU_SHARE * free_memory())
    parallel = memory // max(1, int(len(layers) * widest * costs.layer))
    workers = min(int(torch.get_num_threads()), len(batches), parallel)
    return Plan(batches, batch_size, workers=max(1, workers))


def count_costs(
    lm: TorchModel, layers: Mapping[str, Layer], pairs: Sequence[Encoded], rows: int
) -> MemoryCosts:
    """The costs of a pass, with what each layer keeps counted on the longest example.

    Args:
        lm: the model.
        layers: those whose gradients count.
        pairs: the examples.
        rows: rows of each layer's sketch A, for all seeds; 0 if nothing is kept on the device.

    Raises:
        RunError: the GPU's memory does not hold one example.
    """
    longest = max((pair.tokens for pair in pairs), key=len)
    tokens = longest if lm.input_device.type != "cpu" else longest[:_CPU_TOKENS]
    counted = unless_full(lambda: _kept_bytes(lm, layers, tokens))
    if counted is None:
        raise too_small()
    return costs_of(lm, layers, counted / len(tokens), rows)


def costs_of(lm: TorchModel, layers: Mapping[str, Layer], kept: float, rows: int) -> MemoryCosts:
    """The costs of a model whose layers each keep these bytes of a token; see `count_costs`."""
    size, config = lm.dtype.value.itemsize, lm.model.config.get_text_config()
    count, outputs = len(_layers(lm)), [layer.out_features for layer in layers.values()]
    shares = sum(layer.share for layer in layers.values())
    return MemoryCosts(
        layer=kept,
        entry=size * (config.hidden_size + rows * shares / count),
        row=size * rows * sum(outputs) / count,
        # In the model's dtype, in float32, and in the order of the sketch's parts.
        example=rows * max(outputs) * (size + 8),
        answer=config.vocab_size * (2 * size + 12),
        fixed=size * rows * sum(layer.in_features for layer in layers.values()),
    )


class _Nothing(Contraction):
    """Keeps nothing, to count what autograd keeps."""

    def keep(self, name: str, h: Tensor) -> Tensor:
        return h[..., :0]

    def contract(self, name: str, rows: Sequence[int], d: Tensor, kept: Tensor) -> None:
        return


def _kept_bytes(lm: TorchModel, layers: Mapping[str, Layer], tokens: Sequence[int]) -> int:
    """The most bytes that a layer keeps of some tokens for its backward pass, without weights."""
    kept: dict[int, Any] = {}  # by storage; the storages of a layer live until all are counted
    most = 0
    inside = False

    def pack(tensor: Tensor) -> None:
        base = tensor._base if tensor._is_view() else tensor
        if inside and not isinstance(base, nn.Parameter):
            storage = tensor.untyped_storage()
            kept[storage._cdata] = storage

    def enter(*args: object) -> None:
        nonlocal inside
        inside = True

    def leave(*args: object) -> None:
        nonlocal inside, most
        inside, most = False, max(most, sum(storage.nbytes() for storage in kept.values()))
        kept.clear()

    def unpack(nothing: None) -> Tensor:
        raise AssertionError("nothing is differentiated")

    ids = torch.tensor([list(tokens)], device=lm.input_device)
    with ExitStack() as hooks:
        for layer in _layers(lm):
            hooks.callback(layer.register_forward_pre_hook(enter).remove)
            hooks.callback(layer.register_forward_hook(leave).remove)
        hooks.enter_context(hooked(layers, _Nothing(), Pass()))
        hooks.enter_context(torch.enable_grad())
        hooks.enter_context(torch.autograd.graph.saved_tensors_hooks(pack, unpack))
        lm.model(input_ids=ids, use_cache=False, logits_to_keep=1)
    return most


def _layers(lm: TorchModel) -> list[nn.Module]:
    """The model's layers, or all of it as one if its structure is unknown."""
    return model_layers(lm.model) or [lm.model]
