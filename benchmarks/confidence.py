"""Confidence compared with the published procedure: one prompt at a time, a second forward pass.

python benchmarks/confidence.py [--examples 32] [--turns 3]
"""

from __future__ import annotations

import bench_examples
import published
from outcome import Ratio, tell
from turns import in_turns

from labelcast.models.choices import choose_batch
from labelcast.models.confidence import score_confidence
from labelcast.models.encoding import encode_prompt
from labelcast.models.loading import load_model

# Two tokens closer than this may swap with the order of summation.
TIE = 1e-4


def main() -> None:
    args = bench_examples.arguments(bench_examples.parser(__doc__ or "", bench_examples.POOL, 32))
    lm = load_model(args.model, device=args.device)
    found = bench_examples.load(args.task, args.examples, lm, need_answer=False)
    prompts = [example.prompt for example in found.examples]
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
    largest = max((abs(a.confidence - b.confidence) for a, b in clear), default=0.0)
    ratios = {
        "times as fast as published": Ratio(turns.ratio("published", "labelcast"), "higher", 5.0),
        "largest difference of a confidence": Ratio(largest, "lower", 1e-4, compared=False),
    }
    tell(
        "confidence",
        ratios,
        turns=args.turns,
        batch_size=batch,
        examples=found.source,
        ties_left_out=len(pairs) - len(clear),
        seconds={way: round(turns.median(way), 2) for way in turns.seconds},
    )


if __name__ == "__main__":
    main()
