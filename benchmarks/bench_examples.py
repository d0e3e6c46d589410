"""The examples that benchmarks run on: those of a published task, or generated ones."""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

from labelcast.models.loading import LanguageModel
from labelcast.tasks.prompts import Example, examples
from labelcast.tasks.sources import open_source
from labelcast.tasks.task import Task

PUBLISHED = Path(__file__).resolve().parents[1].parent / "shared/paper/results/coslow_data"
ANNOTATED, POOL = "low_conf_examples_annotated.json", "task_data_unannotated.json"
FALLBACK = "post_room"
"""A generated task; three quarters of its tokens are shared, as in the published one."""


@dataclass(frozen=True)
class Material:
    """Examples, and a text that says where they come from."""

    examples: list[Example]
    source: str


def parser(description: str, file: str, count: int) -> argparse.ArgumentParser:
    """The options of a benchmark that runs on examples, with its defaults."""
    made = argparse.ArgumentParser(description=description.splitlines()[0])
    made.add_argument("--examples", type=int, default=count)
    made.add_argument("--turns", type=int, default=3)
    made.add_argument("--task", type=Path, default=PUBLISHED / file, metavar="FILE")
    made.add_argument("--model", default="smollm2")
    made.add_argument("--device", default="auto")
    made.add_argument("--batch-size", type=int, default=None)
    made.add_argument("--quick", action="store_true", help="3 examples, one turn: a smoke test")
    return made


def arguments(made: argparse.ArgumentParser) -> argparse.Namespace:
    """The parsed options; `--quick` makes them small."""
    found = made.parse_args()
    if found.quick:
        found.examples, found.turns = min(found.examples, 3), 1
    return found


def load(path: Path, count: int, lm: LanguageModel, *, need_answer: bool) -> Material:
    """The first examples of a file of rendered records, or generated ones if it is missing."""
    if path.is_file():
        found = list(examples(open_source(str(path)), need_answer=need_answer))[:count]
        return Material(found, f"the first {len(found)} of {path.name}")
    task, source = Task.load(FALLBACK), open_source(f"generated:{FALLBACK}:{count}")
    found = list(examples(source, task, lm.render, need_answer=need_answer))
    return Material(found, f"{len(found)} generated from {FALLBACK} ({path.name} is missing)")


def nothing_shared(found: Sequence[Example], seed: int = 0) -> list[Example]:
    """The same examples with the words that all prompts begin with shuffled for each prompt.

    A prompt keeps its words and so roughly its length; no two begin with the same word.
    """
    first, last = min(e.prompt for e in found), max(e.prompt for e in found)
    alike = takewhile(lambda two: two[0] == two[1], zip(first, last, strict=False))
    shared = "".join(one for one, _ in alike)
    words = re.findall(r"\S+\s*", shared[: shared.rfind(" ") + 1])
    tail = len("".join(words))
    rng = random.Random(seed)
    varied = []
    for example in found:
        own = rng.sample(words, len(words))
        opening = "".join(rng.choices("bcdfghklmnprstvw", k=6))
        varied.append(replace(example, prompt=f"{opening} {''.join(own)}{example.prompt[tail:]}"))
    return varied
