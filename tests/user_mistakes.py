"""Mistakes that users make, each with the command, its file, and what the message must say."""

from __future__ import annotations

from typing import Any

from bad_input import (
    AGAIN,
    CHOICE,
    IMPORT,
    KNOWN,
    LABELLED,
    MODEL,
    RECORD,
    SCORE,
    STUDIO,
    TASK,
    WORDS,
    Case,
    foreign,
    labelled,
    lines,
    parquet,
    plain,
    pool,
    task,
)

POOLS = [
    Case("pool: missing file", SCORE, ("no.jsonl", "no such file"), "no.jsonl"),
    pool("empty file", "p.jsonl", "", "p.jsonl", "empty"),
    pool("empty JSON array", "p.json", "[]", "p.json", "no records"),
    pool("blank lines only", "p.jsonl", "\n\n", "p.jsonl", "no records"),
    Case("pool: a folder", SCORE, ("run", "a folder"), "run"),
    pool("unknown extension", "p.docx", "x", "p.docx", "'.docx'", ".csv"),
    pool("no workbook", "p.xlsx", "x", "p.xlsx", "Excel"),
    pool("no extension", "p", "x", "unknown ending"),
    pool(
        "latin-1", "p.jsonl", '{"text": "caf\xe9"}\n'.encode("latin-1"), "p.jsonl", "UTF-8 text ("
    ),
    pool(
        "a broken line 17",
        "p.jsonl",
        lines(*WORDS[:16]) + '{"text": "wor\n' + lines(*WORDS[17:]),
        "p.jsonl line 17",
        "not valid JSON",
    ),
    pool("a line without an object", "p.jsonl", lines(*WORDS[:3], [1, 2]), "line 4", "object"),
    pool("JSON without an array", "p.json", "{}", "p.json", "array"),
    pool("JSON, two arrays", "p.json", '{"a": [{"x": 1}], "b": [{"x": 1}]}', "'a', 'b'"),
    pool(
        "a broken array",
        "p.json",
        '[{"text": "a"}, {"text": "b"}',
        "p.json",
        "not valid JSON",
        "column 30",
    ),
    pool("CSV, too many columns", "p.csv", "text,n\na,1\nb,2,3\n", "p.csv line 3", "3 values"),
    pool("CSV, unclosed quote", "p.csv", 'text,n\na,1\n"b,2\n', "p.csv line", "not valid CSV"),
    pool("CSV, a column twice", "p.csv", "text,text\na,b\n", "line 1", "'text'", "twice"),
    pool("CSV, only a header", "p.csv", "text,n\n", "p.csv", "no records"),
    pool("CSV, no header", "p.csv", "\n\n", "p.csv line 1", "header"),
    pool("corrupt Parquet", "p.parquet", b"PAR1" + bytes(90) + b"PAR1", "p.parquet", "Parquet"),
    pool("Parquet without rows", "p.parquet", parquet(text=[]), "p.parquet", "no records"),
    pool(
        "different columns",
        "p.jsonl",
        lines(*WORDS[:20], {"body": "x"}),
        "p.jsonl line 21",
        "no field 'text'",
        "body",
    ),
    pool("missing field", "p.csv", "body\nx\n", "p.csv line 2", "no field 'text'", "body"),
    pool("only nulls", "p.parquet", parquet(text=[None, None]), "every record", "text"),
    pool("NaN in JSON", "p.jsonl", '{"text": "a"}\n{"text": NaN}\n', "line 2", "nan"),
    pool("NaN in an array", "p.json", '[{"text": NaN}]', "record 1", "nan"),
    pool("NaN in Parquet", "p.parquet", parquet(text=[1.0, float("nan")]), "row 2", "nan"),
    pool("nested object", "p.jsonl", lines({"text": {"a": 1}}), "line 1", "'text'", "dict"),
    pool("nested lists", "p.jsonl", lines({"text": [["a"]]}), "line 1", "'text'", "list"),
    pool("bytes", "p.parquet", parquet(text=[b"a"]), "row 1", "'text'", "bytes"),
    pool("half a character", "p.jsonl", '{"text": "a\\ud83d"}\n', "line 1", "character 2"),
    pool("all blank", "p.jsonl", lines({"text": "  "}, {"text": None}), "every record", "blank"),
    pool(
        "one id twice",
        "p.jsonl",
        lines(*({"id": n % 9, **word} for n, word in enumerate(WORDS))),
        "records 1 and 10",
        "same id",
    ),
    pool(
        "ids on some records",
        "p.jsonl",
        lines({"id": 1, "text": "a"}, {"text": "b"}),
        "p.jsonl line 2",
        "'id'",
    ),
    pool("too small", "p.jsonl", lines(*WORDS[:5]), "5 examples", "--n-label"),
    pool("too small without duplicates", "p.jsonl", lines(*WORDS[:5] * 4), "5 examples"),
    plain("pool: not rendered and no task", "score pool.jsonl --out new", "input_text", "--task"),
    Case(
        "pool: empty prompt",
        "score FILE --out new",
        ("every record", "input_text"),
        "p.jsonl",
        lines({"input_text": " "}),
    ),
    plain("generated: unknown", "score generated:nothing:9 --out new", "boolean_expressions"),
    plain("generated: no size", "score generated:hyperbaton --out new", "NAME:SIZE"),
    plain("hub: unknown", "score hub:nobody/nothing --task task.yaml --out new", "nobody/nothing"),
    plain("hub: too many parts", "score hub:a/b:c:d:e --out new", "CONFIG"),
]


