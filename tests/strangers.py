"""What an enemy may hand over: files, folders and command lines, each with what is answered.

Beside `mistakes`, which holds what a user may do wrong without meaning it.
"""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from cases import (
    COSLOW,
    IMPORT,
    KNOWN,
    LABELLED,
    MODEL,
    TASK,
    WORDS,
    Case,
    deep,
    lines,
    parquet,
    plain,
    pool,
    task,
)
from mistaken_labels import (
    RECORD,
    STUDIO,
    foreign,
)
from strangers_runs import RUNS, SWEEPS

ESC = "\x1b]0;owned\x07\x1b[2J"
"""Sets a terminal's title and clears its screen."""

GOOD = lines(*WORDS)


def table(column: pa.Array, name: str = "text") -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({name: column}), buffer)
    return buffer.getvalue()


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
    pool("gzip named .jsonl", "p.jsonl", gzip.compress(GOOD.encode()), "p.jsonl", "UTF-8"),
    pool("gzip named .csv", "p.csv", gzip.compress(b"text\nx\n"), "p.csv", "UTF-8"),
    pool("gzip with its own ending", "p.jsonl.gz", gzip.compress(b"{}"), "'.gz'", ".jsonl"),
    pool("gzip named .parquet", "p.parquet", gzip.compress(b"PAR1" * 99), "p.parquet", "Parquet"),
    pool("UTF-16 array", "p.json", json.dumps(WORDS).encode("utf-16"), "p.json"),
    pool("UTF-32", "p.jsonl", GOOD.encode("utf-32"), "p.jsonl", "UTF-8"),
    pool("UTF-16 CSV with mark", "p.csv", "text\nx\n".encode("utf-16"), "p.csv", "UTF-8"),
    pool("a null character in JSON", "p.jsonl", '{"text": "a\0b"}\n', "line 1", "valid JSON"),
    pool("null characters in a header", "p.csv", "te\0xt\nx\n", "line 1", "UTF-8"),
    pool("a mark twice", "p.jsonl", "\ufeff\ufeff" + GOOD, "line 1", "valid JSON"),
    pool("100,000 digits", "p.json", f'[{{"text": {"9" * 100_000}}}]', "p.json"),
    pool("1e400 in an array", "p.json", '[{"text": 1e400}]', "p.json", "overflow"),
    pool("-1e400", "p.jsonl", '{"text": -1e400}\n', "line 1", "inf"),
    pool("array, opened 10,000 times", "p.json", "[" * 10_000, "p.json"),
    pool("array, 10,000 deep", "p.json", f'[{{"text": {deep(10_000)}}}]', "p.json"),
    pool("10,000 deep", "p.jsonl", f'{{"text": {deep(10_000)}}}\n', "line 1", "too deep"),
    pool(
        "10,000 objects deep in another field",
        "p.jsonl",
        lines(*WORDS[:5]) + '{"text": "a", "x": ' + '{"a":' * 10_000 + "1" + "}" * 10_001 + "\n",
        "line 6",
        "too deep",
    ),
    pool("a key twice", "p.jsonl", '{"text": "a", "text": "b"}\n', "line 1", "'text'", "twice"),
    pool("a key twice in an array", "p.json", '[{"text": "a", "text": "b"}]', "record 1", "twice"),
    pool("half a character in a key", "p.jsonl", '{"\\ud83d": "a"}\n', "line 1", "\\ud83d"),
    pool("half a character in an id", "p.jsonl", lines({"id": "\ud83d", "text": "b"}), "'id'"),
    pool("encoded halves", "p.jsonl", b'{"text": "\xed\xa0\x80"}\n', "p.jsonl", "UTF-8"),
    pool("encoded halves, array", "p.json", b'[{"text": "\xed\xa0\x80"}]', "p.json", "UTF-8"),
    pool("an escape in a key", "p.jsonl", lines({ESC: "a"}), "line 1", "\\x1b]0;owned\\x07"),
    pool("an escape in a header", "p.csv", "\x1b[2J\nx\n", "line 2", "\\x1b[2J"),
    pool("an escape in an id", "p.jsonl", lines({"id": {ESC: 1}, "text": "a"}), "'id'", "dict"),
    pool("an id that is an object", "p.jsonl", lines({"id": {"a": 1}, "text": "a"}), "'id'"),
    pool("an id that is NaN", "p.parquet", parquet(id=[float("nan")], text=["a"]), "'id'", "nan"),
    pool("numbers alone", "p.jsonl", "1\n2\n", "line 1", "object"),
    pool("null alone", "p.jsonl", "null\n", "line 1", "object"),
    pool("an empty object", "p.jsonl", "{}\n", "line 1", "'text'"),
    pool("an array of arrays", "p.json", "[[1]]", "p.json", "object"),
    pool("an array of null", "p.json", "[null]", "p.json", "object"),
    pool("an array and more", "p.json", json.dumps(WORDS[:2]) + "x", "p.json", "after record 2"),
    pool("a comment in an array", "p.json", "[ // no\n]", "p.json"),
    pool("-Infinity in an array", "p.json", '[{"text": -Infinity}]', "p.json"),
    pool("100,000 columns of one name", "p.csv", ",".join("c" * 100_000) + "\n", "'c'", "twice"),
    pool("a name of a million letters", "p.csv", "x" * 1_000_000 + "\n1\n", "line 2", "'text'"),
    pool("a quote of a million letters", "p.csv", 'text\n"' + "x" * 1_000_000, "not valid CSV"),
    pool("Parquet, a struct", "p.parquet", parquet(text=[{"a": 1}]), "row 1", "dict"),
    pool("Parquet, a time", "p.parquet", table(pa.array([1], pa.timestamp("s"))), "row 1"),
    pool("Parquet, a time out of time", "p.parquet", table(pa.array([2**62], pa.timestamp("us")))),
    pool("Parquet, no UTF-8", "p.parquet", table(INVALID_UTF8), "p.parquet"),
    pool("Parquet, no columns", "p.parquet", parquet(), "p.parquet"),
    pool("Parquet cut off", "p.parquet", parquet(text=["a"] * 99)[:-30], "p.parquet", "Parquet"),
]

