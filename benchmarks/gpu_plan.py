"""What labelcast plans on GPUs of 24 to 141 GB for models of 1B, 8B and 70B; needs no GPU.

    python benchmarks/gpu_plan.py

Prints a Markdown table, and what a layer keeps of each token for its backward pass. The functions
that plan a real run make the table: the dtype, how many examples run at once, and how many layers
run forward again in the backward pass. 32 examples of 512 tokens, 8 of them the answer; a training
has as many at most. What a layer keeps is counted on one real layer of the model's width,
in a minute on a CPU.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from itertools import product

import gpu
import torch

from labelcast.models.choices import choose_batch, fills_half
from labelcast.models.encoding import by_length
from labelcast.models.layers import linear_layers
from labelcast.models.loading import LanguageModel
from labelcast.models.plan import (
    answers_fit,
    costs_of,
    count_costs,
    one_room,
    plan_at_once,
    plan_batches,
)
from labelcast.training.memory import SHARE, size_of, training_bytes, ways_to_run
from labelcast.training.recipe import FULL, LORA, Recipe

MEMORIES = (24, 40, 80, 141)
CONTEXT = 0.6e9  # bytes that CUDA itself takes
SIZES = {
    "1B": gpu.LLAMA_8B
    | {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "tie_word_embeddings": True,
    },
    "8B": gpu.LLAMA_8B,
    "70B": gpu.LLAMA_8B
    | {
        "hidden_size": 8192,
        "intermediate_size": 28672,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
    },
}
EXAMPLES, TOKENS, ANSWER, NEW = 32, 512, 8, 30
RANK = 64


def weights(lm: LanguageModel) -> int:
    """How many weights a model has."""
    return sum(weight.numel() for weight in lm.model.parameters())


@cache
def kept_bytes(name: str, dtype: torch.dtype) -> float:
    """What one layer of a model keeps of each token for its backward pass."""
    one = SIZES[name] | {"num_hidden_layers": 1, "vocab_size": 64}
    lm = gpu.build(one, "cpu", dtype)
    pairs = gpu.random_examples(1, 128, ANSWER, 64)
    return count_costs(lm, linear_layers(lm), pairs, RANK).layer


def score(lm: LanguageModel, free: float) -> str:
    """Prompts at once."""
    config, rooms = lm.model.config, [one_room(lm, int(free))]
    size = lm.dtype.value.itemsize

    def fits(rows: int, longest: int) -> bool:
        return answers_fit(config, rooms, size, rows, longest, NEW)

    most = choose_batch(None, "cuda", "confidence").value
    batch = by_length([[0] * TOKENS] * most, most, fits=fits)[0]
    return f"{len(batch)} prompts" if fits(len(batch), TOKENS) else "no room for a prompt"


def coslow(lm: LanguageModel, free: float, kept: float) -> str:
    """Examples at once, and layers that run again."""
    pairs = gpu.random_examples(EXAMPLES, TOKENS, ANSWER, 64)
    layers, rooms = linear_layers(lm), [one_room(lm, int(free))]
    costs = costs_of(lm, layers, kept, RANK)
    plan = plan_at_once(replace(costs, row=0), rooms, pairs)
    if plan is None:
        most = choose_batch(None, "cuda", "gradients").value
        plan = plan_batches(lm, costs, rooms, pairs, most)
    again = f"{len(plan.recomputed)} of {len(rooms[0].layers)}"
    return f"{plan.batch_size} examples, {again} layers again"


def training(lm: LanguageModel, recipe: Recipe, free: float) -> str:
    """The micro-batch, or the memory that is missing."""
    frozen = recipe.adapters is not None
    size = size_of(typed(lm, torch.bfloat16 if frozen else torch.float32), recipe, bf16=True)
    for way, needed in ways_to_run(size, recipe, TOKENS, ANSWER):
        if needed <= SHARE * free:
            again = ", all layers again" if way.gradient_checkpointing else ""
            return f"{way.micro_batch} of {recipe.batch_size} sequences{again}"
    return f"no: {training_bytes(size, checkpointing=True) / 1e9:,.0f} GB"


def typed(lm: LanguageModel, dtype: torch.dtype) -> LanguageModel:
    """The same model in another dtype."""
    return replace(lm, dtype=replace(lm.dtype, value=dtype))


def rows(names: Iterable[str] = SIZES) -> Iterator[str]:
    """The table's rows for some models."""
    for name, work in product(names, ("score", "coslow", "LoRA", "full")):
        lm = gpu.build(SIZES[name], "meta", torch.float32)
        cells = []
        for gigabytes in MEMORIES:
            free = gigabytes * 1e9 - CONTEXT
            if work in ("LoRA", "full"):
                cells.append(training(lm, LORA if work == "LoRA" else FULL, free))
                continue
            half = fills_half(4 * weights(lm), int(gigabytes * 1e9))
            dtype = torch.bfloat16 if half else torch.float32
            left = free - dtype.itemsize * weights(lm)
            if left < 0:
                cells.append("no: --device spread, or 4 bits")
                continue
            chosen = typed(lm, dtype)
            if work == "score":
                text = score(chosen, left)
            else:
                text = coslow(chosen, left, kept_bytes(name, dtype))
            cells.append(f"{str(dtype).removeprefix('torch.')}: {text}")
        yield "| " + " | ".join([name, work, *cells]) + " |"


def main() -> None:
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    print("| model | work | " + " | ".join(f"{size} GB" for size in MEMORIES) + " |")
    print("|---" * (2 + len(MEMORIES)) + "|")
    for row in rows():
        print(row, flush=True)
    print()
    for name, dtype in product(SIZES, (torch.float32, torch.bfloat16)):
        width = int(SIZES[name]["hidden_size"])
        kept = kept_bytes(name, dtype) / (width * dtype.itemsize)
        kind = str(dtype).removeprefix("torch.")
        print(
            f"A layer of {name} in {kind} keeps {kept:.1f} tensors of the model's width per token."
        )


if __name__ == "__main__":
    main()