def studio(**annotation: Any) -> dict[str, Any]:
    return STUDIO | {"annotations": [annotation]}


def answered(*values: Any) -> dict[str, Any]:
    return RECORD | {"responses": {"label": [{"value": v, "status": "submitted"} for v in values]}}


FOREIGN = [
    foreign("Label Studio, annotations", STUDIO | {"annotations": 3}, "'annotations'", "a list"),
    foreign("Label Studio, result", studio(result="yes"), "'result'", "a list", "str"),
    foreign(
        "Label Studio, two choices",
        studio(result=[{"value": {"choices": ["yes", "no"]}}]),
        "several answers (no, yes)",
    ),
    foreign("Label Studio, data", {"data": 3}, "'data'", "an object", form="label-studio"),
    foreign("Prodigy, accept", CHOICE | {"accept": "yes"}, "'accept'", "a list"),
    foreign("Prodigy, two accepted", CHOICE | {"accept": ["yes", "no"]}, "'accept'", "several"),
    foreign("Prodigy, an option", CHOICE | {"accept": [{}]}, "'accept'", "ids"),
    foreign("Prodigy, a decision", CHOICE | {"answer": 1}, "'answer'", "accept, reject, ignore"),
    foreign("Argilla, responses", RECORD | {"responses": {"label": 3}}, "'label'", "a list"),
    foreign("Argilla, two users", answered("yes", "no"), "'label'", "several answers (no, yes)"),
    foreign("Argilla, fields", RECORD | {"fields": 3}, "'fields'", "an object", form="argilla"),
    plain(
        "import: unknown format", "label run --import pool.jsonl --format xml", "--format", "csv"
    ),
    plain("import: unknown extension", "label run --import a.txt", "'.txt'", a_dot_txt="x"),
    plain(
        "export: over a configuration",
        "label run --export a.json",
        "a.config.xml",
        "already",
        a_dot_config_dot_xml="<View/>",
    ),
]

