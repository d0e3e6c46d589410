"""The same seed and versions give the same results, whatever the environment.

Language, time zone, hash seed and encoding change no bit. Threads and batches change the order of
additions, and so the last digits, within `TOLERANCE`.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from command_line import SOURCE, labelcast
from small_sweeps import TASK_TEXT, Place, make_place

HERE = Path(__file__).resolve().parents[1]
TOLERANCE = 1e-4
"""Of a confidence, of CoS-Low and of the AUC, as stated in docs/how-it-works.md."""

SCRIPT = """
import sys
from pathlib import Path
from test_reproducible import every_step
every_step(Path(sys.argv[1]), Path.cwd())
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A model, data, and a task with letters outside ASCII."""
    made = make_place(tmp_path_factory.mktemp("place"), 60)
    text = TASK_TEXT.replace("NAME", "first").replace("Say it.", "Say it ĞIİış ß €.")
    (made.path / "first.yaml").write_text(text, "utf-8")
    return made


def every_step(base: Path, folder: Path, batch: int | None = None) -> Path:
    """Score, draw, CoS-Low, forecast and a split."""
    from labelcast.sweeps.task_data import SweepTask, split
    from labelcast.tasks.task import Task

    task, data, run = base / "first.yaml", base / "data.jsonl", folder / "run"
    size = [] if batch is None else ["--batch-size", batch]
    for words in (
        *[("score", data, "--task", task, "--model", base / "model", "--out", run, *size)],
        *[("label", run, "--more", 8, "--test", 6, "--gold", "y")],
        *[("coslow", run, *size), ("forecast", run, "--target", 0.8)],
    ):
        more = ("--n-label", 6, "--max-new-tokens", 3) if words[0] == "score" else ()
        device = ("--device", "cpu") if words[0] in ("score", "coslow") else ()
        done = labelcast(*words, *more, *device)
        assert done.status == 0, done.err
    parts = split(SweepTask(Task.load(task), str(data)), 10, seed=3)
    ids = [[example.id for example in part] for part in (parts.test, parts.order)]
    (folder / "split.json").write_text(json.dumps(ids))
    return folder


@pytest.fixture(scope="module")
def usual(base: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results in this process, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return every_step(base.path, tmp_path_factory.mktemp("usual"))
    finally:
        torch.set_num_threads(threads)


EXACT = (
    *("run/confidence.parquet", "run/draws.jsonl", "run/labels.jsonl", "run/gram.npy"),
    "split.json",
)


def results(folder: Path) -> dict[str, Any]:
    """Hashes of the files that must be equal bit by bit, and results without times."""
    found: dict[str, Any] = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in EXACT
    }
    for name in ("coslow", "forecast"):
        content = json.loads((folder / f"run/{name}.json").read_text("utf-8"))
        found[name] = {k: v for k, v in content.items() if k not in ("seconds", "peak_bytes")}
    return found


def test_the_environment_changes_no_bit(base: Place, usual: Path, tmp_path: Path) -> None:
    """Another locale, encoding, time zone, hash seed and terminal width."""
    paths = os.pathsep.join([str(SOURCE), str(HERE), str(Path(__file__).parent)])
    environment = {
        **{"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "LC_ALL": "C", "LANG": "tr_TR"},
        **{"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONHASHSEED": "12345"},
        **{"TZ": "Asia/Kathmandu", "COLUMNS": "20"},
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(base.path)],
        cwd=tmp_path,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert results(tmp_path) == results(usual)


@pytest.mark.parametrize(("threads", "batch"), [(2, None), (1, 3)])
def test_threads_and_batches_change_only_the_last_digits(
    base: Place, usual: Path, tmp_path: Path, threads: int, batch: int | None
) -> None:
    """The same examples are drawn; numbers agree within the stated tolerance."""
    torch.set_num_threads(threads)
    other = every_step(base.path, tmp_path, batch)
    for name in ("run/draws.jsonl", "run/labels.jsonl", "split.json"):
        assert (other / name).read_bytes() == (usual / name).read_bytes()
    tables = [pq.read_table(folder / "run/confidence.parquet") for folder in (usual, other)]
    assert tables[0]["answer"].equals(tables[1]["answer"])
    values = [table["confidence"].to_numpy() for table in tables]
    np.testing.assert_allclose(values[0], values[1], rtol=0, atol=TOLERANCE)
    one, two = (results(folder) for folder in (usual, other))
    assert one["coslow"]["coslow"] == pytest.approx(two["coslow"]["coslow"], abs=TOLERANCE)
    assert one["forecast"]["auc"]["mean"] == pytest.approx(
        two["forecast"]["auc"]["mean"], abs=TOLERANCE
    )


def test_the_manifest_records_what_results_depend_on(usual: Path) -> None:
    """Versions, device, dtype, threads, batch and seed."""
    score = json.loads((usual / "run/manifests/score.json").read_text("utf-8"))
    coslow = json.loads((usual / "run/manifests/coslow.json").read_text("utf-8"))
    for manifest in (score, coslow):
        assert {"python", "cpus", "torch", "transformers", "numpy"} <= manifest["versions"].keys()
        assert manifest["threads"] == 1
        assert {"seed", "batch_size"} <= manifest.keys()
    assert {"dtype", "device", "model", "pool_digest"} <= score.keys()
    assert {"method", "rank", "seeds", "labels"} <= coslow.keys()
