"""How much memory a training takes: what cannot fit is refused before it is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from labelcast.errors import InputError, NoMemoryError
from labelcast.models.choices import Choice, computes_bf16
from labelcast.models.embedded import quietly
from labelcast.models.layers import linear_layers
from labelcast.models.loading import LanguageModel, load_unweighted, not_causal
from labelcast.models.memory import free_bytes
from labelcast.training.recipe import LORA, Recipe

# How many tensors of a layer's width, and of its feed-forward width, are kept per token for the
# backward pass: counted with autograd's hooks on Llama, Qwen2 and Gemma2, rounded up.
_OF_WIDTH, _OF_BLOCK = 18, 6
# Bytes per logit: itself, its float32 copy, its softmax and its gradient.
_LOGIT_BYTES = 16
# The share of free memory that a plan fills.
SHARE = 0.9
_MOST_GPUS = 8


@dataclass(frozen=True)
class Size:
    """What the memory of a training depends on, apart from its batches.

    Attributes:
        weights: bytes of all weights, with those of adapters.
        trained: bytes of the trained weights.
        copies: bytes of the bfloat16 copies that a pass makes of float32 weights.
        layers, width, block, words: the model's layers, features of a token between layers and
            inside a feed-forward block, and vocabulary.
        outer, inner: bytes of one feature between layers and inside them.
    """

    weights: int
    trained: int
    copies: int
    layers: int
    width: int
    block: int
    words: int
    outer: int = 4
    inner: int = 4


def training_bytes(
    size: Size, tokens: int = 0, answers: int = 0, *, checkpointing: bool, processes: int = 1
) -> int:
    """The most bytes that a training takes on one device.

    Args:
        size: size of the model and what is trained of it.
        tokens: in a micro-batch, with padding.
        answers: tokens of answers in it; only these have logits.
        checkpointing: whether layers run forward again in the backward pass.
        processes: GPUs that divide weights, gradients and optimizer among them.
    """
    # A gradient and Adam's two moments for each trained weight.
    states = (size.weights + 3 * size.trained) / processes
    # Several processes hold the copies of one layer at a time, and of the next.
    states += size.copies if processes == 1 else 2 * size.copies / size.layers
    layer = size.inner * (_OF_WIDTH * size.width + _OF_BLOCK * size.block)
    kept = size.outer * size.width * size.layers + layer if checkpointing else size.layers * layer
    return int(states + tokens * (kept + layer) + answers * size.words * _LOGIT_BYTES)


def size_of(lm: LanguageModel, recipe: Recipe, *, bf16: bool) -> Size:
    """The size of a training that computes in bfloat16 or not; the weights may be on ``meta``."""
    config, itemsize = lm.model.config.get_text_config(), lm.dtype.value.itemsize
    packed = is_quantised(lm)
    layers = linear_layers(lm).values() if packed or recipe.adapters else ()
    count = sum(weight.numel() for weight in lm.model.parameters())
    weights, copies = itemsize * count, 2 * count if bf16 and itemsize == 4 and not packed else 0
    if packed and lm.model.device.type == "meta":
        # The config alone gives every weight as unpacked. Each block of 64 also has a scale.
        asked = config.quantization_config
        bits = 4 if asked.get("load_in_4bit") else asked.get("bits", 8)
        linear = sum(one.in_features * one.out_features for one in layers)
        weights -= int(linear * (itemsize - (bits + 0.5) / 8))
    elif packed:
        weights = sum(weight.numel() * weight.element_size() for weight in lm.model.parameters())
    trained = weights
    if recipe.adapters is not None:
        ends = sum(one.in_features + one.out_features for one in layers)
        trained = 4 * recipe.adapters.rank * ends  # in float32
        weights += trained
    return Size(
        weights,
        trained,
        copies,
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        block=getattr(config, "intermediate_size", None) or 4 * config.hidden_size,
        words=config.vocab_size,
        outer=itemsize,
        inner=2 if bf16 else itemsize,
    )


def is_quantised(lm: LanguageModel) -> bool:
    """Whether weights are codes of few bits, which have no gradient and no other dtype."""
    return getattr(lm.model.config, "quantization_config", None) is not None


def check_quantised(lm: LanguageModel, recipe: Recipe, processes: int) -> None:
    """Refuse to train quantised weights themselves, or in several processes."""
    if not is_quantised(lm):
        return
    if recipe.adapters is None:
        raise InputError(
            f"model {lm.name}: its weights are quantised, so recipe {recipe.name!r} cannot train "
            "them. Use --recipe LoRA, which trains adapters on top of them, or the model that is "
            "not quantised."
        )
    if processes > 1:
        raise InputError(
            f"model {lm.name}: its weights are quantised, and such a model trains on one GPU. "
            "Use --gpus-per-job 1."
        )


def outline(model: str, device: Choice[str], dtype: str) -> LanguageModel:
    """A model as `load_model` loads it, but with its weights on the ``meta`` device."""
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM

    lm = load_unweighted(model, Choice("cpu", "not run"), dtype)
    if not isinstance(lm, LanguageModel):
        raise not_causal(model)
    # Buffers are computed from the config: they are real.
    with init_empty_weights(include_buffers=False), quietly():
        made = AutoModelForCausalLM.from_config(lm.model.config, dtype=lm.dtype.value)
    made.generation_config = lm.model.generation_config
    return replace(lm, model=made.eval().requires_grad_(False), device=device)


def check_memory(lm: LanguageModel, recipe: Recipe, processes: int, *, bf16: bool) -> None:
    """Refuse a training whose weights, gradients and optimizer alone exceed the free memory.

    `lm` is an `outline`.

    Raises:
        NoMemoryError: with what would fit instead.
    """
    device = lm.device.value
    gpu = device.startswith("cuda")
    free = free_bytes(device)

    def needed(recipe: Recipe, lm: LanguageModel, processes: int) -> int:
        # On CPUs each process has the complete model.
        size = size_of(lm, recipe, bf16=bf16)
        each = training_bytes(size, checkpointing=True, processes=processes if gpu else 1)
        return each if gpu else each * processes

    need = needed(recipe, lm, processes)
    if need <= free:
        return
    ways = []
    if recipe.adapters is None:
        half = Choice(torch.bfloat16, "frozen") if computes_bf16(device) else lm.dtype
        lora = needed(LORA, replace(lm, dtype=half), processes)
        if lora <= SHARE * free:
            ways.append(f"--recipe LoRA (about {lora / 1e9:,.1f} GB)")
    if gpu and not is_quantised(lm):
        divided = (n for n in range(processes + 1, _MOST_GPUS + 1) if recipe.batch_size % n == 0)
        if several := next((n for n in divided if needed(recipe, lm, n) <= SHARE * free), None):
            ways.append(f"labelcast sweep --gpus-per-job {several}")
    if not ways and not is_quantised(lm):
        ways.append("--recipe LoRA with a 4-bit version of the model")
    raise NoMemoryError(
        f"model {lm.name}: recipe {recipe.name!r} needs {need / 1e9:,.1f} GB of memory on {device} "
        f"for weights, gradients and optimizer, and {free / 1e9:,.1f} GB are free. "
        f"What would fit: {', '.join([*ways, 'a smaller model'])}."
    )


def fitting(
    lm: LanguageModel,
    rows: Sequence[dict[str, list[int]]],
    recipe: Recipe,
    processes: int,
    *,
    bf16: bool,
) -> Recipe:
    """The recipe with a micro-batch and gradient checkpointing that fit the free GPU memory.

    If nothing fits by this estimate, training finds out with the smallest. On a CPU the recipe
    stays as it is. `rows` are those of `trainer.encode`.
    """
    device = lm.device.value
    if not device.startswith("cuda"):
        return recipe
    size = size_of(lm, recipe, bf16=bf16)
    resident = size.weights if lm.model.device.type == "cuda" else 0
    longest = max(len(row["input_ids"]) for row in rows)
    answer = max(sum(label >= 0 for label in row["labels"]) for row in rows)
    tried = [recipe]
    for one, needed in ways_to_run(size, recipe, longest, answer, processes):
        tried.append(one)
        if needed <= SHARE * free_bytes(device) + resident:
            break
    return tried[-1]


def ways_to_run(
    size: Size, recipe: Recipe, tokens: int, answers: int, processes: int = 1
) -> Iterator[tuple[Recipe, int]]:
    """The recipe with smaller and smaller micro-batches, each with its bytes on one device.

    Smaller micro-batches come first, since checkpointing computes a third more.

    Args:
        size: size of the model and what is trained of it.
        recipe: to run.
        tokens: tokens of the longest sequence.
        answers: of these, tokens of the answer.
        processes: GPUs that divide weights and batches among them.
    """
    share = recipe.batch_size // processes
    most = min(recipe.micro_batch or share, share)
    for checkpointing in sorted({recipe.gradient_checkpointing, True}):
        for micro in (n for n in range(most, 0, -1) if share % n == 0):
            needed = training_bytes(
                size,
                micro * tokens,
                micro * answers,
                checkpointing=checkpointing,
                processes=processes,
            )
            way = {"micro_batch": micro, "gradient_checkpointing": checkpointing}
            yield recipe.model_copy(update=way), needed
