"""Run folders and sweeps of a stranger, one of whose files is not what it should be."""

from __future__ import annotations

import json
from typing import Any

from cases import (
    Case,
    deep,
    lines,
    plain,
)


def of_run(name: str, command: str, file: str, content: Any, *says: str) -> Case:
    """A run of a stranger, one of whose files is not what it should be."""
    text = content if isinstance(content, str | bytes) else json.dumps(content) + "\n"
    return Case(f"run: {name}", command, says, more={f"run/{file}": text})


EXPORT = "label run --export a.csv"
ROW = {"id": "a", "index": 0, "set": "low", "batch": 0, "text": "a"}
RUN: dict[str, Any] = {"question": {"task": None, "pool_digest": "x", "seed": 0}, "facts": {}}
WHO: dict[str, Any] = {"name": "m", "hub_id": None, "fingerprint": "f", "architecture": {}}


def with_model(**changes: Any) -> dict[str, Any]:
    return RUN | {"facts": {"model": WHO | changes}}


RUNS = [
    of_run("10,000 deep", EXPORT, "run.json", '{"a":' + deep(10_000) + "}", "run.json", "damaged"),
    of_run("NaN", EXPORT, "run.json", '{"question": NaN}', "run.json", "damaged"),
    of_run(
        "a seed of words", EXPORT, "run.json", RUN | {"question": {"seed": "x"}}, "run.json", "seed"
    ),
    of_run("a seed below 0", EXPORT, "run.json", RUN | {"question": {"seed": -1}}, "seed"),
    of_run("a task of words", EXPORT, "run.json", RUN | {"question": {"task": "x"}}, "task"),
    of_run("a task of nothing", EXPORT, "run.json", RUN | {"question": {"task": {}}}, "run.json"),
    of_run("a pool of numbers", EXPORT, "run.json", RUN | {"facts": {"pool": 3}}, "pool"),
    of_run("a model of lists", "forecast run", "run.json", with_model(name=[]), "name"),
    of_run("an architecture of words", "forecast run", "run.json", with_model(architecture="x")),
    of_run("draws of words", EXPORT, "draws.jsonl", ROW | {"index": "0"}, "line 1", "index"),
    of_run("draws below 0", EXPORT, "draws.jsonl", ROW | {"index": -1}, "line 1", "index"),
    of_run("draws past counting", EXPORT, "draws.jsonl", ROW | {"index": 2**70}, "line 1", "index"),
    of_run("a set of its own", EXPORT, "draws.jsonl", ROW | {"set": "../x"}, "line 1", "set"),
    of_run("a text of lists", EXPORT, "draws.jsonl", ROW | {"text": ["a"]}, "line 1"),
    of_run("an id of objects", EXPORT, "draws.jsonl", ROW | {"id": {}}, "line 1", "id"),
    of_run("draws, 10,000 deep", EXPORT, "draws.jsonl", deep(10_000) + "\n", "line 1", "damaged"),
    of_run("labels without answers", EXPORT, "labels.jsonl", ROW, "labels.jsonl line 1", "label"),
    of_run("labels of lists", EXPORT, "labels.jsonl", ROW | {"label": []}, "labels.jsonl line 1"),
    of_run("labels that are none", "label run --more 2", "labels.jsonl", "[]\n", "line 1"),
    of_run("CoS-Low of 2", "forecast run", "coslow.json", {"coslow": 2}, "coslow.json"),
    of_run("CoS-Low of words", "forecast run", "coslow.json", {"coslow": "x"}, "coslow.json"),
    of_run("CoS-Low of NaN", "forecast run", "coslow.json", '{"coslow": NaN}', "coslow.json"),
    of_run("a manifest that is a list", "forecast run", "manifests/coslow.json", [], "coslow.json"),
    of_run(
        "scores of words",
        "forecast run",
        "observations.jsonl",
        {"budget": 50, "score": "x", "test_size": 9, "recipe": "r"},
        "observations.jsonl line 1",
        "score",
    ),
    of_run(
        "scores above 1",
        "forecast run",
        "observations.jsonl",
        {"budget": 50, "score": 9.0, "test_size": 9, "recipe": "r"},
        "score",
    ),
    of_run(
        "no test behind scores",
        "forecast run",
        "observations.jsonl",
        {"budget": 50, "score": 0.5, "test_size": 0, "recipe": "r"},
        "test_size",
    ),
    of_run(
        "a question of words",
        "report run",
        "manifests/forecast.json",
        {"step": "forecast", "asked": {"level": "x"}},
        "forecast.json",
        "level",
    ),
    of_run(
        "a question of its own",
        "report run",
        "manifests/forecast.json",
        {"step": "forecast", "asked": {"exec": "x"}},
        "forecast.json",
    ),
]

SWEEP = {
    "model": {"name": "m", "hub_id": None, "fingerprint": "f", "architecture": {}},
    "recipe": {"name": "r"},
    "recipe_digest": "d",
    "test_size": 9,
    "split_seed": 0,
    "max_new_tokens": 4,
    "tasks": {},
    "budgets": [0],
    "seeds": [1],
}
ENTRY = {
    "task": {"name": "t", "instruction": "Say it.", "inputs": ["text"], "answer": "label"},
    "data": "pool.jsonl",
    "test_data": None,
    "test_digest": "x",
}


def of_sweep(name: str, content: Any, *says: str, rows: str = "") -> Case:
    more = {"sw__sweep_dot_json": content if isinstance(content, str) else json.dumps(content)}
    if rows:
        more["sw__scores_dot_jsonl"] = rows
    return plain(f"sweep: {name}", "calibrate sw --name x", *says, **more)


SWEEPS = [
    of_sweep("an array", "[]", "sweep.json", "damaged"),
    of_sweep("10,000 deep", '{"tasks":' + deep(10_000) + "}", "sweep.json", "damaged"),
    of_sweep("without a model", SWEEP | {"model": None}, "sweep.json", "model"),
    of_sweep("budgets of words", SWEEP | {"budgets": ["x"]}, "sweep.json", "budgets"),
    of_sweep("tasks of words", SWEEP | {"tasks": {"t": 3}}, "sweep.json", "tasks.t"),
    of_sweep("a path for a name", SWEEP | {"tasks": {"../../x": ENTRY}}, "'../../x'"),
    of_sweep(
        "a task with a path for a name",
        SWEEP | {"tasks": {"../x": ENTRY | {"task": {**ENTRY["task"], "name": "../x"}}}},  # type: ignore[dict-item]
        "sweep.json",
        "name",
    ),
    of_sweep("scores of nothing", SWEEP | {"tasks": {"t": ENTRY}}, "line 1", rows="{}\n"),
    of_sweep(
        "a score of words",
        SWEEP | {"tasks": {"t": ENTRY}},
        "scores.jsonl line 1",
        "score",
        rows=lines(
            {"task": "t", "model": "m", "budget": 0, "seed": 1, "metric": "accuracy"}
            | {"score": "x", "test_size": 9, "seconds": 1.0, "error": ""}
        ),
    ),
    plain("sweep: no folder", "calibrate nothing --name x", "nothing", "sweep.json"),
]
