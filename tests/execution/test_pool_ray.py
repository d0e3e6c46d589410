"""A pool scored by the workers of a Ray cluster gives the file that this process would write."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import SOURCE, in_process
from shared_data import shared
from small_pools import SHARD, TASK, TASK_TEXT, results, run_score, start, words

from labelcast.errors import InputError, RunError
from labelcast.execution.pool_engines import TRIES, RayEngine, Spread
from labelcast.models.loading import LanguageModel
from labelcast.runs import pool
from labelcast.tasks.sources import open_source

ray: Any = pytest.importorskip("ray", reason="the extra labelcast[ray] is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster of two cores on this machine, whose workers find labelcast and the tests."""
    places = (str(SOURCE), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", ""))
    ray.init(
        address="local",
        num_cpus=2,
        object_store_memory=100_000_000,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, places))}},
    )
    yield
    ray.shutdown()


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "SHARD", SHARD)


@pytest.fixture
def _one_thread() -> Iterator[None]:
    """One thread, as a worker with one core has: more threads round sums differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("cluster", "_one_thread")
@pytest.mark.parametrize("kills", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_two_workers_write_what_one_process_would(
    tiny: LanguageModel, tmp_path: Path, kills: bool
) -> None:
    """Byte for byte, even if one is killed in a shard; then nothing is scored again."""
    run_score(tiny, tmp_path / "local", words(60))
    driver, killed = os.getpid(), tmp_path / "killed"

    def die(number: int) -> None:
        if kills and number == 30 and os.getpid() != driver and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    engine = RayEngine(tiny.name, device="cpu", spread=Spread(workers=2))
    assert (engine.share.workers, engine.share.cpus) == (2, 1)
    done: list[int] = []
    run_score(engine.lm, tmp_path / "ray", words(60, die), engine=engine, progress=done.append)
    assert killed.exists() == kills
    assert sum(done) == 60
    assert results(tmp_path / "ray") == results(tmp_path / "local")
    assert run_score(tiny, tmp_path / "ray", words(60)).reused
    engine.close()
    assert ray.is_initialized()  # it was not started here


@pytest.mark.usefixtures("cluster")
@pytest.mark.slow
def test_a_record_that_changed_is_one_message(tiny: LanguageModel, tmp_path: Path) -> None:
    """A worker's error reaches the caller as it would without Ray."""
    data = tmp_path / "pool.jsonl"
    rows = [{"text": f"word {n}"} for n in range(30)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = pool.survey(open_source(data), TASK)
    rows[20] = {"text": "another"}
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    engine = RayEngine(tiny.name, device="cpu", spread=Spread(workers=1))
    with pytest.raises(InputError, match="records 13 to 24 have changed") as caught:
        run_score(engine.lm, tmp_path / "run", data, engine=engine, found=found)
    assert "Traceback" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.usefixtures("cluster")
def test_more_workers_than_the_cluster_has_room_for(tiny: LanguageModel) -> None:
    """They would wait forever, and so would a GPU worker on a cluster without GPUs."""
    with pytest.raises(InputError, match="--workers 3: the cluster has room for 2, by its CPUs"):
        RayEngine(tiny.name, device="cpu", spread=Spread(workers=3))
    with pytest.raises(InputError, match="--workers 1: the cluster has room for 0, by its GPUs"):
        RayEngine(tiny.name, device="cuda")
    with pytest.raises(InputError, match="no such folder"):
        RayEngine("no such model", device="cpu")


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_worker_that_always_dies_is_given_up(tiny: LanguageModel, tmp_path: Path) -> None:
    """It is not restarted forever; shards that are scored stay."""
    driver, deaths = os.getpid(), tmp_path / "deaths"

    def die(number: int) -> None:
        if number == 50 and os.getpid() != driver:
            with deaths.open("a") as stream:
                stream.write("x")
            os.kill(os.getpid(), signal.SIGKILL)

    engine = RayEngine(tiny.name, device="cpu", spread=Spread(workers=1))
    with pytest.raises(RunError, match=f"died {TRIES} times at the same examples"):
        run_score(engine.lm, tmp_path / "run", words(60, die), engine=engine)
    assert len(deaths.read_text()) == TRIES
    assert list((tmp_path / "run/confidence").glob("part-*.parquet"))


@pytest.mark.slow
@pytest.mark.usefixtures("_one_thread")
def test_the_process_that_waits_is_killed(tiny: LanguageModel, tmp_path: Path) -> None:
    """After SIGKILL at two shards the same command scores the others; the file is the same."""
    data = tmp_path / "pool.jsonl"
    records = words(60).records()
    data.write_text("".join(json.dumps(record.values) + "\n" for record in records))
    run_score(tiny, tmp_path / "local", data)
    with start("ray", tiny, data, tmp_path / "ray") as child:
        assert child.stdout is not None
        for _ in range(3):  # nothing was there, then two shards
            child.stdout.readline()
        child.kill()
    kept = len(list((tmp_path / "ray/confidence").glob("part-*.parquet")))
    assert kept >= 2
    with start("ray", tiny, data, tmp_path / "ray") as child:
        assert child.stdout is not None
        assert int(child.stdout.readline()) == kept * SHARD
        child.stdout.read()
    assert child.returncode == 0
    assert results(tmp_path / "ray") == results(tmp_path / "local")


@pytest.mark.slow
def test_the_command_says_nothing_of_ray(tiny: LanguageModel, tmp_path: Path) -> None:
    """One JSON object on standard output, and nothing from Ray on standard error."""
    data = tmp_path / "pool.jsonl"
    data.write_text("".join(json.dumps(record.values) + "\n" for record in words(60).records()))
    (tmp_path / "task.yaml").write_text(TASK_TEXT)
    options = ("--task", tmp_path / "task.yaml", "--model", tiny.name, "--n-label", 8)
    done = in_process(
        ["score", data, *options, "--out", tmp_path / "run", "--engine", "ray", "--json"]
    )
    assert done.status == 0, done.err
    assert done.json["examples"] == 60
    for noise in ("WARN", "INFO", "ray.data", "core_worker", "Dataset", "Traceback"):
        assert noise not in done.err, done.err
    rows = [record.values for record in words(60).records()]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows[:-1]) + '{"text": null}\n')
    failed = in_process(["score", data, *options, "--out", tmp_path / "no", "--engine", "ray"])
    assert failed.status == 2
    assert failed.err.strip().splitlines()[-1].startswith("labelcast: pool.jsonl line 60")


@pytest.mark.slow
@pytest.mark.usefixtures("cluster", "_one_thread")
def test_the_real_model_has_the_same_values(
    smollm2: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 published prompts give the same file on two workers and in this process."""
    monkeypatch.setattr(pool, "SHARD", 16)
    path = shared() / "paper/results/coslow_data/low_conf_examples_annotated.json"
    rows = [{"input_text": row["input_text"]} for row in json.loads(path.read_text())]
    rows += [{"input_text": row["input_text"] + " "} for row in rows]
    data = tmp_path / "pool.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows[:64]))
    source = open_source(data)
    options: dict[str, Any] = {"task": None, "batch_size": 8, "max_new_tokens": 8}
    run_score(smollm2, tmp_path / "local", source, **options)
    engine = RayEngine("smollm2", device="cpu", spread=Spread(workers=2))
    run_score(engine.lm, tmp_path / "ray", source, engine=engine, **options)
    assert results(tmp_path / "ray") == results(tmp_path / "local")