LABELS = [
    Case(f"import: {name}", IMPORT, says, file, content)
    for name, file, content, says in (
        ("gzip", "a.jsonl", gzip.compress(b"{}"), ("a.jsonl", "UTF-8")),
        ("10,000 deep", "a.jsonl", '{"a":' + deep(10_000) + "}\n", ("line 1", "too deep")),
        ("array, 10,000 deep", "a.json", deep(10_000), ("a.json",)),
        ("null characters", "a.jsonl", "\0\0\0\n", ("line 1", "valid JSON")),
        ("an escape in its keys", "a.jsonl", lines({ESC: "a", "id": "x"}), ("a.jsonl",)),
        ("a key twice", "a.jsonl", '{"label": "yes", "label": "no"}\n', ("'label'", "twice")),
        ("Parquet that is none", "a.parquet", b"PAR1", ("a.parquet", "Parquet")),
        ("CSV with one column", "a.csv", "label\nyes\n", ("a.csv",)),
    )
    if name not in ("an escape in its keys", "CSV with one column")
] + [
    foreign("Label Studio, deep", STUDIO | {"annotations": [{"result": [[[[]]]]}]}, "item 1"),
    foreign("Argilla, deep", RECORD | {"responses": {"label": [[[[]]]]}}, "item 1"),
    foreign("Argilla, no texts", RECORD | {"responses": []}, "'responses'"),
    Case(
        "labelled: half a character",
        COSLOW,
        ("line 9", "half of a pair"),
        "l.jsonl",
        lines(*LABELLED, {"text": "x", "label": "\ud83d"}),
    ),
    Case(
        "labelled: an escape for an answer",
        COSLOW,
        ("line 9", "not among the allowed"),
        "l.jsonl",
        lines(*LABELLED, {"text": "x", "label": ESC}),
    ),
]

