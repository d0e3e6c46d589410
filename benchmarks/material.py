"""The prompts that the benchmarks run on: rendered records of the published task."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from labelcast.tasks.prompts import Example, examples
from labelcast.tasks.sources import open_source

_FOLDER = Path(__file__).resolve().parents[1].parent / "shared/paper/results/coslow_data"


def arguments(description: str, file: str, count: int) -> argparse.Namespace:
    """The arguments of a benchmark, with defaults of its own."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--examples", type=int, default=count)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--task", type=Path, default=_FOLDER / file, metavar="FILE")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch-size", type=int, default=None)
    return parser.parse_args()


def load(path: Path, count: int, *, need_answer: bool) -> list[Example]:
    """The first examples of a file of rendered records; ends the program where it is absent."""
    if not path.is_file():
        print(f"skipped: {path.name} is not there; give a file with --task", file=sys.stderr)
        raise SystemExit(0)
    found = list(examples(open_source(str(path)), need_answer=need_answer))
    return found[:count]
