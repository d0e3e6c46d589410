"""Small pools, how the tests score them, and a process that does so and may be killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from command_line import SOURCE

from labelcast.models.loading import AnyModel, LanguageModel
from labelcast.runs.score import ScoredRun, score_run
from labelcast.tasks.sources import Record, Source, open_source
from labelcast.tasks.task import Task

TASK_TEXT = "{name: t, instruction: Say it., inputs: [text], answer: y}"
TASK = Task.parse(TASK_TEXT)
SHARD = 12
_PROGRAM = f"""
import sys
from labelcast.execution.pool_engines import Spread, open_engine
from labelcast.runs import pool
from labelcast.runs.score import score_run
from labelcast.tasks.sources import open_source
from labelcast.tasks.task import Task
pool.SHARD = {SHARD}
kind, model, data, out = sys.argv[1:]
spread = Spread(workers=2 if kind == "ray" else None)
engine = open_engine(kind, model, device="cpu", dtype="float32", spread=spread)
score_run(open_source(data), engine.lm, out, task=Task.parse("{TASK_TEXT}"), engine=engine,
          n_label=8, batch_size=4, max_new_tokens=3, progress=lambda done: print(done, flush=True))
engine.close()
"""


def words(size: int, at: Callable[[int], object] = lambda number: None) -> Source:
    """A pool that is made as it is read; `at` is called with each record's number."""

    def records() -> Iterator[Record]:
        for n in range(size):
            at(n)
            yield Record(n, f"record {n + 1}", {"text": f"word {n}{' and' * (n % 7)}"})

    return Source("memory", records)


def run_score(lm: AnyModel, out: Path, pool: Source | Path, **options: Any) -> ScoredRun:
    """Score a pool into a run folder."""
    source = pool if isinstance(pool, Source) else open_source(pool)
    usual: dict[str, Any] = {"task": TASK, "n_label": 8, "batch_size": 4, "max_new_tokens": 3}
    return score_run(source, lm, out, **usual | options)


def start(engine: str, lm: LanguageModel, data: Path, out: Path) -> subprocess.Popen[str]:
    """Start a process that does the same, and prints the number of examples that it has done."""
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, engine, lm.name, str(data), str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        text=True,
    )


def results(out: Path) -> tuple[bytes, ...]:
    """The files of a scored run that do not depend on how it was scored."""
    return tuple((out / name).read_bytes() for name in ("confidence.parquet", "to_label.jsonl"))
