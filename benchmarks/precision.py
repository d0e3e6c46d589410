"""CoS-Low in bfloat16 against float32: same model, same examples, same sketch.

    python benchmarks/precision.py [--device cuda] [--examples 32]

Prints how far the two values lie apart, for each set of examples (goal: at most 0.01).
"""

from __future__ import annotations

import material
from outcome import Ratio, tell

from labelcast.models.loading import LanguageModel, load_model
from labelcast.probe.coslow import cos_low
from labelcast.tasks.prompts import Example, examples
from labelcast.tasks.sources import open_source
from labelcast.tasks.task import Task

GENERATED = ("boolean_expressions", "object_counting", "web_of_lies")


def main() -> None:
    args = material.arguments(material.parser(__doc__ or "", material.ANNOTATED, 32))
    values: dict[str, dict[str, float]] = {}
    for dtype in ("float32", "bfloat16"):
        lm = load_model(args.model, device=args.device, dtype=dtype)
        for name, chosen in sets(lm, args.examples).items():
            values.setdefault(name, {})[dtype] = cos_low(lm, chosen).coslow
        published = material.load(args.task, args.examples, lm, need_answer=True)
        values.setdefault("published", {})[dtype] = cos_low(lm, published.examples).coslow
    ratios = {
        f"CoS-Low, bfloat16 - float32, {name}": Ratio(
            abs(found["bfloat16"] - found["float32"]), "lower", 0.01, compared=False
        )
        for name, found in values.items()
    }
    tell("precision", ratios, values=values, turns=1, examples=published.source)


def sets(lm: LanguageModel, count: int) -> dict[str, list[Example]]:
    """Examples of generated tasks, rendered for the model."""
    found = {}
    for name in GENERATED:
        source = open_source(f"generated:{name}:{count}")
        found[name] = list(examples(source, Task.load(name), lm.render, need_answer=True))
    return found


if __name__ == "__main__":
    main()