LABELS = [
    labelled("no answer field", lines(*WORDS[:8]), "l.jsonl line 1", "'label'"),
    labelled(
        "empty answer", lines(*LABELLED, {"text": "x", "label": " "}), "line 9", "'label'", "empty"
    ),
    labelled("null answer", lines(*LABELLED, {"text": "x", "label": None}), "line 9", "missing"),
    labelled(
        "not allowed", lines(*LABELLED, {"text": "x", "label": "yess"}), "line 9", "mean 'yes'"
    ),
    labelled("only one", lines(LABELLED[0]), "2"),
    labelled(
        "longer than the context",
        lines(*LABELLED[:3], {"text": "x" * 400, "label": "yes"}),
        "l.jsonl line 4",
        "reads at most 256",
    ),
    labelled("one id twice", lines(*({"id": 1, **row} for row in LABELLED)), "id"),
    Case("import: missing file", IMPORT, ("no.jsonl", "no such file"), "no.jsonl"),
    Case("import: broken JSON", IMPORT, ("a.json", "valid JSON"), "a.json", "[{"),
    Case("import: JSON without an array", IMPORT, ("a.json", "array"), "a.json", "{}"),
    Case("import: JSON, no records", IMPORT, ("a.json", "no records"), "a.json", "[]"),
    Case("import: JSON with a number", IMPORT, ("a.json record 1", "object"), "a.json", "[3]"),
    plain("import with --more", "label run --import pool.jsonl --more 2", "--import"),
    plain("import with --set", "label run --import pool.jsonl --set low", "--set", "every set"),
    plain("--more for another set", "label run --more 2 --set low", "--set low", "--select METHOD"),
    plain("--group-by at random", "label run --more 2 --group-by text", "--group-by", "--select"),
    plain("--target at random", "label run --more 2 --target pool.jsonl", "--target", "--select"),
    plain("--force alone", "label run --more 2 --force", "--force", "--export"),
    plain("label: no such run", "label nowhere --export a.csv", "nowhere", "no such run"),
    plain("label: no run folder", "label .", "not a run folder"),
    plain("label: unknown format", "label run --export a.csv --format xml", "label-studio"),
    plain("label: unknown export extension", "label run --more 2 --export a.xml", "--format"),
    plain("label: unknown set", "label run --export a.csv --set all", "--set all", "random"),
    plain("label: an empty set", "label run --export a.csv --set test", "test"),
    plain("label: more than left", "label run --more 33", "33", "32 left"),
    plain("label: both, more than left", "label run --more 20 --test 20", "20", "12 left"),
    plain("label: --more 0", "label run --more 0", "0 examples"),
    plain("label: over the pool", "label run --export pool.jsonl", "pool.jsonl", "already"),
    plain(
        "label: over other data",
        "label run --export other.csv",
        "other.csv",
        "already",
        other_dot_csv="text,label\nx,yes\n",
    ),
]

TASKS = [
    plain(
        "task: unknown name",
        "score pool.jsonl --task boolean_expresions --out new",
        "mean 'boolean_expressions'",
    ),
    task("empty", "", "mapping"),
    task("a list", "- a\n- b\n", "mapping", "instruction"),
    task("binary", bytes(range(256)), "UTF-8"),
    task("invalid YAML", "name: [t\ninstruction: x\n", "not valid YAML", "line 2"),
    task("a key twice", TASK + "name: u\n", "'name'", "twice"),
    task("a typo", TASK.replace("answers", "anwsers"), "'anwsers'", "mean 'answers'"),
    task("a typo in an input", TASK.replace("[text]", "[{feild: text}]"), "mean 'field'"),
    task("missing key", TASK.replace("instruction: Say it.\n", ""), "'instruction'", "missing"),
    task("unknown metric", TASK + "metric: f1\n", "metric", "macro_f1"),
    task("ceiling 1.5", TASK + "ceiling: 1.5\n", "ceiling.score"),
    task("ceiling NaN", TASK + "ceiling: {score: .nan}\n", "ceiling.score"),
    task("an answer twice", TASK.replace("yes, no", "yes, no, yes"), "answer", "twice"),
    task("answer among inputs", TASK.replace("[text]", "[label]"), "'label'", "input field"),
    task("an input twice", TASK.replace("[text]", "[text, text]"), "text", "twice"),
    task("inputs without labels", TASK.replace("[text]", "[text, more]"), "label"),
    task("bad name", TASK.replace("name: t", "name: ../t"), "name"),
    Case(
        "task: a field that a run needs",
        "score FILE --task set.yaml --out new",
        ("'set'", "Rename"),
        "p.csv",
        "set\nx\n",
        {"set.yaml": TASK.replace("[text]", "[set]")},
    ),
    plain("init: an existing file", "init pool.jsonl --out task.yaml", "task.yaml", "--force"),
    plain("init: no such input", "init pool.jsonl --input body --out a.yaml", "body", "text"),
    Case(
        "init: nothing to read", "init FILE --out a.yaml", ("n.csv", "--input"), "n.csv", "n\n1\n"
    ),
]

