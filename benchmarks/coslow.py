"""CoS-Low against the published procedure and against its own bare matrix products.

Run from the repository: ``python benchmarks/coslow.py --examples 32 --turns 5``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import material
import published
import torch
from turns import Turns, in_turns, table

from labelcast.models.choices import choose_batch
from labelcast.models.encoding import Encoded
from labelcast.models.gradients import PARTS
from labelcast.models.layers import linear_layers
from labelcast.models.loading import LanguageModel, load_model
from labelcast.probe.coslow import CosLow, cos_low, encode_labelled

RANK = 64


def batch_shapes(pairs: Sequence[Encoded], size: int) -> list[tuple[int, int]]:
    """Rows and padded width of every batch, grouped by length as labelcast groups them."""
    lengths = sorted(len(pair.tokens) for pair in pairs)
    groups = [lengths[i : i + size] for i in range(0, len(lengths), size)]
    return [(len(group), group[-1]) for group in groups]


class BareProducts:
    """The matrix products of `cos_low` alone, on random numbers of the same shapes.

    Forward, input gradient, sketch, contraction and Gram matrix of every hooked layer. Attention,
    the vocabulary's products and all that is not a product are left out.
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
        """Run them all once."""
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


def main() -> None:
    args = material.arguments(__doc__ or "", "low_conf_examples_annotated.json", 32)
    examples = material.load(args.task, args.examples, need_answer=True)
    lm = load_model(args.model, device=args.device, purpose="gradients")
    pairs = encode_labelled(lm, examples)
    batch = choose_batch(args.batch_size, lm.device.value, "gradients").value
    adapted = published.with_adapters(lm, RANK)
    turns = in_turns(
        {
            "published": lambda: published.cos_low(adapted, pairs),
            "labelcast": lambda: cos_low(lm, examples, rank=RANK, batch_size=batch),
            "products": BareProducts(lm, pairs, batch),
        },
        args.turns,
    )
    report(turns, len(examples), batch)


def report(turns: Turns, examples: int, batch: int) -> None:
    value, held = turns.values["published"]
    ours: CosLow = turns.values["labelcast"]
    figures = {
        "examples": examples,
        "batch_size": batch,
        "turns": len(turns.seconds["labelcast"]),
        "published_seconds": round(turns.median("published"), 2),
        "labelcast_seconds": round(turns.median("labelcast"), 2),
        "products_seconds": round(turns.median("products"), 2),
        "times_as_fast": round(turns.ratio("published", "labelcast"), 2),
        "times_the_products": round(turns.ratio("labelcast", "products"), 2),
        "gradient_memory_share": round(ours.gradient_bytes / held, 3),
        "published_coslow": value,
        "labelcast_coslow": ours.coslow,
    }
    goals = {
        "times_as_fast": ">= 2",
        "times_the_products": "<= 1.4",
        "gradient_memory_share": "<= 0.3",
    }
    print(
        table({k: f"{v}  {f'goal {goals[k]}' if k in goals else ''}" for k, v in figures.items()})
    )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
