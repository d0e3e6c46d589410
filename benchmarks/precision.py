"""CoS-Low in bfloat16 against float32: same model, same examples, same sketch.

    python benchmarks/precision.py [--device cuda] [--examples 32]

Prints the two values of each set of examples and their difference (goal: at most 0.01).
"""

from __future__ import annotations

import json

import material

from labelcast.models.loading import load_model
from labelcast.probe.coslow import cos_low
from labelcast.tasks.prompts import Example, examples
from labelcast.tasks.sources import open_source
from labelcast.tasks.task import Task

GENERATED = ("boolean_expressions", "object_counting", "web_of_lies")


def main() -> None:
    args = material.arguments(__doc__ or "", "low_conf_examples_annotated.json", 32)
    values: dict[str, dict[str, float]] = {}
    for dtype in ("float32", "bfloat16"):
        lm = load_model(args.model, device=args.device, dtype=dtype, purpose="gradients")
        sets: dict[str, list[Example]] = {}
        for name in GENERATED:
            source = open_source(f"generated:{name}:{args.examples}")
            sets[name] = list(examples(source, Task.load(name), lm.render, need_answer=True))
        if args.task.is_file():
            sets["circa"] = material.load(args.task, args.examples, need_answer=True)
        for name, chosen in sets.items():
            values.setdefault(name, {})[dtype] = cos_low(lm, chosen).coslow
    worst = 0.0
    for name, found in values.items():
        difference = found["bfloat16"] - found["float32"]
        worst = max(worst, abs(difference))
        print(f"{name:<22} {found['float32']:.4f} {found['bfloat16']:.4f}  {difference:+.4f}")
    print(f"largest difference {worst:.4f}  goal <= 0.01")
    print(json.dumps({"benchmark": "precision", "device": args.device, "values": values}))


if __name__ == "__main__":
    main()