TASKS = [
    task("UTF-16", TASK.encode("utf-16"), "UTF-8"),
    task("two documents", TASK + "---\n" + TASK, "YAML"),
    task("100,000 brackets", "a: " + "[" * 100_000, "YAML"),
    task("2,000 deep", "a: " + deep(2000), "YAML"),
    task("a thousand million laughs", BOMB + TASK, "aliases", "Write the values out"),
    task("laughs for answers", BOMB + TASK.replace("[yes, no]", "*l9"), "aliases"),
    task("merged keys", "x: &x {a: 1}\n" + TASK + "<<: *x\n", "unknown key"),
    task("a tag that makes objects", "!!python/object/apply:os.mkdir [hit]", "mapping"),
    task("a tag that makes names", TASK.replace("Say it.", "!!python/name:os.mkdir {}")),
    task("a set", "!!set {a, b}", "unknown key"),
    task("null characters", TASK.replace("Say", "S\0ay"), "YAML"),
    task("an escape in its name", TASK.replace("name: t", 'name: "\\e]0;x\\a"'), "name"),
    task("an escape in a key", TASK + '"\\e]0;x\\a": 1\n', "\\x1b]0;x\\x07"),
    task("half a character", TASK.replace("Say it.", '"\\ud83d"'), "instruction"),
    task("a list for a key", TASK + "[a, b]: c\n", "YAML"),
    task("a name of 10,000 letters", TASK.replace("name: t", "name: " + "t" * 10_000), "80"),
    task("two megabytes", TASK + "#" * 2**21, "2,097,", "at most"),
    task("an instruction of keys", TASK.replace("Say it.", "{a: b}"), "instruction"),
    task("inputs of keys", TASK.replace("[text]", "{a: b}"), "inputs"),
    task("inputs in inputs", TASK.replace("[text]", "[[text]]"), "inputs"),
    task("two answer fields", TASK.replace("answer: label", "answer: [label]"), "answer"),
    task("answers of keys", TASK.replace("[yes, no]", "[{a: b}]"), "answers"),
    task("blank answers", TASK.replace("[yes, no]", "['', ' ']"), "blank"),
    task("ceiling 1e400", TASK + "ceiling: 1e400\n", "ceiling.score"),
    task("a ceiling of keys", TASK + "ceiling: {score: {a: b}}\n", "ceiling.score"),
    task("an anchor that is not there", TASK.replace("[yes, no]", "*nope"), "YAML"),
    task("YAML 9", "%YAML 9.9\n---\n" + TASK, "YAML"),
    Case(
        "task: data out of its folder",
        "score task:FILE --task FILE --model TINY --out new",
        ("etc/passwd",),
        "bad.yaml",
        TASK + "data: ../../../etc/passwd\n",
    ),
]

CARD = {
    "name": "mine",
    "model": "m",
    "hub_ids": [],
    "recipe": "r",
    "slope": 0.5,
    "intercept": 0.3,
    "residual_sd": 0.1,
    "tasks": 8,
    "source": "s",
}
CARDS = [
    card("an array", "[]", "object"),
    card("10,000 deep", '{"a": ' + deep(10_000) + "}", "too deep"),
    card("a key twice", '{"slope": 1, "slope": 2}', "'slope'", "twice"),
    card("UTF-16", json.dumps(CARD).encode("utf-16"), "JSON"),
    card("NaN", json.dumps(CARD | {"slope": float("nan")}), "slope"),
    card("1e400", json.dumps(CARD).replace("0.5", "1e400"), "slope"),
    card("100,000 digits", json.dumps(CARD).replace("0.5", "9" * 100_000)),
    card("a slope of words", CARD | {"slope": ESC}, "slope"),
    card("tasks below nothing", CARD | {"tasks": -8}, "tasks"),
    card("a spread below nothing", CARD | {"residual_sd": -1}, "residual_sd"),
    card("an escape for a key", CARD | {ESC: 1}, "\\x1b]0;owned\\x07"),
    card("points of another number", CARD | {"points": [{"task": "a", "coslow": 0, "auc": 0}]}),
    card("points of words", CARD | {"points": ["a"]}, "points"),
    card("lines of words", CARD | {"lines": [1, 2]}, "lines"),
]

