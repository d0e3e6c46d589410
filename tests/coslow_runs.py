"""Runs with CoS-Low, made without a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from labelcast.execution.shards import SCHEMA
from labelcast.files.json_files import write_json
from labelcast.runs import label_store, pool
from labelcast.runs.records import RunFacts, RunQuestion
from labelcast.runs.run import Run
from labelcast.tasks.sources import open_source
from labelcast.tasks.task import Task

TASK: dict[str, Any] = {
    "name": "tickets",
    "instruction": "Say what the customer wants.",
    "inputs": [{"field": "subject", "label": "Subject"}, {"field": "text", "label": "Text"}],
    "answer": "intent",
    "answers": ["refund", "login"],
    "ceiling": {"score": 0.95, "source": "two people"},
}
MODEL = {"name": "llama", "hub_id": "meta-llama/Llama-3.1-8B-Instruct", "fingerprint": "f"}


def records(count: int) -> list[dict[str, str]]:
    """Tickets of two kinds."""
    kinds = ("refund", "login")
    return [
        {"id": f"t{n}", "subject": f"about {kinds[n % 2]}", "text": f"Ticket {n}, please."}
        for n in range(count)
    ]


def cosines(count: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Similarities of examples of two alternating kinds, [count,count]."""
    rng = np.random.default_rng(seed)
    kinds = np.stack([np.arange(count) % 2, 1 - np.arange(count) % 2], axis=1)
    points = np.concatenate([kinds * 2.0, rng.normal(size=(count, 6)) * 0.4], axis=1)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    found: np.ndarray[Any, Any] = points @ points.T
    return found


def answered_run(
    folder: Path,
    rows: Sequence[dict[str, Any]] | None = None,
    *,
    low: int = 32,
    task: dict[str, Any] | None = None,
    answers: Sequence[str] | None = None,
    coslow: bool = True,
    facts: dict[str, Any] | None = None,
) -> Run:
    """A run over records; the first `low` are drawn and labelled.

    Args:
        folder: where to make it.
        rows: the pool; 400 tickets by default.
        low: how many are drawn.
        task: of the run.
        answers: of the drawn examples, repeated.
        coslow: whether CoS-Low is measured.
        facts: of `run.json`, besides invented ones.
    """
    rows = records(400) if rows is None else rows
    resolved = Task.build(task or TASK)
    path = folder / "pool.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    source = open_source(path)
    question = RunQuestion(
        task=resolved, pool_digest="d", dtype="torch.float32", n_label=low, seed=0
    )
    known = {"pool": "pool.jsonl", "size": len(rows), "model": MODEL, "device": "cpu"}
    run = Run.create(folder / "run", question, RunFacts.model_validate(known | (facts or {})))
    drawn = pool.fetch(source, resolved, range(low))
    table = {name: [None] * len(rows) for name in SCHEMA.names} | {
        "id": [str(row.get("id", n)) for n, row in enumerate(rows)],
        "index": list(range(len(rows))),
        "confidence": np.linspace(0.3, 1, len(rows)).tolist(),
        "answer": [str(row.get("said", "refund")) for row in rows],
        "flag": [""] * len(rows),
    }
    pq.write_table(pa.table(table, schema=SCHEMA), run.file("confidence.parquet"))
    label_store.save_draws(run, [label_store.DrawnExample.of(e, "low", 0) for e in drawn])
    run.finish("score", seconds=12.5, seed=0)
    given = answers or resolved.answers
    label_store.save_labels(run, {e.id: given[n % len(given)] for n, e in enumerate(drawn)})
    if coslow:
        save_coslow(run, [example.id for example in drawn])
    return run


def save_coslow(run: Run, ids: Sequence[str]) -> None:
    """Save an invented CoS-Low in a run."""
    found = cosines(len(ids))
    np.save(run.file("gram.npy"), found, allow_pickle=False)
    pairs = found[np.triu_indices(len(ids), 1)]
    result = {
        "coslow": float(np.median(pairs)),
        **{"low": 0.2, "high": 0.6, "examples": len(ids), "pairs": len(pairs)},
        **{"method": "sketch", "seed_sd": 0.004, "ids": list(ids)},
    }
    write_json(run.file("coslow.json"), result)
    run.finish("coslow", labels=run.labels_digest("low"), seconds=17.5, rank=64, seed=0)
