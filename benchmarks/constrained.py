"""Decoding along the allowed answers compared with free decoding: seconds, and right answers.

python benchmarks/constrained.py [--task boolean_expressions] [--examples 96] [--turns 3]
"""

from __future__ import annotations

import argparse

from outcome import Ratio, tell
from turns import in_turns

from labelcast.models.confidence import score_confidence
from labelcast.models.loading import load_model
from labelcast.tasks.metrics import score_answers
from labelcast.tasks.prompts import examples
from labelcast.tasks.sources import open_source
from labelcast.tasks.task import Task


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--task", default="boolean_expressions", help="a generated task")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--examples", type=int, default=96)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="3 examples, one turn: a smoke test")
    args = parser.parse_args()
    if args.quick:
        args.examples, args.turns = 3, 1
    lm, task = load_model(args.model), Task.load(args.task)
    source = open_source(f"generated:{args.task}:{args.examples}")
    found = list(examples(source, task, lm.render, need_answer=True))
    prompts, gold = [e.prompt for e in found], [str(e.answer) for e in found]
    turns = in_turns(
        {
            "free": lambda: score_confidence(lm, prompts),
            "allowed": lambda: score_confidence(lm, prompts, allowed=task.answers),
        },
        args.turns,
    )
    right = {
        way: score_answers("accuracy", [one.answer for one in values], gold, task.answers).total
        for way, values in turns.values.items()
    }
    ratios = {
        "seconds / free decoding": Ratio(turns.ratio("allowed", "free"), "lower", 1.0),
        "accuracy - free decoding": Ratio(right["allowed"] - right["free"], compared=False),
    }
    tell(
        "constrained",
        ratios,
        turns=args.turns,
        examples=len(found),
        accuracy=right,
        seconds={way: round(turns.median(way), 2) for way in turns.seconds},
    )


if __name__ == "__main__":
    main()
