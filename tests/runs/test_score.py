"""Scoring into a run folder: killed, moved, repeated, it comes to the same."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import SOURCE, snapshot

from labelcast.errors import InputError, LabelcastWarning, RunError
from labelcast.labels.draw import draw_more
from labelcast.models.loading import LanguageModel
from labelcast.runs.run import Run
from labelcast.runs.score import Scored, check_pool, score
from labelcast.tasks.sources import open_source
from labelcast.tasks.task import Task

pytestmark = pytest.mark.filterwarnings("ignore::labelcast.errors.LabelcastWarning")
TASK = Task.parse("{name: t, instruction: Say it., inputs: [text], answer: y}")
ROWS = [{"text": f"word {number}, 'quoted'"} for number in range(90)]
CHILD = """
import sys
from labelcast.models.loading import load_model
from labelcast.runs import pool
from labelcast.labels.draw import draw_more
from labelcast.runs.score import score
from labelcast.tasks.sources import open_source
from labelcast.tasks.task import Task
pool.SHARD = 16
model, data, out, task = sys.argv[1:]
lm = load_model(model, device="cpu", dtype="float32")
def tell(done):
    print(done, flush=True)
score(open_source(data), lm, out, task=Task.parse(task), n_label=8, batch_size=4,
      max_new_tokens=3, progress=tell)
