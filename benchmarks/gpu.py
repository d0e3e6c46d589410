"""CoS-Low of a model of Llama 3.1 8B's size on a GPU, compared with the published procedure.

    python benchmarks/gpu.py [--turns 5]

Random weights from the model's published configuration, in bfloat16; 32 random examples of 512
tokens, 8 of them the answer. Prints the measured bfloat16 matrix rate, the share of it that CoS-Low
reaches (each product counted once, recomputed ones not at all), and the seconds of both, measured
in turns. Needs a GPU with 80 GB; `--small` runs the same on a small model anywhere.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any

import published
import torch
from outcome import Ratio, tell
from transformers import LlamaConfig, LlamaForCausalLM

from labelcast.models.choices import Choice
from labelcast.models.coslow import cosine, median_cosine
from labelcast.models.encoding import Encoded
from labelcast.models.gradients import Gram, sketched_gram
from labelcast.models.identity import ModelIdentity
from labelcast.models.layers import linear_layers
from labelcast.models.loading import LanguageModel
from labelcast.models.plan import count_costs, gpu_rooms, plan_at_once

LLAMA_8B = {
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
}
SMALL = LLAMA_8B | {
    "vocab_size": 512,
    "hidden_size": 128,
    "intermediate_size": 448,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
RANK = 64


def build(config: dict[str, Any], device: str, dtype: torch.dtype) -> LanguageModel:
    """A model with random weights, created on the device."""
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = LlamaForCausalLM(LlamaConfig(**config))
    finally:
        torch.set_default_dtype(before)
    model.eval().requires_grad_(False)
    identity = ModelIdentity("random", None, "random")
    return LanguageModel(model, None, identity, Choice(device, "asked for"), Choice(dtype, "asked"))


def random_examples(count: int, tokens: int, answer: int, words: int) -> list[Encoded]:
    """Examples of equal length, with nothing shared."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, words, (count, tokens), generator=generator).tolist()
    return [Encoded(row, answer) for row in ids]


def wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds(way: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that a way takes, including the device's work, and its result."""
    wait()
    start = time.perf_counter()
    value = way()
    wait()
    return time.perf_counter() - start, value


def matrix_rate(device: str, dtype: torch.dtype, size: int) -> float:
    """Operations per second of one large product, best of ten."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = min(seconds(lambda: a @ b)[0] for _ in range(10))
    return 2.0 * size**3 / best


def operations(lm: LanguageModel, pairs: list[Encoded]) -> float:
    """Operations of the layers' forward pass, input gradients, sketch and contraction."""
    tokens = sum(len(pair.tokens) for pair in pairs)
    sizes = [(layer.in_features, layer.out_features) for layer in linear_layers(lm).values()]
    return float(sum(2 * tokens * (2 * i * o + RANK * (i + o)) for i, o in sizes))


def ours(lm: LanguageModel, pairs: list[Encoded]) -> Gram:
    return sketched_gram(lm, pairs, rank=RANK, seeds=[0], batch_size=8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--small", action="store_true", help="a small model, on any device")
    parser.add_argument("--examples", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one turn")
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not args.small:
        print("skipped: no GPU found; --small runs the same on a small model")
        return
    config, dtype = (SMALL if args.small else LLAMA_8B), torch.bfloat16
    lm = build(config, device, dtype)
    pairs = random_examples(args.examples, args.tokens, 8, int(config["vocab_size"]))
    rate = matrix_rate(device, dtype, 8192 if device == "cuda" else 512)
    adapted = published.with_adapters(lm, RANK)
    # The first call also allocates and compiles; it is not timed.
    ours(lm, pairs)
    published.cos_low(adapted, pairs[:2])
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    taken: dict[str, list[float]] = {"published": [], "labelcast": []}
    found: dict[str, Any] = {}
    for _ in range(1 if args.quick else args.turns):
        for name, way in (
            ("published", lambda: published.cos_low(adapted, pairs)),
            ("labelcast", lambda: ours(lm, pairs)),
        ):
            took, found[name] = seconds(way)
            taken[name].append(took)
    report(args, lm, pairs, rate, taken, found)


def report(
    args: argparse.Namespace,
    lm: LanguageModel,
    pairs: list[Encoded],
    rate: float,
    taken: dict[str, list[float]],
    found: dict[str, Any],
) -> None:
    mine, others = median(taken["labelcast"]), median(taken["published"])
    ratios_seen = [a / b for a, b in zip(taken["published"], taken["labelcast"], strict=True)]
    gram: Gram = found["labelcast"]
    value, held = found["published"]
    rooms = gpu_rooms(lm)
    costs = replace(count_costs(lm, linear_layers(lm), pairs, RANK), row=0)
    plan = plan_at_once(costs, rooms, pairs) if rooms else None
    done = operations(lm, pairs)
    cuda = lm.input_device.type == "cuda"
    goal = (lambda value: None) if args.small else float
    ratios = {
        "times as fast as published": Ratio(median(ratios_seen), "higher", goal(10)),
        "seconds": Ratio(mine, "lower", goal(2), compared=False),
        "share of the matrix rate": Ratio(done / mine / rate, "higher", goal(0.6)),
        "GB held for gradients": Ratio(gram.held_bytes / 1e9, "lower", goal(1)),
        "memory of the gradients / published": Ratio(gram.held_bytes / held, "lower"),
        "CoS-Low, published - labelcast": Ratio(
            value - median_cosine(cosine(gram.values.sum((0, 1)).numpy())), compared=False
        ),
    }
    tell(
        "gpu",
        ratios,
        device=torch.cuda.get_device_name() if cuda else "cpu",
        examples=f"{len(pairs)} random examples of {args.tokens} tokens",
        turns=args.turns,
        layers_recomputed=None if plan is None else len(plan.recomputed),
        matrix_rate_tflops=round(rate / 1e12, 2),
        published_seconds=round(others, 4),
        peak_bytes=torch.cuda.max_memory_allocated() if cuda else None,
    )


if __name__ == "__main__":
    main()
