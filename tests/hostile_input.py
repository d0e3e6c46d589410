"""Hostile files, folders and command lines, each with what the message must say."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pyarrow as pa
from bad_input import (
    COSLOW,
    IMPORT,
    KNOWN,
    LABELLED,
    MODEL,
    RECORD,
    STUDIO,
    TASK,
    WORDS,
    Case,
    foreign,
    lines,
    nested,
    parquet,
    plain,
    pool,
    task,
)

ESC = "\x1b]0;owned\x07\x1b[2J"
"""Sets a terminal's title and clears its screen."""


def card(name: str, content: Any, *says: str) -> Case:
    text = content if isinstance(content, str | bytes) else json.dumps(content)
    command = "forecast --coslow 0.4 --calibration ./FILE"
    return Case(f"card: {name}", command, ("card.json", *says), "card.json", text)


def recipe(name: str, content: str | bytes, *says: str) -> Case:
    command = "sweep --task boolean_expressions --model TINY --out new --recipe FILE"
    return Case(f"recipe: {name}", command, ("bad.yaml", *says), "bad.yaml", content)


def model(name: str, *says: str, **more: str | bytes) -> Case:
    return plain(f"model: {name}", f"{MODEL} m", "model m", *says, **more)


BOMB = "l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"l{n + 1}: &l{n + 1} [{', '.join([f'*l{n}'] * 10)}]\n" for n in range(9)
)
INVALID_UTF8 = pa.Array.from_buffers(
    pa.string(), 1, [None, pa.array([0, 2], pa.int32()).buffers()[1], pa.py_buffer(b"\xff\xfe")]
)

POOLS = [
    pool("gzip named .jsonl", "p.jsonl", gzip.compress(lines(*WORDS).encode()), "UTF-8"),
    pool("a null character in JSON", "p.jsonl", '{"text": "a\0b"}\n', "line 1", "valid JSON"),
    pool("100,000 digits", "p.json", f'[{{"text": {"9" * 100_000}}}]', "p.json"),
    pool("1e400 in an array", "p.json", '[{"text": 1e400}]', "record 1", "inf"),
    pool("array, 10,000 deep", "p.json", f'[{{"text": {nested(10_000)}}}]', "p.json"),
    pool("10,000 deep", "p.jsonl", f'{{"text": {nested(10_000)}}}\n', "line 1", "too deep"),
    pool("half a character in a key", "p.jsonl", '{"\\ud83d": "a"}\n', "line 1", "\\ud83d"),
    pool("encoded halves", "p.jsonl", b'{"text": "\xed\xa0\x80"}\n', "p.jsonl", "UTF-8"),
    pool("an escape in a key", "p.jsonl", lines({ESC: "a"}), "line 1", "\\x1b]0;owned\\x07"),
    pool("an escape in a header", "p.csv", "\x1b[2J\nx\n", "line 2", "\\x1b[2J"),
    pool("an escape in an id", "p.jsonl", lines({"id": {ESC: 1}, "text": "a"}), "'id'", "dict"),
    pool("an id that is NaN", "p.parquet", parquet(id=[float("nan")], text=["a"]), "'id'", "nan"),
    pool("Parquet, invalid UTF-8", "p.parquet", parquet(text=INVALID_UTF8), "p.parquet"),
    pool("Parquet cut off", "p.parquet", parquet(text=["a"] * 99)[:-30], "p.parquet", "Parquet"),
]

LABELS = [
    Case(
        "import: 10,000 deep", IMPORT, ("line 1", "deep"), "a.jsonl", f'{{"a":{nested(10_000)}}}\n'
    ),
    Case("import: an array, 10,000 deep", IMPORT, ("a.json",), "a.json", nested(10_000)),
    foreign("Label Studio, nested", STUDIO | {"annotations": [{"result": [[[]]]}]}, "item 1"),
    foreign("Argilla, nested", RECORD | {"responses": {"label": [[[]]]}}, "item 1"),
    Case(
        "labelled: an escape for an answer",
        COSLOW,
        ("line 9", "not among the allowed"),
        "l.jsonl",
        lines(*LABELLED, {"text": "x", "label": ESC}),
    ),
]