MODELS = [
    plain("model: no such thing", f"{MODEL} nothing", "'nothing'", "smollm2"),
    plain("model: hub is off", f"{MODEL} nobody/nothing", "nobody/nothing", "hub"),
    plain("model: another folder", f"{MODEL} run", "config.json"),
    plain("model: a file", f"{MODEL} task.yaml", "task.yaml", ".gguf"),
    plain(
        "model: pickled weights",
        f"{MODEL} m",
        "pickled",
        m__config_dot_json="{}",
        m__pytorch_model_dot_bin=b"x",
    ),
    plain(
        "model: broken config", f"{MODEL} m", "m", m__config_dot_json="{", m__a_dot_safetensors=""
    ),
    plain("model: .gguf missing", f"{MODEL} m.gguf", "m.gguf", "no such file"),
    plain("model: not a .gguf file", f"{MODEL} m.gguf", "m.gguf", m_dot_gguf=b"nope"),
    plain("model: .gguf broken", f"{MODEL} m.gguf", "m.gguf", m_dot_gguf=b"GGUF" + bytes(40)),
    plain("model: markup in the name", f"{MODEL} [/red]", "'[/red]'"),
    plain("model: no chat template", f"{MODEL} PLAIN", "chat template", "input_text"),
    plain("--device cuda:99", f"{MODEL} TINY --device cuda:99", "--device cuda:99"),
    plain("--device nonsense", f"{MODEL} TINY --device nonsense", "--device nonsense"),
    plain("--dtype float7", f"{MODEL} TINY --dtype float7", "--dtype float7", "bfloat16"),
    plain("--batch-size 0", f"{MODEL} TINY --batch-size 0", "--batch-size 0"),
    plain("--max-new-tokens 0", f"{MODEL} TINY --max-new-tokens 0", "--max-new-tokens 0"),
    plain("--max-new-tokens 256", f"{MODEL} TINY --max-new-tokens 256", "reads 256 tokens at most"),
    plain("--n-label 1", f"{MODEL} TINY --n-label 1", "--n-label 1"),
    plain("--n-label -5", f"{MODEL} TINY --n-label -5", "--n-label -5"),
    plain("--seed -1", f"{MODEL} TINY --seed -1", "--seed"),
    plain("--n-label x", f"{MODEL} TINY --n-label x", "--n-label"),
    plain("no --out", "score pool.jsonl", "--out"),
    plain("unknown option", "score pool.jsonl --ot new", "--ot", "`labelcast score --help`"),
    plain("unknown command", "scoer pool.jsonl", "score"),
]