RECIPES = [
    recipe("binary", bytes(range(256)), "read"),
    recipe("aliases", BOMB + "method: full\n", "aliases"),
    recipe("a tag", "method: !!python/name:os.system {}\nlearning_rate: 1\n", "method"),
    recipe("NaN", "method: full\nlearning_rate: .nan\n", "learning_rate"),
    recipe("1e400", "method: full\nlearning_rate: 1e400\n", "learning_rate"),
    recipe("steps below nothing", "method: full\nlearning_rate: 1e-5\nmax_steps: -1\n"),
    recipe("10^400 steps", f"method: full\nlearning_rate: 1e-5\nmax_steps: {'9' * 5000}\n"),
    recipe("deep", "method: " + deep(2000), "YAML"),
    recipe("an unknown key", f"method: full\nlearning_rate: 1e-5\n'{'x' * 3}': 1\n", "'xxx'"),
]

CONFIG = json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]})
REMOTE = {"auto_map": {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}}
MODELS = [
    model(
        "code of its own",
        "runs none",
        m__config_dot_json=json.dumps({"model_type": "evil"} | REMOTE),
        m__evil_dot_py="open('hit', 'w')",
        m__model_dot_safetensors=b"x",
    ),
    model(
        "an unknown kind",
        m__config_dot_json='{"model_type": "evil"}',
        m__model_dot_safetensors=b"x",
    ),
    model(
        "adapters that name another model",
        "adapters",
        "Merge",
        m__config_dot_json=CONFIG,
        m__model_dot_safetensors=b"x",
        m__adapter_config_dot_json='{"base_model_name_or_path": "nobody/nothing"}',
    ),
    model(
        "an index that leads out",
        "'../../x.safetensors'",
        m__config_dot_json=CONFIG,
        m__model_dot_safetensors=b"x",
        **{
            "m__model_dot_safetensors_dot_index_dot_json": json.dumps(
                {"weight_map": {"a": "../../x.safetensors"}}
            )
        },
    ),
    model(
        "an index of pickles",
        "'a.bin'",
        m__config_dot_json=CONFIG,
        m__model_dot_safetensors=b"x",
        **{"m__model_dot_safetensors_dot_index_dot_json": '{"weight_map": {"a": "a.bin"}}'},
    ),
    model("a config of lists", m__config_dot_json="[]", m__model_dot_safetensors=b"x"),
    model("10,000 deep", m__config_dot_json=deep(10_000), m__model_dot_safetensors=b"x"),
    model(
        "weights that are none",
        m__config_dot_json=CONFIG,
        m__model_dot_safetensors=b"\xff" * 8 + b"{}",
    ),
]

WILD = [
    *(
        plain(f"--{option} {value[:9]!r}", f"{KNOWN} --{option}={value}", f"--{option}")
        for option, values in {
            "target": ("inf", "-1", "1e400"),
            "level": ("inf", "-1", "0"),
            "ceiling": ("nan", "inf", "-1"),
            "zero-shot": ("nan", "inf", "-1"),
            "budget": ("9" * 400, "0x10"),
            "observe-size": ("-1", "0", "x"),
        }.items()
        for value in values
    ),
    plain("--observe 1e9=1", f"{KNOWN} --observe 1e9=1", "--observe"),
    plain("--observe =", f"{KNOWN} --observe =", "--observe"),
    plain("--format alone", "label run --format csv", "--format", "--export"),
    plain("--set of a path", "label run --export a.csv --set ../x", "--set"),
    plain("an escape in a name", f"label {ESC} --export a.csv", "\\x1b]0;owned\\x07"),
    plain("an escape in an option", f"score pool.jsonl --{ESC}", "\\x1b]0;owned\\x07"),
    plain("an escape in a card's name", f"calibrations {ESC}", "\\x1b]0;owned\\x07"),
    plain("a name that turns round", "label gpj.\u202eexe --export a.csv", "\\u202e"),
    plain("half a character", "label \udcff --export a.csv", "argument 2", "UTF-8"),
]

CASES = [*POOLS, *LABELS, *TASKS, *CARDS, *RECIPES, *RUNS, *SWEEPS, *MODELS, *WILD]