TASKS = [
    task("two documents", TASK + "---\n" + TASK, "YAML"),
    task("2,000 deep", "a: " + nested(2000), "YAML"),
    task("an alias bomb", BOMB + TASK, "aliases", "Write the values out"),
    task("an alias bomb for answers", BOMB + TASK.replace("[yes, no]", "*l9"), "aliases"),
    task("a tag that makes objects", "!!python/object/apply:os.mkdir [hit]", "mapping"),
    task("a tag that makes names", TASK.replace("Say it.", "!!python/name:os.mkdir {}")),
    task("an escape in its name", TASK.replace("name: t", 'name: "\\e]0;x\\a"'), "name"),
    task("an escape in a key", TASK + '"\\e]0;x\\a": 1\n', "\\x1b]0;x\\x07"),
    task("half a character", TASK.replace("Say it.", '"\\ud83d"'), "instruction"),
    task("a list for a key", TASK + "[a, b]: c\n", "YAML"),
    task("two megabytes", TASK + "#" * 2**21, "2,097,", "at most"),
    Case(
        "task: data outside its folder",
        "score task:FILE --task FILE --model TINY --out new",
        ("etc/passwd",),
        "bad.yaml",
        TASK + "data: ../../../etc/passwd\n",
    ),
]

CARD = {"name": "mine", "model": "m", "hub_ids": [], "recipe": "r", "source": "s"} | {
    **{"slope": 0.5, "intercept": 0.3, "residual_sd": 0.1, "tasks": 8}
}
CARDS = [
    card("10,000 deep", '{"a": ' + nested(10_000) + "}", "JSON", "depth"),
    card("NaN", CARD | {"slope": float("nan")}, "slope"),
    card("a text for the slope", CARD | {"slope": ESC}, "slope"),
    card("an escape for a key", CARD | {ESC: 1}, "\\x1b]0;owned\\x07"),
]

RECIPES = [
    recipe("aliases", BOMB + "method: full\n", "aliases"),
    recipe("a tag", "method: !!python/name:os.system {}\nlearning_rate: 1\n", "method"),
    recipe("NaN", "method: full\nlearning_rate: .nan\n", "learning_rate"),
    recipe("an unknown key", f"method: full\nlearning_rate: 1e-5\n'{'x' * 3}': 1\n", "'xxx'"),
]

LLAMA = json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]})
REMOTE = {"auto_map": {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}}
INDEX = "m__model_dot_safetensors_dot_index_dot_json"


def weights(config: str, **more: str) -> dict[str, str | bytes]:
    return {"m__config_dot_json": config, "m__model_dot_safetensors": b"x", **more}


MODELS = [
    model(
        "code of its own",
        "runs none",
        m__evil_dot_py="open('hit', 'w')",
        **weights(json.dumps({"model_type": "evil"} | REMOTE)),
    ),
    model("an unknown type", **weights('{"model_type": "evil"}')),
    model(
        "adapters that name another model",
        *("adapters", "Merge"),
        m__adapter_config_dot_json='{"base_model_name_or_path": "nobody/nothing"}',
        **weights(LLAMA),
    ),
    model(
        "adapters alone, as they are saved",
        *("adapters", "Merge"),
        m__adapter_config_dot_json='{"base_model_name_or_path": "nobody/nothing"}',
        m__adapter_model_dot_safetensors=b"x",
    ),
    model(
        "an index that leads out",
        "'../../x.safetensors'",
        **weights(LLAMA, **{INDEX: '{"weight_map": {"a": "../../x.safetensors"}}'}),
    ),
    model(
        "an index of pickles",
        "'a.bin'",
        **weights(LLAMA, **{INDEX: '{"weight_map": {"a": "a.bin"}}'}),
    ),
    model("a list for a config", **weights("[]")),
    model("weights that are none", **weights(LLAMA) | {"m__model_dot_safetensors": b"\xff" * 8}),
]


def of_run(name: str, command: str, file: str, content: Any, *says: str) -> Case:
    """A run folder with one hostile file."""
    text = content if isinstance(content, str | bytes) else json.dumps(content) + "\n"
    return Case(f"run: {name}", command, says, more={f"run/{file}": text})


EXPORT = "label run --export a.csv"
FORECAST = "forecast run"
ROW = {"id": "a", "index": 0, "set": "low", "batch": 0, "text": "a"}
RUN: dict[str, Any] = {"question": {"task": None, "pool_digest": "x", "seed": 0}, "facts": {}}
WHO: dict[str, Any] = {"name": "m", "hub_id": None, "fingerprint": "f", "architecture": {}}
SCORED = {"budget": 50, "score": 0.5, "test_size": 9, "recipe": "r"}


def asked(**values: Any) -> dict[str, Any]:
    return {"step": "forecast", "asked": values}