RUNS = [
    plain("run: with another seed", f"{AGAIN} --seed 1", "seed", "0", "1"),
    plain("run: with another n", AGAIN.replace("--n-label 8", "--n-label 9"), "n_label"),
    plain("run: with another model", AGAIN.replace("TINY", "OTHER"), "run", "model"),
    Case(
        "run: with another task",
        AGAIN.replace("task.yaml", "FILE"),
        ("run", "task's instruction", "'Tell it.'"),
        "u.yaml",
        TASK.replace("Say", "Tell"),
    ),
    Case(
        "run: with another pool",
        AGAIN.replace("pool.jsonl", "FILE"),
        ("run", "pool"),
        "p.jsonl",
        lines(*WORDS[:30]),
    ),
    plain(
        "run: a folder with other files",
        AGAIN.replace("--out run", "--out full"),
        "full",
        "not empty",
        full__a_dot_txt="x",
    ),
    plain("run: a file", AGAIN.replace("--out run", "--out task.yaml"), "task.yaml", "a file"),
    plain("run: coslow before labels", "coslow run --model TINY", "0 of 8", "--export"),
    plain("run: coslow of another model", "coslow run --model OTHER", "model"),
    plain("run: coslow with a task", "coslow run --task task.yaml", "--task", "of its own"),
    plain("run: coslow of no run", "coslow .", "run.json"),
    plain("run: forecast before coslow", "forecast run", "CoS-Low", "labelcast coslow"),
    plain("run: forecast without a run", "forecast nowhere", "nowhere", "labelcast score"),
    plain("run: damaged run.json", "label run", "run.json", "damaged", run__run_dot_json="{"),
    plain("run: a list in run.json", "label run", "run.json", run__run_dot_json="[]"),
    plain("run: damaged draws", "label run --export a.csv", "line 1", run__draws_dot_jsonl="{\n"),
    plain(
        "run: damaged confidences",
        "label run --more 2",
        "confidence.parquet",
        "damaged",
        run__confidence_dot_parquet=b"PAR1" + bytes(50),
    ),
    plain("run: damaged CoS-Low", "forecast run", "coslow.json", run__coslow_dot_json="{}"),
]

ENGINES = [
    plain("--engine spark", f"{AGAIN} --engine spark", "--engine spark", "local, ray or vllm"),
    plain("--workers 0", f"{AGAIN} --engine ray --workers 0", "--workers 0", "at least 1"),
    plain("--workers without ray", f"{AGAIN} --workers 2", "--workers", "--engine ray"),
    plain("two GPUs a worker", f"{AGAIN} --engine ray --gpus-per-worker 2", "--gpus-per-worker 2"),
    plain("--address without ray", f"{AGAIN} --address auto", "--address", "--engine ray"),
]


def scores(name: str, content: str | bytes | None, *says: str, file: str = "s.csv") -> Case:
    return Case(f"scores: {name}", "forecast --scores FILE", says, file, content)


