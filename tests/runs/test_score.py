"""Scoring a pool: in memory, or into a run folder that survives kills, moves and repeats."""

from __future__ import annotations

import json
import random
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import snapshot
from small_pools import SHARD, TASK, results, run_score, start, words

from labelcast.errors import InputError, LabelcastWarning, RunError
from labelcast.labels.draw import draw_more
from labelcast.models.identity import absolute
from labelcast.models.loading import LanguageModel, load_model, load_unweighted
from labelcast.report.examples import read_confidence
from labelcast.runs import pool
from labelcast.runs.run import Run
from labelcast.runs.score import as_source, check_pool, score
from labelcast.tasks.sources import open_source
from labelcast.tasks.task import Task

pytestmark = pytest.mark.filterwarnings("ignore::labelcast.errors.LabelcastWarning")
ROWS = [{"text": f"word {number}, 'quoted'"} for number in range(90)]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one pool in every format."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (folder / "pool.json").write_text(json.dumps(ROWS))
    quoted = (row["text"].replace('"', '""') for row in ROWS)
    (folder / "pool.csv").write_text("text\n" + "".join(f'"{text}"\n' for text in quoted))
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "pool.parquet")
    return folder


def test_every_format_gives_the_same_files(tiny: LanguageModel, data: Path, tmp_path: Path) -> None:
    """JSONL, JSON, CSV and Parquet give the same digest, table and picks, byte for byte."""
    outs = {path.suffix: tmp_path / path.suffix[1:] for path in sorted(data.iterdir())}
    for suffix, out in outs.items():
        run_score(tiny, out, data / f"pool{suffix}")
    assert len(outs) == 4
    assert len({results(out) for out in outs.values()}) == 1
    questions = {
        json.dumps(json.loads((o / "run.json").read_text())["question"]) for o in outs.values()
    }
    assert len(questions) == 1


def test_a_second_time_changes_nothing(tiny: LanguageModel, data: Path, tmp_path: Path) -> None:
    """No file is written again."""
    assert not run_score(tiny, tmp_path / "run", data / "pool.jsonl").reused
    before = snapshot(tmp_path)
    again = run_score(tiny, tmp_path / "run", data / "pool.jsonl")
    assert again.reused
    assert (again.size, len(again.picked)) == (90, 8)
    assert snapshot(tmp_path) == before


def test_a_lost_file_is_written_again_and_nothing_is_redrawn(
    tiny: LanguageModel, data: Path, tmp_path: Path
) -> None:
    """`to_label.jsonl` comes back; examples drawn since stay drawn."""
    run_score(tiny, tmp_path / "run", data / "pool.jsonl")
    whole = results(tmp_path / "run")
    draw_more(Run(tmp_path / "run"), {"random": 5, "test": 5})
    draws = (tmp_path / "run/draws.jsonl").read_bytes()
    (tmp_path / "run/to_label.jsonl").unlink()
    run_score(tiny, tmp_path / "run", data / "pool.jsonl")
    assert results(tmp_path / "run") == whole
    assert (tmp_path / "run/draws.jsonl").read_bytes() == draws


