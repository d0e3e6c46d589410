"""Files at random and valid ones a little damaged: read, or refused in words that name the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cases import LABELLED, TASK, lines, parquet
from fuzzing import (
    as_json,
    changed,
    damaged,
    fuzzed,
    of_lines,
    read_or_refused,
)
from hypothesis import given
from hypothesis import strategies as st
from mistaken_labels import CHOICE, RECORD, STUDIO
from published_folder import write_coslow, write_folder
from reports_made import answered_run
from runs_made import scored_run

from evidence.reproduce.figures import calibration_figures
from evidence.reproduce.published import read_published
from labelcast.forecast import Calibration, forecast
from labelcast.labels.store import count_labels, labelled_examples
from labelcast.labels.transfer import export_rows, match_answers, read_file
from labelcast.report.content import gather
from labelcast.runs.run import Run
from labelcast.sweeps.calibrate import calibrate
from labelcast.sweeps.probe_settings import ProbeSettings
from labelcast.sweeps.sweep import Sweep
from labelcast.tasks.sources import open_source
from labelcast.tasks.task import Task
from labelcast.training.recipe import Recipe

ROWS = [{"id": f"i{n}", "text": f'é "{n}", x', "label": "yes"} for n in range(4)]
TABLE = b"id,text,label\r\n" + b"".join(b'%d,"a, %d",yes\r\n' % (n, n) for n in range(4))
DATA = {
    "jsonl": lines(*ROWS).encode(),
    "json": json.dumps(ROWS, indent=1).encode(),
    "csv": TABLE,
    "parquet": parquet(**{name: [row[name] for row in ROWS] for name in ROWS[0]}),
}


@pytest.mark.parametrize("ending", DATA)
@fuzzed(max_examples=150)
@given(random=st.randoms(use_true_random=False), noise=st.none() | st.binary(max_size=60))
def test_data(ending: str, random: Random, noise: bytes | None, tmp_path: Path) -> None:
    """A pool in any form, through the eyes of a task."""
    path = tmp_path / f"pool.{ending}"
    path.write_bytes(damaged(DATA[ending], random) if noise is None else noise)
    task = Task.parse(TASK)

    def read() -> None:
        for record in open_source(path).records():
            task.input_fields(record.values, record.where)

    read_or_refused(read, tmp_path, path.name)


@pytest.mark.parametrize("ending", ["jsonl", "json"])
@fuzzed(max_examples=100)
@given(random=st.randoms(use_true_random=False))
def test_records(ending: str, random: Random, tmp_path: Path) -> None:
    """Valid JSON whose values are of other kinds."""
    path = tmp_path / f"pool.{ending}"
    rows = changed(ROWS, random)
    path.write_bytes(of_lines(rows) if ending == "jsonl" else as_json(rows))
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
@fuzzed(max_examples=200)
@given(random=st.randoms(use_true_random=False), kind=st.integers(0, 2))
def test_yaml(
    whole: Any, load: Callable[[Path], object], random: Random, kind: int, tmp_path: Path
) -> None:
    """Task files and recipes: of other kinds, damaged, or noise."""
    path = tmp_path / "file.yaml"
    contents = (
        lambda: as_json(changed(whole, random)),
        lambda: damaged(as_json(whole), random),
        lambda: b"name: [" + random.randbytes(9),
    )
    path.write_bytes(contents[kind]())
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
    """A scored run, whose drawn examples have no answers yet."""
    return scored_run(tmp_path_factory.mktemp("drawn"), [f"word {n}" for n in range(9)], 6)


@pytest.mark.parametrize("form", [*FOREIGN, "csv"])
@pytest.mark.parametrize("told", [True, False])
@fuzzed(max_examples=120)
@given(random=st.randoms(use_true_random=False))
def test_label_files(form: str, told: bool, random: Random, drawn: Run, tmp_path: Path) -> None:
    """Answers in every form, told by the option or by the file itself."""
    path = tmp_path / ("answers.csv" if form == "csv" else "answers.json")
    if form == "csv":
        path.write_bytes(damaged(TABLE, random))
    else:
        content = changed(FOREIGN[form], random)
        path.write_bytes(random.choice([as_json, of_lines])(content))
    option = form if told else None
    read_or_refused(
        lambda: match_answers(drawn, read_file(drawn, path, option)), tmp_path, path.name
    )


@fuzzed(max_examples=200)
@given(random=st.randoms(use_true_random=False), broken=st.booleans())
def test_cards(random: Random, broken: bool, tmp_path: Path) -> None:
    """A card that is read answers too, and one that is not names the file."""
    path = tmp_path / "card.json"
    if not (tmp_path / "whole.json").exists():
        Calibration.fit(
            [0.1 * n for n in range(9)],
            [0.3 + 0.05 * n + 0.01 * (n == 4) for n in range(9)],
            name="c",
            tasks=[f"t{n}" for n in range(9)],
        ).save(tmp_path / "whole.json")
    whole = (tmp_path / "whole.json").read_bytes()
    path.write_bytes(
        damaged(whole, random) if broken else as_json(changed(json.loads(whole), random))
    )

    def read() -> None:
        forecast(0.4, Calibration.load(path), zero_shot=0.5, target=0.9)

    read_or_refused(read, tmp_path, path.name)


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with every file that a run may have."""
    run = answered_run(tmp_path_factory.mktemp("answered"), low=6)
    row = {"budget": 50, "score": 0.6, "test_size": 90, "recipe": "r", "metric": "accuracy"}
    ids = [one["id"] for one in run.rows("labels.jsonl")]
    files = {
        "observations.jsonl": [row | {"seconds": 3.0}, row | {"budget": 0, "score": 0.4}],
        "remarks.jsonl": [{"id": ids[0], "note": "hm", "unsure": True}],
    }
    for name, rows in files.items():
        run.file(name).write_bytes(of_lines(rows))
    asked = {"zero_shot": 0.5, "observations": [[100, 0.7]], "target_score": 0.8, "level": 0.9}
    run.finish("forecast", asked=asked)
    return run