FORECASTS = [
    plain("--target 1.5", f"{KNOWN} --target 1.5", "--target", "1.5"),
    plain("--target 0", f"{KNOWN} --target 0", "--target"),
    plain("--target nan", f"{KNOWN} --target nan", "--target", "nan"),
    plain("--level 1", f"{KNOWN} --level 1", "--level"),
    plain("--coslow 2", "forecast --coslow 2 --calibration pooled", "coslow", "2"),
    plain("nothing given", "forecast", "--coslow"),
    plain("a run and --coslow", "forecast run --coslow 0.4", "--coslow"),
    plain("zero-shot above ceiling", f"{KNOWN} --zero-shot 0.9 --ceiling 0.8", "--zero-shot 0.9"),
    plain(
        "target above ceiling",
        f"{KNOWN} --zero-shot 0.5 --ceiling 0.8 --target-score 0.9",
        "--target-score 0.9",
    ),
    plain(
        "two targets",
        f"{KNOWN} --target 0.9 --target-score 0.7 --zero-shot 0.5 --ceiling 0.8",
        "--target-score",
    ),
    plain("--ceiling 0", "forecast --observe 50=0 --ceiling=-0", "--ceiling 0"),
    plain("a score in percent", f"{KNOWN} --zero-shot 52 --ceiling 0.9", "0.52"),
    plain("--observe garbage", f"{KNOWN} --observe garbage", "--observe garbage", "N=SCORE"),
    plain("--observe -5=0.5", f"{KNOWN} --zero-shot 0.1 --ceiling 1 --observe=-5=0.5", "--observe"),
    plain("--observe 50=nan", f"{KNOWN} --zero-shot 0.1 --ceiling 1 --observe 50=nan", "50"),
    plain("--budget -1", f"{KNOWN} --budget -1", "--budget"),
    plain("--horizon 0", f"{KNOWN} --horizon 0", "--horizon", "1,000,000"),
    plain("--horizon 10^7", f"{KNOWN} --horizon 10000000", "--horizon", "1,000,000"),
    plain("--scale 0", f"{KNOWN} --scale 0", "--scale"),
    plain("--scale with a loss", f"{KNOWN} --scale 100 --metric loss", "--scale", "--metric error"),
    plain("--metric f1", f"{KNOWN} --metric f1", "--metric", "score, error, loss"),
    plain(
        "a loss that is a score", f"{KNOWN} --metric score --lower-is-better", "--lower-is-better"
    ),
    plain("a negative loss", "forecast --observe 50=-1 --lower-is-better", "--observe 50"),
    plain("a score above the scale", "forecast --observe 50=120 --scale 100", "--observe 50"),
    plain("--label-cost -1", f"{KNOWN} --label-cost -1", "--label-cost"),
    plain("--run-cost alone", f"{KNOWN} --run-cost 5", "--run-cost", "--label-cost"),
    scores("missing", None, "s.csv", "cannot be read"),
    scores("empty", "", "s.csv", "no scores", "n,score"),
    scores("only a header", "n,score\n", "s.csv", "no scores"),
    scores("other columns", "epoch,loss\n1,2\n", "s.csv line 1", "such as n", "epoch, loss"),
    scores("no column of labels", "score\n0.5\n", "s.csv line 1", "labels"),
    scores("a column twice", "n,score,score\n5,.5,.6\n", "s.csv line 1", "'score'", "twice"),
    scores("two columns of labels", "n,budget,score\n5,5,.5\n", "line 1", "'n'", "'budget'"),
    scores("a comma that may be a thousand", "n;score\n1,000;0,5\n", "line 2", "'n'", "'1,000'"),
    scores("not a number", "n,score\n50,0.7\n60,high\n", "s.csv line 3", "'score'", "'high'"),
    scores("an empty field", "n,score\n50,\n", "s.csv line 2", "'score'", "empty"),
    scores("a value too many", "n,score\n50,0.7,1\n", "s.csv line 2", "3 values"),
    scores("a fraction of a label", "n,score\n50.5,0.7\n", "s.csv line 2", "labels", "50.5"),
    scores("NaN", "n,score\n50,nan\n", "s.csv line 2", "nan"),
    scores("percent", "n,score\n50,0.7\n60,71\n", "s.csv line 3", "71", "--scale 100"),
    scores("a negative sd", "n,score,sd\n50,0.7,-1\n", "s.csv line 2", "sd"),
    scores("an unclosed quote", 'n,score\n"50,0.7\n', "s.csv line", "not valid CSV"),
    scores("not UTF-8", "n,score\n50,0.7 \xe9\n".encode("latin-1"), "s.csv", "UTF-8"),
    scores(
        "another extension",
        "n,score\n50,0.7\n",
        "s.txt",
        ".csv, .tsv, .xlsx or .jsonl",
        file="s.txt",
    ),
    scores("broken JSON", '{"n": 50,\n', "s.jsonl line 1", "JSON", file="s.jsonl"),
    scores(
        "JSON with other fields",
        '{"n": 50, "score": 0.5}\n{"n": 60, "quality": 0.5}\n',
        *("s.jsonl line 2", "score", "quality"),
        file="s.jsonl",
    ),
    scores("JSON with true", '{"n": true, "score": 0.5}\n', "line 1", "'n'", file="s.jsonl"),
    plain("scores: a folder", "forecast --scores run.csv", "run.csv", "folder", run_dot_csv__a="x"),
    plain("unknown card", "forecast --coslow 0.4 --calibration lama", "llama"),
    plain("card: no file", "forecast --coslow 0.4 --calibration no.json", "no.json"),
    Case(
        "card: a key missing",
        "forecast --coslow 0.4 --calibration ./FILE",
        ("card.json", "slope"),
        "card.json",
        "{}",
    ),
    plain("calibrations: unknown", "calibrations nothing", "nothing", "pooled"),
]

CASES = [*POOLS, *LABELS, *FOREIGN, *TASKS, *MODELS, *RUNS, *ENGINES, *FORECASTS]