def test_a_pool_may_move(tiny: LanguageModel, data: Path, tmp_path: Path) -> None:
    """Another path or format of the same content is the same pool; other content is not."""
    run_score(tiny, tmp_path / "run", data / "pool.jsonl")
    whole = results(tmp_path / "run")
    (tmp_path / "moved.jsonl").write_bytes((data / "pool.jsonl").read_bytes())
    assert run_score(tiny, tmp_path / "run", tmp_path / "moved.jsonl").reused
    assert results(tmp_path / "run") == whole
    facts = json.loads((tmp_path / "run/run.json").read_text())["facts"]
    assert facts["pool"] == str(tmp_path / "moved.jsonl")
    (tmp_path / "moved.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS[::-1]))
    with pytest.raises(InputError, match="pool_digest"):
        run_score(tiny, tmp_path / "run", tmp_path / "moved.jsonl")


def test_a_killed_process_is_resumed(
    tiny: LanguageModel, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After SIGKILL in the middle, the same call ends with the files of an undisturbed run."""
    monkeypatch.setattr(pool, "SHARD", SHARD)
    with start("local", tiny, data / "pool.jsonl", tmp_path / "run") as child:
        assert child.stdout is not None
        for _ in range(random.Random(5).randrange(6, 20)):
            child.stdout.readline()
        child.kill()
    assert child.returncode == -signal.SIGKILL
    assert not (tmp_path / "run/manifests/score.json").exists()
    assert list((tmp_path / "run/confidence").iterdir())
    for name in ("run", "whole"):
        assert not run_score(tiny, tmp_path / name, data / "pool.jsonl").reused
    assert results(tmp_path / "run") == results(tmp_path / "whole")


def test_a_table_is_not_a_list_of_records() -> None:
    """Its elements are the names of its columns, and would be scored as texts."""
    table = pa.table({"text": ["a"]}).to_pandas()
    for columns in (table, {"text": ["a"]}):
        with pytest.raises(InputError, match=r"to_dict\('records'\)"):
            as_source(columns, TASK)


def test_two_processes_at_once(tiny: LanguageModel, data: Path, tmp_path: Path) -> None:
    """The second is refused, and the first is not disturbed."""
    out = tmp_path / "run"
    tried = 0

    def meanwhile(done: int) -> None:
        nonlocal tried
        if not tried:
            tried = 1
            with pytest.raises(RunError, match="another labelcast process"):
                run_score(tiny, out, data / "pool.jsonl")

    run_score(tiny, out, data / "pool.jsonl", progress=meanwhile)
    assert tried
    run_score(tiny, tmp_path / "whole", data / "pool.jsonl")
    assert results(out) == results(tmp_path / "whole")


def test_duplicates_are_scored_and_never_picked(tiny: LanguageModel, tmp_path: Path) -> None:
    """Only the first may be picked; a warning says how many there are."""
    path = tmp_path / "pool.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS[:8] * 3))
    with pytest.warns(LabelcastWarning, match="16 examples of the pool are duplicates"):
        check_pool(open_source(path), TASK, 8)
    scored = run_score(tiny, tmp_path / "run", path)
    assert (scored.size, scored.duplicates) == (24, 16)
    assert len(set(scored.picked)) == 8
    table = pq.read_table(tmp_path / "run/confidence.parquet").to_pylist()
    assert [row["flag"] for row in table] == [""] * 8 + ["duplicate"] * 16


def test_rendered_records_need_no_task(tiny: LanguageModel, tmp_path: Path) -> None:
    """Their own ids are in the files."""
    path = tmp_path / "pool.jsonl"
    rows = [{"id": n, "input_text": f"word {n}", "ground_truth": "x"} for n in range(20)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    scored = run_score(tiny, tmp_path / "run", path, task=None)
    lines = (tmp_path / "run/to_label.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == list(scored.picked)
    first = json.loads(lines[0])
    assert list(first) == ["id", "input_text", "ground_truth"]
    assert (first["input_text"], first["ground_truth"]) == (f"word {first['id']}", "")


def test_the_columns_of_the_table(tiny: LanguageModel, data: Path, tmp_path: Path) -> None:
    """id, index, confidence, perplexity, answer and answer_tokens, one row per example in order."""
    run_score(tiny, tmp_path / "run", data / "pool.csv")
    table = pq.read_table(tmp_path / "run/confidence.parquet")
    names = ["id", "index", "confidence", "perplexity", "answer", "answer_tokens"]
    assert table.schema.names[:6] == names
    assert table["index"].to_pylist() == list(range(90))
    assert all(0 < value <= 1 for value in table["confidence"].to_pylist())
    assert all(value >= 1 for value in table["perplexity"].to_pylist())


def test_a_pool_is_scored_in_one_call(tiny: LanguageModel, data: Path, tmp_path: Path) -> None:
    """From a file, records or texts: the ids and values of a run folder."""
    run_score(tiny, tmp_path / "run", data / "pool.jsonl")
    table = pq.read_table(tmp_path / "run/confidence.parquet").to_pylist()
    done: list[int] = []
    usual: dict[str, Any] = {"model": tiny, "task": TASK, "batch_size": 4, "max_new_tokens": 3}
    found = score(data / "pool.jsonl", **usual, progress=done.append)
    assert [one.id for one in found] == [row["id"] for row in table]
    assert [one.answer for one in found] == [row["answer"] for row in table]
    assert [one.confidence for one in found] == pytest.approx([row["confidence"] for row in table])
    assert sum(done) == 90
    assert score(ROWS, **usual) == score([row["text"] for row in ROWS], **usual) == found
    rendered = [tiny.render("Say it.", row["text"]) for row in ROWS[:4]]
    again = score(rendered, **usual | {"task": None})
    assert [one.answer for one in again] == [one.answer for one in found[:4]]


def test_what_cannot_be_scored_is_named(tiny: LanguageModel) -> None:
    """An empty pool, a wrong type, a text for several fields; a duplicate is flagged."""
    task = Task.parse(
        "{name: t, instruction: x, answer: y, inputs: [{field: a, label: A}, {field: b, label: B}]}"
    )
    wrong: list[tuple[Any, Task | None, str]] = [
        ([], None, "empty"),
        (["a", 3], None, "record 2: expected a text or a record"),
        (["a"], task, r"several input fields \(a, b\)"),
        ([{"a": "x"}], task, "record 1: no field 'b'"),
    ]
    for given, of, says in wrong:
        with pytest.raises(InputError, match=says):
            score(given, model=tiny, task=of)
    texts = ["a", "b", "a", "x " * 2000]
    found = score(texts, model=tiny, max_new_tokens=2)
    assert [one.flag for one in found][2:] == ["duplicate", "too_long"]
    assert found[3].confidence != found[3].confidence


def test_a_model_without_coslow_is_refused_before_anyone_labels(
    tmp_path: Path, tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where other processes have the weights; no run folder is made."""
    monkeypatch.setattr("labelcast.models.layers.LAYERS", ("none",))
    for model in (tiny, load_unweighted(tiny.name, tiny.device)):
        with pytest.raises(InputError, match="CoS-Low is not defined"):
            run_score(model, tmp_path / "run", words(20))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("constrain", [False, True])
def test_the_share_of_allowed_answers(constrain: bool, tiny: LanguageModel, tmp_path: Path) -> None:
    """Of free answers it is in the result, the manifest and the report's part; else all fit."""
    task = Task.parse(
        "{name: t, instruction: Say it., inputs: [text], answer: y, answers: ["
        f"yes, no], constrain: {str(constrain).lower()}}}"
    )
    found = run_score(tiny, tmp_path / "run", words(40), task=task)
    said = pool.read_column(found.run.file("confidence.parquet"), "answer").tolist()
    shown = read_confidence(found.run)
    assert shown is not None
    if constrain:
        assert set(said) <= {"yes", "no"}
        assert found.allowed is shown.allowed is found.run.manifest("score").allowed is None
        assert found.run.question.to_dict()["task"]["constrain"] is True
    else:
        assert found.allowed == shown.allowed == found.run.manifest("score").allowed == 0.0
    in_memory = score(words(40), model=tiny, task=task, max_new_tokens=3)
    assert [one.answer for one in in_memory] == said


def test_a_moved_pool_names_the_way_out(tiny: LanguageModel, data: Path, tmp_path: Path) -> None:
    """Of one from standard input the run has a copy, which moves with it."""
    piped = replace(open_source(data / "pool.csv"), copy=data / "pool.csv")
    run_score(tiny, tmp_path / "run", piped)
    (tmp_path / "run").rename(tmp_path / "moved")
    run = Run.open(tmp_path / "moved")
    assert pool.open_pool(run).spec == str(tmp_path / "moved/pool.csv")
    run.file("pool.csv").unlink()
    with pytest.raises(
        InputError, match=r"no such file.*`labelcast score` again with the new path"
    ):
        pool.open_pool(run)


def test_a_local_model_is_found_from_another_folder(
    tiny: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its path is stored as an absolute one; a hub id and an embedded model stay as they are."""
    folder = Path(tiny.name)
    monkeypatch.chdir(folder.parent)
    lm = load_model(folder.name, device="cpu", dtype="float32")
    run = run_score(lm, tmp_path / "run", words(20)).run
    assert (run.model.name, run.model.hub_id) == (str(folder), None)
    assert absolute(folder.name) == str(folder)
    monkeypatch.chdir(tmp_path)
    assert load_model(run.model.name, device="cpu").identity == lm.identity
    assert [absolute(name) for name in ("smollm2", "a/b")] == ["smollm2", "a/b"]