"""


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


def run_score(lm: LanguageModel, pool: Path, out: Path, **options: Any) -> Scored:
    usual: dict[str, Any] = {"task": TASK, "n_label": 8, "batch_size": 4, "max_new_tokens": 3}
    return score(open_source(pool), lm, out, **usual | options)


def results(out: Path) -> tuple[bytes, bytes]:
    return (out / "confidence.parquet").read_bytes(), (out / "to_label.jsonl").read_bytes()


def test_every_format_gives_the_same_files(tiny: LanguageModel, data: Path, tmp_path: Path) -> None:
    """JSONL, JSON, CSV and Parquet: one digest, the same table and picks, byte for byte."""
    outs = {path.suffix: tmp_path / path.suffix[1:] for path in sorted(data.iterdir())}
    for suffix, out in outs.items():
        run_score(tiny, data / f"pool{suffix}", out)
    assert len(outs) == 4
    assert len({results(out) for out in outs.values()}) == 1
    questions = {
        json.dumps(json.loads((o / "run.json").read_text())["question"]) for o in outs.values()
    }
    assert len(questions) == 1


def test_a_second_time_changes_nothing(tiny: LanguageModel, data: Path, tmp_path: Path) -> None:
    """Not one file is written again."""
    assert not run_score(tiny, data / "pool.jsonl", tmp_path / "run").reused
    before = snapshot(tmp_path)
    again = run_score(tiny, data / "pool.jsonl", tmp_path / "run")
    assert again.reused
    assert (again.size, len(again.picked)) == (90, 8)
    assert snapshot(tmp_path) == before


def test_a_lost_file_comes_back_and_nothing_is_drawn_anew(
    tiny: LanguageModel, data: Path, tmp_path: Path
) -> None:
    """Without `to_label.jsonl` it is written again; what was drawn since stays drawn."""
    run_score(tiny, data / "pool.jsonl", tmp_path / "run")
    whole = results(tmp_path / "run")
    draw_more(Run(tmp_path / "run"), {"random": 5, "test": 5})
    draws = (tmp_path / "run/draws.jsonl").read_bytes()
    (tmp_path / "run/to_label.jsonl").unlink()
    run_score(tiny, data / "pool.jsonl", tmp_path / "run")
    assert results(tmp_path / "run") == whole
    assert (tmp_path / "run/draws.jsonl").read_bytes() == draws


def test_a_pool_that_moved_goes_on(tiny: LanguageModel, data: Path, tmp_path: Path) -> None:
    """Another path or format of the same content is the same pool; other content is not."""
    run_score(tiny, data / "pool.jsonl", tmp_path / "run")
    whole = results(tmp_path / "run")
    (tmp_path / "moved.jsonl").write_bytes((data / "pool.jsonl").read_bytes())
    assert run_score(tiny, tmp_path / "moved.jsonl", tmp_path / "run").reused
    assert results(tmp_path / "run") == whole
    facts = json.loads((tmp_path / "run/run.json").read_text())["facts"]
    assert facts["pool"] == str(tmp_path / "moved.jsonl")
    (tmp_path / "moved.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS[::-1]))
    with pytest.raises(InputError, match="pool_digest"):
        run_score(tiny, tmp_path / "moved.jsonl", tmp_path / "run")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_for_real(tiny: LanguageModel, data: Path, tmp_path: Path) -> None:
    """SIGKILL after a random number of examples, twice; then the result is an undisturbed one's."""
    rng = random.Random(5)
    task = "{name: t, instruction: Say it., inputs: [text], answer: y}"
    command = [sys.executable, "-c", CHILD, tiny.name, str(data / "pool.jsonl")]
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    for stop in (rng.randrange(1, 12), rng.randrange(6, 20)):
        with subprocess.Popen(
            [*command, str(tmp_path / "run"), task],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            text=True,
        ) as child:
            assert child.stdout is not None
            for _ in range(stop):
                child.stdout.readline()
            child.kill()
        assert child.returncode == -signal.SIGKILL
        assert not (tmp_path / "run/manifests/score.json").exists()
    for name in ("run", "whole"):
        done = subprocess.run(
            [*command, str(tmp_path / name), task],
            env=environment,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert results(tmp_path / "run") == results(tmp_path / "whole")


def test_two_at_once(tiny: LanguageModel, data: Path, tmp_path: Path) -> None:
    """The second is refused with status 1, and the first is not disturbed."""
    out = tmp_path / "run"
    tried = 0

    def meanwhile(done: int) -> None:
        nonlocal tried
        if not tried:
            tried = 1
            with pytest.raises(RunError, match="another labelcast process"):
                run_score(tiny, data / "pool.jsonl", out)

    run_score(tiny, data / "pool.jsonl", out, progress=meanwhile)
    assert tried
    run_score(tiny, data / "pool.jsonl", tmp_path / "whole")
    assert results(out) == results(tmp_path / "whole")


def test_doubles_are_scored_and_never_picked(tiny: LanguageModel, tmp_path: Path) -> None:
    """The first of them may be picked, with a warning that says how many there are."""
    path = tmp_path / "pool.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS[:8] * 3))
    with pytest.warns(LabelcastWarning, match="16 examples stand in the pool twice"):
        check_pool(open_source(path), TASK, 8)
    scored = run_score(tiny, path, tmp_path / "run")
    assert (scored.size, scored.duplicates) == (24, 16)
    assert len(set(scored.picked)) == 8
    table = pq.read_table(tmp_path / "run/confidence.parquet").to_pylist()
    assert [row["flag"] for row in table] == [""] * 8 + ["duplicate"] * 16


def test_records_that_are_rendered_need_no_task(tiny: LanguageModel, tmp_path: Path) -> None:
    """Own ids go through to the files."""
    path = tmp_path / "pool.jsonl"
    rows = [{"id": n, "input_text": f"word {n}", "ground_truth": "x"} for n in range(20)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    scored = run_score(tiny, path, tmp_path / "run", task=None)
    lines = (tmp_path / "run/to_label.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == list(scored.picked)
    first = json.loads(lines[0])
    assert list(first) == ["id", "input_text", "ground_truth"]
    assert (first["input_text"], first["ground_truth"]) == (f"word {first['id']}", "")


def test_the_table_has_the_promised_columns(
    tiny: LanguageModel, data: Path, tmp_path: Path
) -> None:
    """id, index, confidence, perplexity, answer and answer_tokens, a row an example in order."""
    run_score(tiny, data / "pool.csv", tmp_path / "run")
    table = pq.read_table(tmp_path / "run/confidence.parquet")
    names = ["id", "index", "confidence", "perplexity", "answer", "answer_tokens"]
    assert table.schema.names[:6] == names
    assert table["index"].to_pylist() == list(range(90))
    assert all(0 < value <= 1 for value in table["confidence"].to_pylist())
    assert all(value >= 1 for value in table["perplexity"].to_pylist())