RUNS = [
    of_run("deep", EXPORT, "run.json", '{"a":' + nested(10_000) + "}", "run.json", "damaged"),
    of_run("a negative seed", EXPORT, "run.json", RUN | {"question": {"seed": -1}}, "seed"),
    of_run("a text for a task", EXPORT, "run.json", RUN | {"question": {"task": "x"}}, "task"),
    of_run("a number for a pool", EXPORT, "run.json", RUN | {"facts": {"pool": 3}}, "pool"),
    of_run(
        "a list for a name", FORECAST, "run.json", RUN | {"facts": {"model": WHO | {"name": []}}}
    ),
    of_run("a text for an index", EXPORT, "draws.jsonl", ROW | {"index": "0"}, "line 1", "index"),
    of_run("a huge index", EXPORT, "draws.jsonl", ROW | {"index": 2**70}, "line 1", "index"),
    of_run("a path for a set", EXPORT, "draws.jsonl", ROW | {"set": "../x"}, "line 1", "set"),
    of_run("draws, 10,000 deep", EXPORT, "draws.jsonl", nested(10_000) + "\n", "line 1", "damaged"),
    of_run("labels without answers", EXPORT, "labels.jsonl", ROW, "labels.jsonl line 1", "label"),
    of_run("a list for a label", EXPORT, "labels.jsonl", ROW | {"label": []}, "line 1"),
    of_run("CoS-Low of 2", FORECAST, "coslow.json", {"coslow": 2}, "coslow.json"),
    of_run("CoS-Low of NaN", FORECAST, "coslow.json", '{"coslow": NaN}', "coslow.json"),
    of_run("a list for a manifest", FORECAST, "manifests/coslow.json", [], "coslow.json"),
    of_run("a score above 1", FORECAST, "observations.jsonl", SCORED | {"score": 9.0}, "score"),
    of_run("no test", FORECAST, "observations.jsonl", SCORED | {"test_size": 0}, "test_size"),
    of_run("an odd level", "report run", "manifests/forecast.json", asked(level="x"), "level"),
    of_run("an unknown option", "report run", "manifests/forecast.json", asked(exec="x")),
]

SWEEP = {
    **{"model": WHO, "recipe": {"name": "r"}, "recipe_digest": "d", "test_size": 9},
    **{"split_seed": 0, "max_new_tokens": 4, "tasks": {}, "budgets": [0], "seeds": [1]},
}
ENTRY: dict[str, Any] = {
    "task": {"name": "t", "instruction": "Say it.", "inputs": ["text"], "answer": "label"},
    **{"data": "pool.jsonl", "test_data": None, "test_digest": "x"},
}
RESULT = {
    **{"task": "t", "model": "m", "budget": 0, "seed": 1, "metric": "accuracy"},
    **{"score": "x", "test_size": 9, "seconds": 1.0, "error": ""},
}


def of_sweep(name: str, content: Any, *says: str, rows: str = "") -> Case:
    more = {"sw__sweep_dot_json": content if isinstance(content, str) else json.dumps(content)}
    if rows:
        more["sw__scores_dot_jsonl"] = rows
    return plain(f"sweep: {name}", "calibrate sw --name x", *says, **more)


SWEEPS = [
    of_sweep("10,000 deep", '{"tasks":' + nested(10_000) + "}", "sweep.json", "damaged"),
    of_sweep("a text for a budget", SWEEP | {"budgets": ["x"]}, "sweep.json", "budgets"),
    of_sweep("a number for a task", SWEEP | {"tasks": {"t": 3}}, "sweep.json", "tasks.t"),
    of_sweep("a path for a name", SWEEP | {"tasks": {"../../x": ENTRY}}, "'../../x'"),
    of_sweep(
        "a task with a path for a name",
        SWEEP | {"tasks": {"../x": ENTRY | {"task": ENTRY["task"] | {"name": "../x"}}}},
        *("sweep.json", "name"),
    ),
    of_sweep(
        "a text for a score",
        SWEEP | {"tasks": {"t": ENTRY}},
        *("scores.jsonl line 1", "score"),
        rows=lines(RESULT),
    ),
]

WORDS_OF_COMMANDS = [
    plain("--target 1e400", f"{KNOWN} --target=1e400", "--target"),
    plain("--ceiling nan", f"{KNOWN} --ceiling=nan", "--ceiling"),
    plain("a budget of 400 digits", f"{KNOWN} --budget={'9' * 400}", "--budget"),
    plain("--set of a path", "label run --export a.csv --set ../x", "--set"),
    plain("an escape in a name", f"label {ESC} --export a.csv", "\\x1b]0;owned\\x07"),
    plain("an escape in an option", f"score pool.jsonl --{ESC}", "\\x1b]0;owned\\x07"),
    plain("an escape in a card's name", f"calibrations {ESC}", "\\x1b]0;owned\\x07"),
    plain("a name that reverses the text", "label gpj.\u202eexe --export a.csv", "\\u202e"),
    plain("half a character", "label \udcff --export a.csv", "argument 2", "UTF-8"),
]

CASES = [
    *(*POOLS, *LABELS, *TASKS, *CARDS, *RECIPES, *RUNS, *SWEEPS, *MODELS, *WORDS_OF_COMMANDS),
]