OF_A_RUN = (
    *("run.json", "draws.jsonl", "labels.jsonl", "observations.jsonl", "remarks.jsonl"),
    *("coslow.json", "manifests/forecast.json", "manifests/coslow.json", "manifests/score.json"),
)


@pytest.mark.parametrize("name", OF_A_RUN)
@fuzzed(max_examples=25)
@given(random=st.randoms(use_true_random=False), broken=st.booleans())
def test_runs(name: str, random: Random, broken: bool, answered: Run) -> None:
    """Every file of a run, through all that reads runs without a model."""
    run, file = Run(answered.path), answered.file(name)
    whole = file.read_bytes()
    rows = name.endswith("l")
    value = [json.loads(line) for line in whole.splitlines()] if rows else json.loads(whole)

    def read() -> None:
        Run.open(run.path)
        count_labels(run)
        export_rows(run)
        labelled_examples(run, "low", lambda instruction, user: user)
        gather(run)

    new = changed(value, random)
    file.write_bytes(damaged(whole, random) if broken else (of_lines if rows else as_json)(new))
    try:
        # Where two files belong together no more, either may be the one that is named.
        read_or_refused(read, run.path, *OF_A_RUN, "confidence.parquet", "gram.npy", str(run.path))
    finally:
        file.write_bytes(whole)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the authors' form."""
    return write_folder(tmp_path_factory.mktemp("published") / "results", tasks=2)


@pytest.mark.parametrize("part", ["finetune_results/*.json", "auc_res/*.json", "human_eval.json"])
@fuzzed(max_examples=60)
@given(random=st.randoms(use_true_random=False), broken=st.booleans())
def test_published_results(part: str, random: Random, broken: bool, published: Path) -> None:
    """The authors' folder with one file of it damaged."""
    file = sorted(published.glob(part))[0]
    whole = file.read_bytes()
    new = as_json(changed(json.loads(whole), random))
    file.write_bytes(damaged(whole, random) if broken else new)
    try:
        read_or_refused(lambda: read_published(published), published, file.name)
    finally:
        file.write_bytes(whole)


@fuzzed(max_examples=100)
@given(random=st.randoms(use_true_random=False))
def test_published_coslow(random: Random, tmp_path: Path) -> None:
    """The table of CoS-Low and AUC."""
    path = tmp_path / "points.csv"
    write_coslow(path)
    path.write_bytes(damaged(path.read_bytes(), random))
    read_or_refused(lambda: calibration_figures(path), tmp_path, path.name)


NAMES = tuple(f"t{number}" for number in range(8))
PROBED = ProbeSettings(draws=2)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep whose every job and probe is done."""
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
    (folder / "scores.jsonl").write_bytes(of_lines(rows))
    (folder / "probes.jsonl").write_bytes(of_lines(probes))
    return folder


@pytest.mark.parametrize("name", ["sweep.json", "scores.jsonl", "probes.jsonl"])
@fuzzed(max_examples=80)
@given(random=st.randoms(use_true_random=False), broken=st.booleans())
def test_sweeps(name: str, random: Random, broken: bool, swept: Path) -> None:
    """A stranger's sweep, fitted to a card. A model that is missing is no fault of the reading."""
    file = swept / name
    whole = file.read_bytes()
    rows = name.endswith("l")
    value = [json.loads(line) for line in whole.splitlines()] if rows else json.loads(whole)
    new = (of_lines if rows else as_json)(changed(value, random))
    # A last line without an end is cut off: it is what a kill leaves.
    file.write_bytes(damaged(whole, random) + b"\n" if broken else new)

    def read() -> None:
        sweep = Sweep.open(swept)
        sweep.scores.rows()
        calibrate([swept], "mine", PROBED)

    try:
        missing = ("nowhere", "model ", "tasks have a measured curve", str(swept))
        read_or_refused(read, swept, file.name, *missing)
    finally:
        file.write_bytes(whole)
