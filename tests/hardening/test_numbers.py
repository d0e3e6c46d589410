"""The same seed, machine and versions give the same answer, whatever else is around.

Language, time zone, hash seed, encoding and the like change no bit. The number of threads and the
batch change the order in which numbers are added up, and so the last digits: within `TOLERANCE`.
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
from command_line import SOURCE
from sweeps_made import TASK_TEXT, Place, make_place

HERE = Path(__file__).resolve().parents[1]
TOLERANCE = 1e-4
"""Of a confidence, of CoS-Low and of the AUC; docs/how-it-works.md states it."""

SCRIPT = """
import json, os, sys
from pathlib import Path
from command_line import labelcast
from labelcast.tasks.task import Task
from labelcast.sweeps.job import SweepTask, split
base, batch = sys.argv[1], sys.argv[2]
size = [] if batch == "0" else ["--batch-size", batch]
def do(*args):
    done = labelcast(*args)
    assert done.status == 0, done.err
    return done
task = f"{base}/first.yaml"
do("score", f"{base}/data.jsonl", "--task", task, "--model", f"{base}/model", "--device", "cpu",
   "--n-label", "6", "--max-new-tokens", "3", "--out", "run", *size)
do("label", "run", "--more", "8", "--test", "6", "--gold", "y")
do("coslow", "run", "--device", "cpu", *size)
do("forecast", "run", "--target", "0.8", "--json")
parts = split(SweepTask(Task.load(task), f"{base}/data.jsonl"), 10, seed=3)
Path("split.json").write_text(json.dumps([[e.id for e in parts.test], [e.id for e in parts.order]]))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A model, data with letters outside ASCII, and a task whose answers have some."""
    made = make_place(tmp_path_factory.mktemp("place"), 60)
    text = TASK_TEXT.replace("NAME", "first").replace("Say it.", "Say it ĞIİış ß €.")
    (made.path / "first.yaml").write_text(text, "utf-8")
    return made


def whole_way(place: Place, folder: Path, batch: int = 0, **environment: str) -> Path:
    """Score, draw, CoS-Low, forecast and a split in a process with its own environment."""
    folder.mkdir()
    paths = os.pathsep.join([str(SOURCE), str(HERE)])
    plain = {
        "PYTHONPATH": paths,
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(place.path), str(batch)],
        cwd=folder,
        env=os.environ | plain | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def usual(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results in a usual environment."""
    return whole_way(place, tmp_path_factory.mktemp("usual") / "a")


EXACT = (
    "run/confidence.parquet",
    "run/draws.jsonl",
    "run/labels.jsonl",
    "run/gram.npy",
    "split.json",
)


def results(folder: Path) -> dict[str, Any]:
    """Hashes of the files that must be the same to the bit, and the answers without their times."""
    found: dict[str, Any] = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in EXACT
    }
    for name in ("coslow", "forecast"):
        content = json.loads((folder / f"run/{name}.json").read_text("utf-8"))
        found[name] = {k: v for k, v in content.items() if k not in ("seconds", "peak_bytes")}
    return found


def turkish(folder: Path) -> str:
    """A Turkish locale, made where the machine can; else the plain one."""
    made = (
        subprocess.run(
            ["localedef", "-i", "tr_TR", "-f", "ISO-8859-9", str(folder / "tr_TR")],
            capture_output=True,
            check=False,
        )
        if Path("/usr/bin/localedef").exists()
        else None
    )
    return "tr_TR" if made is not None and (folder / "tr_TR").exists() else "C"


def test_the_surroundings_change_no_bit(place: Place, usual: Path, tmp_path: Path) -> None:
    """Another language with another encoding, time zone, hash seed, and width of the terminal."""
    other = whole_way(
        place,
        tmp_path / "other",
        LC_ALL=turkish(tmp_path),
        LOCPATH=str(tmp_path),
        LANG="tr_TR",
        PYTHONUTF8="0",
        PYTHONCOERCECLOCALE="0",
        TZ="Asia/Kathmandu",
        PYTHONHASHSEED="12345",
        COLUMNS="20",
    )
    assert results(other) == results(usual)


@pytest.mark.parametrize(
    ("threads", "batch"), [("2", 0), pytest.param("1", 3, marks=pytest.mark.slow)]
)
def test_threads_and_batches_change_last_digits_alone(
    place: Place, usual: Path, tmp_path: Path, threads: str, batch: int
) -> None:
    """What is drawn is the same; numbers agree within the stated tolerance."""
    other = whole_way(place, tmp_path / "other", batch, OMP_NUM_THREADS=threads)
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


def test_the_manifest_says_what_would_change_them(usual: Path) -> None:
    """Versions, device, dtype, threads, batch, seed: what a result depends on is written down."""
    score = json.loads((usual / "run/manifests/score.json").read_text("utf-8"))
    coslow = json.loads((usual / "run/manifests/coslow.json").read_text("utf-8"))
    for manifest in (score, coslow):
        assert {"python", "cpus", "torch", "transformers", "numpy"} <= manifest["versions"].keys()
        assert manifest["threads"] == 1
        assert {"seed", "batch_size"} <= manifest.keys()
    assert {"dtype", "device", "model", "pool_digest"} <= score.keys()
    assert {"method", "rank", "labels"} <= coslow.keys()
