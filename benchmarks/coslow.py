"""CoS-Low compared with the published procedure and with its matrix products alone.

    python benchmarks/coslow.py [--examples 32] [--turns 3]

Two cases: prompts that begin with the same instruction, three quarters of their tokens, and the
same prompts with the instruction's words shuffled for each, so that nothing is shared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise, takewhile
from typing import Any

import bench_examples
import published
import torch
from outcome import Ratio, tell
from turns import Turns, in_turns

from labelcast.models.choices import choose_batch
from labelcast.models.coslow import CosLow, cos_low, encode_labelled
from labelcast.models.encoding import Encoded
from labelcast.models.gradients import PARTS
from labelcast.models.layers import linear_layers
from labelcast.models.loading import LanguageModel, load_model
from labelcast.tasks.prompts import Example

RANK = 64
SHARED, NOTHING = "shared", "nothing shared"
GOALS = {SHARED: 3.0, NOTHING: 2.2}


def batch_shapes(pairs: Sequence[Encoded], size: int) -> list[tuple[int, int]]:
    """Rows and padded width of every batch, grouped by length as labelcast groups them."""
    lengths = sorted(len(pair.tokens) for pair in pairs)
    groups = [lengths[i : i + size] for i in range(0, len(lengths), size)]
    return [(len(group), group[-1]) for group in groups]


class BareProducts:
    """The matrix products of `cos_low` alone, on random numbers of the same shapes.

    Forward, input gradient, sketch, contraction and Gram matrix of every hooked layer. Leaves out
    attention, the output layer's products and everything that is not a product.
    """

    def __init__(self, lm: LanguageModel, pairs: Sequence[Encoded], batch_size: int):
        self.layers: list[Any] = [layer.module for layer in linear_layers(lm).values()]
        self.shapes = batch_shapes(pairs, batch_size)
        self.examples = len(pairs)
        features = {size for layer in self.layers for size in layer.weight.shape}
        weight = self.layers[0].weight
        self.a = {
            n: torch.rand(RANK, n, device=weight.device, dtype=weight.dtype) for n in features
        }
        self.states = {
            (rows, width, n): torch.rand(rows, width, n, device=weight.device, dtype=weight.dtype)
            for rows, width in set(self.shapes)
            for n in features
        }
        self.g = {n: torch.rand(PARTS, self.examples, n * RANK // PARTS) for n in features}

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def __call__(self) -> None:
        """Run every product once."""
        for rows, width in self.shapes:
            for layer in self.layers:
                h = self.states[rows, width, layer.in_features]
                d = self.states[rows, width, layer.out_features]
                _ = h @ layer.weight.T  # [N,S,I] @ [I,O]
                _ = d @ layer.weight  # [N,S,O] @ [O,I]
                sketched = h @ self.a[layer.in_features].T  # [N,S,I] @ [I,R]
                _ = torch.bmm(d.transpose(1, 2), sketched)  # [N,O,S] @ [N,S,R]
        for layer in self.layers:
            g = self.g[layer.out_features]
            _ = torch.bmm(g, g.transpose(1, 2))
        if torch.cuda.is_available():
            torch.cuda.synchronize()


def longest_common_start(pairs: Sequence[Encoded]) -> int:
    """Length of the longest common prefix of any two prompts, in tokens."""
    prompts = sorted(pair.tokens[: -pair.answer_length] for pair in pairs)
    longest = 0
    for one, other in pairwise(prompts):
        alike = takewhile(lambda two: two[0] == two[1], zip(one, other, strict=False))
        longest = max(longest, sum(1 for _ in alike))
    return longest


def main() -> None:
    args = bench_examples.arguments(
        bench_examples.parser(__doc__ or "", bench_examples.ANNOTATED, 32)
    )
    lm = load_model(args.model, device=args.device)
    found = bench_examples.load(args.task, args.examples, lm, need_answer=True)
    batch = choose_batch(args.batch_size, lm.device.value, "gradients").value
    adapted = published.with_adapters(lm, RANK)
    cases = {SHARED: found.examples, NOTHING: bench_examples.nothing_shared(found.examples)}
    ratios: dict[str, Ratio] = {}
    facts: dict[str, Any] = {}
    for case, examples in cases.items():
        pairs = encode_labelled(lm, examples)
        turns = in_turns(ways(lm, adapted, examples, pairs, batch), args.turns)
        ratios |= ratios_of(case, turns)
        facts[case] = {
            "tokens": sum(len(pair.tokens) for pair in pairs),
            "longest_common_start": longest_common_start(pairs),
            "seconds": {way: round(turns.median(way), 2) for way in turns.seconds},
            "published_coslow": turns.values["published"][0],
            "labelcast_coslow": turns.values["labelcast"].coslow,
        }
    tell("coslow", ratios, turns=args.turns, batch_size=batch, examples=found.source, cases=facts)


def ways(
    lm: LanguageModel, adapted: Any, examples: list[Example], pairs: list[Encoded], batch: int
) -> dict[str, Callable[[], Any]]:
    """The functions that are timed in turns."""
    return {
        "published": lambda: published.cos_low(adapted, pairs),
        "labelcast": lambda: cos_low(lm, examples, rank=RANK, batch_size=batch),
        "products": BareProducts(lm, pairs, batch),
    }


def ratios_of(case: str, turns: Turns) -> dict[str, Ratio]:
    """The ratios of one case, with its name in each."""
    value, held = turns.values["published"]
    ours: CosLow = turns.values["labelcast"]
    return {
        f"times as fast as published, {case}": Ratio(
            turns.ratio("published", "labelcast"), "higher", GOALS[case]
        ),
        f"time / its products alone, {case}": Ratio(
            turns.ratio("labelcast", "products"), "lower", 1.4
        ),
        f"memory of the gradients / published, {case}": Ratio(
            ours.gradient_bytes / held, "lower", 0.3
        ),
        f"CoS-Low, published - labelcast, {case}": Ratio(
            abs(value - ours.coslow), "lower", 1e-4, compared=False
        ),
    }


if __name__ == "__main__":
    main()
