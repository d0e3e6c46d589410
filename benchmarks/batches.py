"""CoS-Low by batch size, and with parallel batches compared with one after another.

    python benchmarks/batches.py [--examples 16] [--turns 2]

Each way is timed in turns with the default; prints the ratio of times, above 1 is slower.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import bench_examples
from outcome import Ratio, tell
from turns import in_turns

from labelcast.models import gradients
from labelcast.models.choices import choose_batch
from labelcast.models.coslow import cos_low
from labelcast.models.loading import LanguageModel, load_model
from labelcast.models.plan import Plan, plan_batches
from labelcast.tasks.prompts import Example

SIZES = (1, 2, 4, 8, 16)


def one_after_another(*given: Any) -> Plan:
    """The plan, with every thread on one batch."""
    return replace(plan_batches(*given), workers=1)


def in_order(lm: LanguageModel, examples: list[Example], size: int) -> Callable[[], Any]:
    def run() -> Any:
        with patch.object(gradients, "plan_batches", one_after_another):
            return cos_low(lm, examples, batch_size=size)

    return run


def at_size(lm: LanguageModel, examples: list[Example], size: int) -> Callable[[], Any]:
    return lambda: cos_low(lm, examples, batch_size=size)


def main() -> None:
    args = bench_examples.arguments(
        bench_examples.parser(__doc__ or "", bench_examples.ANNOTATED, 16)
    )
    lm = load_model(args.model, device=args.device)
    found = bench_examples.load(args.task, args.examples, lm, need_answer=True)
    default = choose_batch(args.batch_size, lm.device.value, "gradients").value
    ratios: dict[str, Ratio] = {}
    for case, examples in {
        "shared": found.examples,
        "nothing shared": bench_examples.nothing_shared(found.examples),
    }.items():
        ways = {"default": at_size(lm, examples, default)}
        ways |= {f"batches of {n}": at_size(lm, examples, n) for n in SIZES if n != default}
        ways["one batch after another"] = in_order(lm, examples, default)
        turns = in_turns(ways, args.turns)
        for way in list(ways)[1:]:
            name = f"time of {way} / of {default} side by side, {case}"
            ratios[name] = Ratio(turns.ratio(way, "default"), compared=False)
    tell("batches", ratios, turns=args.turns, batch_size=default, examples=found.source)


if __name__ == "__main__":
    main()
