"""Scored runs, made without a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from labelcast.execution.shards import SCHEMA
from labelcast.runs import label_store, pool
from labelcast.runs.records import ModelPart, RunFacts, RunQuestion
from labelcast.runs.run import Run
from labelcast.tasks.sources import open_source
from labelcast.tasks.task import Task

TASK = Task.parse(
    "{name: t, instruction: Say it., inputs: [{field: text, label: T}, {field: more, label: M}],"
    " answer: label, answers: [yes, no, '1', '=2']}"
)


def scored_run(folder: Path, texts: Sequence[str], low: int, seed: int = 0) -> Run:
    """A run over a pool of texts, with invented confidences and the first `low` drawn."""
    rows = [{"text": text, "more": number} for number, text in enumerate(texts)]
    return run_of(folder, rows, low, TASK, seed)


def run_of(
    folder: Path,
    rows: Sequence[dict[str, Any]],
    low: int,
    task: Task | None,
    seed: int = 0,
    said: str | None = None,
) -> Run:
    """A run over a pool of records; `said` is the model's answer to each."""
    path = folder / "pool.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    source = open_source(path)
    survey = pool.survey(source, task)
    question = RunQuestion(task=task, pool_digest=survey.digest, seed=seed)
    facts = RunFacts(pool=source.spec, model=ModelPart(name="m", fingerprint="f"))
    run = Run.create(folder / "run", question, facts)
    drawn = pool.fetch(source, task, range(low))
    names = SCHEMA.names
    table = {name: [None] * len(rows) for name in names} | {
        "id": [example.id for example in pool.fetch(source, task, range(len(rows)))],
        "confidence": np.linspace(0, 1, len(rows)).tolist(),
        "answer": [said] * len(rows),
        "flag": [""] * len(rows),
    }
    pq.write_table(pa.table(table, schema=SCHEMA), run.file("confidence.parquet"))
    label_store.save_draws(
        run, [label_store.DrawnExample.of(example, "low", 0) for example in drawn]
    )
    run.finish("score")
    return run
