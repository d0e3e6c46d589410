"""Randomly damaged files are read, or refused with a message that names the file."""

from __future__ import annotations

import copy
import json
import math
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from bad_input import CHOICE, LABELLED, RECORD, STUDIO, TASK, lines, parquet
from command_line import snapshot
from coslow_runs import answered_run
from example_runs import scored_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labelcast.errors import LabelcastError
from labelcast.files.untrusted import one_line
from labelcast.forecast import Calibration, forecast, particles, prior_draws
from labelcast.labels.transfer import export_rows, import_labels, read_file
from labelcast.report.content import gather
from labelcast.runs.label_store import count_labels, labelled_examples
from labelcast.runs.run import Run
from labelcast.sweeps.calibrate import calibrate
from labelcast.sweeps.probes import ProbeSettings
from labelcast.sweeps.sweep import Sweep
from labelcast.tasks.sources import open_source
from labelcast.tasks.task import Task
from labelcast.training.recipe import Recipe

# Replacements for a value: one of every type, and the edge cases.
JUNK: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**63, 10**400, 0.5, 1e308, -0.0, math.nan, math.inf),
    *("", " ", "x", "\n", "\x1b[2J", "\ud83d", "../x", "id", "text", "1", "x" * 2000),
    *([], [None], [[]], [1, "a"], {}, {"": None}, {"a": {"b": []}}, [{"a": 1}], [{}, []]),
)
BITS = (b"\0", b"\xff", b'"', b"\n", b"[", b"}", b"{", b",", b":", b"\\u", b"- ", b"\xed\xa0\x80")

