"""How the examples of a backward pass are batched, and how many batches run at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from labelcast.models.encoding import Encoded, by_length
from labelcast.models.memory import free_memory
from labelcast.models.protocols import TorchModel

# How many tensors of the model's width, and of its feed-forward width, a layer keeps per token for
# the backward pass: counted on Llama's architecture, with norms in float32.
_OF_WIDTH, _OF_BLOCK = 16, 6
# The share of free memory that activations may take.
_CPU_SHARE, _GPU_SHARE = 0.5, 0.8


@dataclass(frozen=True)
class Plan:
    """The batches of a run, as positions of examples, the longest first."""

    batches: list[list[int]]
    at_once: bool = False  # one batch has all examples, so no gradient outlives its layer
    recomputed: int = 0  # how many of the first layers run forward again in the backward pass
    workers: int = 1  # batches in parallel, one thread each


def plan_batches(lm: TorchModel, pairs: Sequence[Encoded], batch_size: int) -> Plan:
    """Batches of a given size; on a CPU as many run in parallel as threads and memory allow.

    On a GPU, or with offloaded weights, one batch runs at a time.
    """
    batches = by_length([pair.tokens for pair in pairs], batch_size)
    spread = any(hasattr(module, "_hf_hook") for module in lm.model.modules())
    if lm.input_device.type != "cpu" or spread:
        return Plan(batches)
    widest = max(len(batch) * len(pairs[batch[0]].tokens) for batch in batches)
    fitting = int(_CPU_SHARE * free_memory()) // (_layers(lm) * _activation_bytes(lm, widest))
    return Plan(batches, workers=max(1, min(int(torch.get_num_threads()), len(batches), fitting)))


def plan_at_once(lm: TorchModel, pairs: Sequence[Encoded], memory: int) -> Plan | None:
    """One batch of all examples, or None if that needs more than `memory` bytes.

    As many layers keep their activations as fit; the others run forward again.
    """
    order = by_length([pair.tokens for pair in pairs], 1)
    tokens = len(pairs) * max(len(pair.tokens) for pair in pairs)
    layers, each = _layers(lm), _activation_bytes(lm, tokens)
    width: int = lm.model.config.get_text_config().hidden_size
    entry = tokens * width * lm.dtype.value.itemsize
    # The last layer keeps its activations, and the others share room for one of them.
    left = int(_GPU_SHARE * memory) - 2 * each - layers * entry
    if left < 0:
        return None
    kept = min(layers, 1 + left // each)
    return Plan([[row for batch in order for row in batch]], at_once=True, recomputed=layers - kept)


def gpu_memory(lm: TorchModel) -> int:
    """Free bytes on the model's GPU, including what torch reserves; 0 on a CPU."""
    device = lm.input_device
    if device.type != "cuda" or hasattr(lm.model, "hf_device_map"):
        return 0
    free, _ = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free + unused)


def _layers(lm: TorchModel) -> int:
    return int(lm.model.config.get_text_config().num_hidden_layers)


def _activation_bytes(lm: TorchModel, tokens: int) -> int:
    """Roughly how much one layer keeps of some tokens for their backward pass."""
    config = lm.model.config.get_text_config()
    block = getattr(config, "intermediate_size", None) or config.hidden_size
    width = _OF_WIDTH * config.hidden_size + _OF_BLOCK * block
    return int(tokens * width * lm.dtype.value.itemsize)
