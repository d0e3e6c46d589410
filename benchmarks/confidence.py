"""Confidence against the published procedure: one prompt at a time with a second forward pass.

Run from the repository: ``python benchmarks/confidence.py --examples 64 --turns 5``.
"""

from __future__ import annotations

import json

import material
import published
from turns import in_turns, table

from labelcast.models.choices import choose_batch
from labelcast.models.encoding import encode_prompt
from labelcast.models.loading import load_model
from labelcast.probe.confidence import score_confidence

# Two tokens nearer than this may change places with the order of summation.
TIE = 1e-4


def main() -> None:
    args = material.arguments(__doc__ or "", "task_data_unannotated.json", 64)
    examples = material.load(args.task, args.examples, need_answer=False)
    lm = load_model(args.model, device=args.device)
    prompts = [example.prompt for example in examples]
    tokens = [encode_prompt(lm.tokenizer, prompt) for prompt in prompts]
    batch = choose_batch(args.batch_size, lm.device.value, "confidence").value
    turns = in_turns(
        {
            "published": lambda: [published.confidence(lm, ids) for ids in tokens],
            "labelcast": lambda: score_confidence(lm, prompts, batch_size=batch),
        },
        args.turns,
    )
    pairs = list(zip(turns.values["published"], turns.values["labelcast"], strict=True))
    clear = [(a, b) for a, b in pairs if min(a.margin, b.margin) > TIE]
    figures = {
        "examples": len(examples),
        "batch_size": batch,
        "turns": args.turns,
        "published_seconds": round(turns.median("published"), 2),
        "labelcast_seconds": round(turns.median("labelcast"), 2),
        "times_as_fast": round(turns.ratio("published", "labelcast"), 2),
        "largest_difference": max((abs(a.confidence - b.confidence) for a, b in clear), default=0),
        "ties_left_out": len(pairs) - len(clear),
    }
    goals = {"times_as_fast": ">= 5", "largest_difference": "<= 0.0001"}
    print(
        table({k: f"{v}  {f'goal {goals[k]}' if k in goals else ''}" for k, v in figures.items()})
    )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