fuzzed = partial(
    settings,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
RANDOM = st.randoms(use_true_random=False)


@pytest.fixture(autouse=True)
def quick_forecasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make forecasts fast and coarse: their values do not matter here."""
    monkeypatch.setattr("labelcast.report.content._targets", lambda *given: ())
    monkeypatch.setattr(prior_draws, "DRAWS", 256)
    monkeypatch.setattr(particles, "FEW", 2.0)
    monkeypatch.setattr(particles, "_AMPLE", 10.0)


def damaged(content: bytes, random: Random) -> bytes:
    """Bytes with a few pieces cut out, repeated, or inserted."""
    for _ in range(random.randint(1, 3)):
        begin = random.randint(0, len(content))
        end = min(begin + random.choice([0, 1, 1, 4, 50]), len(content))
        put = random.choice([b"", random.choice(BITS), content[begin:end] * 2, random.randbytes(4)])
        content = content[:begin] + put + content[end:]
    return content


def changed(value: Any, random: Random) -> Any:
    """JSON with one or two values replaced, removed, or renamed."""
    value = copy.deepcopy(value)
    for _ in range(random.randint(1, 2)):
        places = list(_places(value))
        if not places:
            return random.choice(JUNK)
        holder, key = random.choice(places)
        act = random.random()
        if act < 0.7:
            holder[key] = copy.deepcopy(random.choice(JUNK))
        elif act < 0.85:
            del holder[key]
        elif isinstance(holder, dict):
            holder[random.choice(["id", "text", "x", "", "\n"])] = holder.pop(key)
        else:
            holder.append(copy.deepcopy(holder[key]))
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a JSON value, with each of its keys or positions."""
    keys = value if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def as_lines(rows: Any) -> bytes:
    return lines(*rows).encode() if isinstance(rows, list) else as_json(rows)


def parsed(file: Path) -> Any:
    """The content of a JSON or JSON lines file."""
    content = file.read_bytes()
    if file.suffix == ".jsonl":
        return [json.loads(line) for line in content.splitlines()]
    return json.loads(content)


def damage(file: Path, random: Random) -> None:
    """Damage a file's bytes, or replace some of its values."""
    write = as_lines if file.suffix == ".jsonl" else as_json
    whole = file.read_bytes()
    new = write(changed(parsed(file), random))
    # A last line without an end is what a kill leaves: it is cut off.
    file.write_bytes(damaged(whole, random) + b"\n" if random.random() < 0.5 else new)


def read_or_refused(read: Callable[[], object], folder: Path, *names: str) -> None:
    """Read it; an error must name one of `names`, and no file may change."""
    before = snapshot(folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read()
    except LabelcastError as error:
        message = one_line(str(error))
        assert any(name in message for name in names), message
        assert len(message) < 2000
        after = snapshot(folder)
        # The curves are derived from the scores whenever they are needed.
        assert [after.pop("curve.json", None), after][1] == {
            name: content for name, content in before.items() if name != "curve.json"
        }


ROWS = [{"id": f"i{n}", "text": f'é "{n}", x', "label": "yes"} for n in range(4)]
TABLE = b"id,text,label\r\n" + b"".join(b'%d,"a, %d",yes\r\n' % (n, n) for n in range(4))
DATA = {
    "jsonl": lines(*ROWS).encode(),
    "json": json.dumps(ROWS, indent=1).encode(),
    "csv": TABLE,
    "parquet": parquet(**{name: [row[name] for row in ROWS] for name in ROWS[0]}),
}


@pytest.mark.parametrize("ending", DATA)
@fuzzed(max_examples=40)
@given(random=RANDOM)
def test_pools(ending: str, random: Random, tmp_path: Path) -> None:
    """A pool in every format, read with a task; half of the JSON stays valid."""
    path = tmp_path / f"pool.{ending}"
    if ending.startswith("json") and random.random() < 0.5:
        path.write_bytes((as_lines if ending == "jsonl" else as_json)(changed(ROWS, random)))
    else:
        path.write_bytes(damaged(DATA[ending], random))
    task = Task.parse(TASK)

    def read() -> None:
        for record in open_source(path).records():
            task.user_text(record.values, record.where)
            task.check_answer(record.values.get(task.answer), record.where)

    read_or_refused(read, tmp_path, path.name)


WHOLE_TASK = {
    "name": "t",
    "instruction": "Say it.",
    "inputs": [{"field": "text", "label": "Text", "items": "letters"}],
    "answer": "label",
    "answers": ["yes", "no"],
    "ceiling": {"score": 0.9, "source": "two people"},
    "metric": "accuracy",
}
WHOLE_RECIPE = {"name": "r", "method": "lora", "learning_rate": 0.001, "lora": {"rank": 4}}


@pytest.mark.parametrize(
    ("whole", "load"), [(WHOLE_TASK, Task.load), (WHOLE_RECIPE, Recipe.load)], ids=["task", "lora"]
)
@fuzzed(max_examples=60)
@given(random=RANDOM)
def test_yaml(whole: Any, load: Callable[[Path], object], random: Random, tmp_path: Path) -> None:
    """Task files and recipes."""
    path = tmp_path / "file.yaml"
    path.write_bytes(as_json(whole))
    damage(path, random)
    read_or_refused(lambda: load(path), tmp_path, path.name)


FOREIGN: dict[str, list[Any]] = {
    "label-studio": [
        STUDIO
        | {"annotations": [{"result": [{"from_name": "label", "value": {"choices": ["yes"]}}]}]},
        {"text": "word 2", "label": "no", "lead_time": 1.0, "annotation_id": 3},
    ],
    "prodigy": [
        CHOICE | {"accept": ["yes"], "meta": {"id": "3"}},
        {"text": "word 1", "options": [{"id": 1, "text": "yes"}], "accept": [1]}
        | {"answer": "accept"},
        {"text": "x", "field_id": "labelcast_answer", "labelcast_answer": "no", "answer": "accept"},
    ],
    "argilla": [
        RECORD | {"responses": {"label": [{"value": "yes", "status": "submitted"}]}},
        {"id": "1", "text": "word 1", "label.responses": ["no"], "status": "completed"}
        | {"label.responses.status": ["submitted"]},
    ],
    "jsonl": LABELLED[:3],
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A scored run whose drawn examples have no answers yet."""
    return scored_run(tmp_path_factory.mktemp("drawn"), [f"word {n}" for n in range(9)], 6)


@pytest.mark.parametrize("form", [*FOREIGN, "csv"])
@fuzzed(max_examples=40)
@given(random=RANDOM, given_form=st.booleans())
def test_label_files(
    form: str, given_form: bool, random: Random, drawn: Run, tmp_path: Path
) -> None:
    """Answers in every format, given by the option or recognised from the file."""
    path = tmp_path / ("answers.csv" if form == "csv" else "answers.json")
    if form == "csv":
        path.write_bytes(damaged(TABLE, random))
    else:
        content = changed(FOREIGN[form], random)
        path.write_bytes(random.choice([as_json, as_lines])(content))
    option = form if given_form else None
    read_or_refused(
        lambda: import_labels(drawn, read_file(drawn, path, option)), tmp_path, path.name
    )


@fuzzed(max_examples=60)
@given(random=RANDOM)
def test_cards(random: Random, tmp_path: Path) -> None:
    """A card that is read also gives a forecast."""
    path = tmp_path / "card.json"
    Calibration.fit(
        [0.1 * n for n in range(9)],
        [0.3 + 0.05 * n + 0.01 * (n == 4) for n in range(9)],
        name="c",
        tasks=[f"t{n}" for n in range(9)],
    ).save(path)
    damage(path, random)

    def read() -> None:
        forecast(0.4, Calibration.load(path), zero_shot=0.5, target=0.9)

    read_or_refused(read, tmp_path, path.name)


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with every file that a run can have."""
    run = answered_run(tmp_path_factory.mktemp("answered"), low=6)
    row = {"budget": 50, "score": 0.6, "test_size": 90, "recipe": "r", "metric": "accuracy"}
    ids = [one["id"] for one in run.rows("labels.jsonl")]
    files = {
        "observations.jsonl": [row | {"seconds": 3.0}, row | {"budget": 0, "score": 0.4}],
        "remarks.jsonl": [{"id": ids[0], "note": "hm", "unsure": True}],
    }
    for name, rows in files.items():
        run.file(name).write_bytes(as_lines(rows))
    asked = {"zero_shot": 0.5, "observations": [[100, 0.7]], "target_score": 0.8, "level": 0.9}
    run.finish("forecast", asked=asked)
    return run


RUN_FILES = (
    *("run.json", "draws.jsonl", "labels.jsonl", "observations.jsonl", "remarks.jsonl"),
    *("coslow.json", "manifests/forecast.json", "manifests/coslow.json", "manifests/score.json"),
)


@fuzzed(max_examples=40)
@given(random=RANDOM, name=st.sampled_from(RUN_FILES))
def test_runs(random: Random, name: str, answered: Run) -> None:
    """Every file of a run, with every function that reads runs without a model."""
    run, file = Run(answered.path), answered.file(name)
    whole = file.read_bytes()

    def read() -> None:
        Run.open(run.path)
        count_labels(run)
        export_rows(run)
        labelled_examples(run, "low", lambda instruction, user: user)
        if random.random() < 0.2:  # it draws a forecast, which takes a while
            gather(run)

    damage(file, random)
    try:
        # Where two files no longer match, the message may name either.
        read_or_refused(read, run.path, *RUN_FILES, "confidence.parquet", "gram.npy", str(run.path))
    finally:
        file.write_bytes(whole)


NAMES = tuple(f"t{number}" for number in range(8))
PROBED = ProbeSettings(draws=2)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep with all its jobs and probes done."""
    folder = tmp_path_factory.mktemp("swept") / "sweep"
    folder.mkdir()
    entry = {"data": "nowhere.jsonl", "test_data": None, "test_digest": "d"}
    content = {
        "model": {"name": "nowhere", "hub_id": None, "fingerprint": "f", "architecture": {"a": 1}},
        "recipe": {"name": "r"},
        **{"recipe_digest": "d", "test_size": 20, "split_seed": 0, "max_new_tokens": 9},
        "tasks": {name: entry | {"task": WHOLE_TASK | {"name": name}} for name in NAMES},
        **{"budgets": [0, 50, 500], "seeds": [0]},
    }
    (folder / "sweep.json").write_bytes(as_json(content))
    rows, probes = [], []
    for number, name in enumerate(NAMES):
        for budget in (0, 50, 500):
            score = round(0.3 + budget / 1200 + number / 100, 4)
            row = {"task": name, "model": "m", "budget": budget, "seed": 0, "metric": "accuracy"}
            rows.append(row | {"score": score, "test_size": 20, "seconds": 1.0, "error": ""})
        shared = {"task": name, "seconds": 1.0}
        key = PROBED.key("confidence")
        probes.append(shared | key | {"mean_confidence": 0.8, "confidence": [0.1, None]})
        for draw in range(2):
            value = {"coslow": 0.1 * number + 0.01 * draw, "per_seed": [0.1, 0.2], "seed_sd": 0.1}
            probes.append(shared | PROBED.key("coslow", draw) | value | {"ids": ["a", "b"]})
        probes.append(shared | PROBED.key("random") | {"median": 0.1, "norm": 2.0, "ids": []})
    (folder / "scores.jsonl").write_bytes(as_lines(rows))
    (folder / "probes.jsonl").write_bytes(as_lines(probes))
    return folder


@fuzzed(max_examples=90)
@given(random=RANDOM, name=st.sampled_from(("sweep.json", "scores.jsonl", "probes.jsonl")))
def test_sweeps(random: Random, name: str, swept: Path) -> None:
    """Every file of a sweep, fitted to a card; its model need not exist."""
    file = swept / name
    whole = file.read_bytes()

    def read() -> None:
        sweep = Sweep.open(swept)
        sweep.scores.rows()
        calibrate([swept], "mine", PROBED)

    damage(file, random)
    try:
        missing = ("nowhere", "model ", "a measured curve", str(swept))
        read_or_refused(read, swept, file.name, *missing)
    finally:
        file.write_bytes(whole)
