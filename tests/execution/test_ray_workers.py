"""Jobs on a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_sweeps import Place, make_place, scores
from square_jobs import Square, SquareJob, run

from labelcast.errors import InputError, RunError
from labelcast.execution.local import LocalWorkers
from labelcast.execution.ray_workers import RayWorkers, join, on_each_node
from labelcast.execution.workers import Ended, Event, Moved, Retried, Started
from labelcast.sweeps.records import ScoreRow

ray: Any = pytest.importorskip("ray", reason="the extra labelcast[ray] is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")
SOURCE = Path(__file__).resolve().parents[2] / "src"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place for all tests of this module."""
    return make_place(tmp_path_factory.mktemp("place"))


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a node's processes inherit: where labelcast and the tests are."""
    places = (str(SOURCE), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", ""))
    path = os.pathsep.join(filter(None, places))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")


@pytest.fixture
def cluster(environment: None) -> Iterator[Any]:
    """A cluster of two nodes with one CPU each."""
    from ray.cluster_utils import Cluster

    sizes: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80_000_000}
    made: Any = Cluster(initialize_head=True, head_node_args=sizes | {"include_dashboard": False})
    made.add_node(**sizes)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.mark.slow
def test_jobs_share_kept_actors(environment: None, tmp_path: Path) -> None:
    """Two actors do four jobs; one that is killed in a job is replaced, at the cost of a try."""
    jobs = [SquareJob(n) for n in range(3)]
    jobs.append(SquareJob(3, kill_unless=str(tmp_path / "killed")))
    seen = run(RayWorkers(size=2), jobs, retries=1)
    assert {number: square.value for number, square in seen.results.items()} == {
        n: n**2 for n in range(4)
    }
    assert [event.number for event in seen.of(Retried)] == [3]
    processes = {square.process for square in seen.results.values()}
    assert 1 <= len(processes) <= 3 and os.getpid() not in processes
    assert all(event.where.startswith("node ") for event in seen.of(Started))
    assert not ray.is_initialized()


@pytest.mark.parametrize("kind", [LocalWorkers, RayWorkers])
def test_progress_arrives_while_a_job_runs(environment: None, tmp_path: Path, kind: Any) -> None:
    """A job that waits for an answer to its progress ends."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def answer(event: Event[Square]) -> None:
        if isinstance(event, Moved):
            pipe.write_text("go")

    seen = run(kind(size=1), [SquareJob(3, waits_for=str(pipe))], meanwhile=answer)
    assert seen.results[0].error == "" and seen.results[0].value == 9
    assert [type(event) for event in seen.events] == [Started, Moved, Ended]


@pytest.mark.slow
def test_ray_gives_the_same_scores(place: Place, environment: None) -> None:
    """Jobs have the same scores on a local cluster and in local processes."""
    here, there = place.begin("here"), place.begin("there")
    here.sweep.run(here.jobs, LocalWorkers(1))
    there.sweep.run(there.jobs, RayWorkers(size=2))
    assert scores(there.sweep.scores.path) == scores(here.sweep.scores.path)
    assert not ray.is_initialized()


@pytest.mark.slow
def test_without_an_address_no_running_cluster_is_joined(
    cluster: Any, environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another cluster on this machine is not joined unless RAY_ADDRESS names it."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for named, nodes in ((False, 1), (True, 2)):
        if named:
            monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        assert join(ray, None)
        assert len(on_each_node(ray, "CPU")) == nodes
        ray.shutdown()


def test_a_missing_cluster_is_an_error(environment: None) -> None:
    """An address where nothing listens gives one clear error."""
    with pytest.raises(RunError, match="cannot be reached"):
        RayWorkers("127.0.0.1:1")


@pytest.mark.slow
def test_a_node_that_dies_loses_no_job(place: Place, cluster: Any) -> None:
    """A node is killed while a job runs on it: every job still has one row with its score."""
    names = ("first", "second")
    plain = place.begin("plain", names, budgets=(0, 10, 20))
    plain.sweep.run(plain.jobs, LocalWorkers(1))
    begun = place.begin("killed", names, budgets=(0, 10, 20))
    workers: RayWorkers[ScoreRow] = RayWorkers(cluster.address)
    assert workers.slots == 2
    victim = cluster.worker_nodes.copy().pop()
    events: list[Event[ScoreRow]] = []

    def on_event(event: Event[ScoreRow]) -> None:
        events.append(event)
        there = isinstance(event, Started) and event.where.endswith(victim.node_id[:6])
        if there and victim in cluster.worker_nodes:
            cluster.remove_node(victim, allow_graceful=False)

    begun.sweep.run(begun.jobs, workers, retries=0, on_event=on_event)
    assert any(isinstance(event, Retried) for event in events)
    assert scores(begun.sweep.scores.path) == scores(plain.sweep.scores.path)


@pytest.mark.slow
def test_a_job_too_large_for_every_node_is_refused(cluster: Any) -> None:
    """It would wait forever."""
    with pytest.raises(InputError, match="4 CPUs and the largest node of the cluster has 1"):
        RayWorkers(cluster.address, cpus_per_job=4)
