"""CoS-Low in bfloat16 compared with float32: same model, same examples, same sketch.

    python benchmarks/precision.py [--device cuda] [--examples 8]

Prints the difference for each set of examples (goal: at most 0.01), and the difference between
float32 and float32 with weights rounded to bfloat16: the rest is due to activations and gradients.
A CPU without bfloat16 instructions takes many times as long.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import bench_examples
from outcome import Ratio, tell

from labelcast.models.coslow import cos_low
from labelcast.models.loading import LanguageModel, load_model
from labelcast.tasks.prompts import Example, examples
from labelcast.tasks.sources import open_source
from labelcast.tasks.task import Task

GENERATED = ("boolean_expressions", "object_counting", "web_of_lies")
EXACT = "float32"


def main() -> None:
    args = bench_examples.arguments(
        bench_examples.parser(__doc__ or "", bench_examples.ANNOTATED, 8)
    )
    values: dict[str, dict[str, float]] = {}
    for way, lm in models(args.model, args.device):
        for name, chosen in sets(lm, args.task, args.examples).items():
            begin = time.perf_counter()
            values.setdefault(name, {})[way] = cos_low(lm, chosen).coslow
            took = time.perf_counter() - begin
            print(f"{way}  {name}  {values[name][way]:.6f}  {took:.0f} s", file=sys.stderr)
    ratios = {
        f"CoS-Low, {way} - {EXACT}, {name}": Ratio(
            abs(found[way] - found[EXACT]), "lower", 0.01, compared=False
        )
        for name, found in values.items()
        for way in found
        if way != EXACT
    }
    tell("precision", ratios, values=values, turns=1, examples=f"{args.examples} of each")


def models(name: str, device: str) -> Iterator[tuple[str, LanguageModel]]:
    """The model in float32, with rounded weights, and in bfloat16, one at a time."""
    import torch

    lm = load_model(name, device=device, dtype=EXACT)
    yield EXACT, lm
    for weight in lm.model.parameters():
        weight.copy_(weight.to(torch.bfloat16))
    yield "float32 with rounded weights", lm
    del lm
    yield "bfloat16", load_model(name, device=device, dtype="bfloat16")


def sets(lm: LanguageModel, annotated: Path, count: int) -> dict[str, list[Example]]:
    """Generated and published examples, rendered for the model."""
    found = {}
    for name in GENERATED:
        source = open_source(f"generated:{name}:{count}")
        found[name] = list(examples(source, Task.load(name), lm.render, need_answer=True))
    found["published"] = bench_examples.load(annotated, count, lm, need_answer=True).examples
    return found


if __name__ == "__main__":
    main()
