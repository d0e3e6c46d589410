"""Jobs in processes of this machine, and the order, retries and losses of jobs anywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from square_jobs import Square, SquareJob, run

from labelcast.execution.local import LocalWorkers, _visible
from labelcast.execution.workers import Ended, Event, Job, Moved, Retried, Started, run_jobs


def test_jobs_share_kept_processes() -> None:
    """Two workers do four jobs in at most two other processes, and report their progress."""
    seen = run(LocalWorkers(2), [SquareJob(n) for n in range(4)])
    assert {number: square.value for number, square in seen.results.items()} == {
        n: n**2 for n in range(4)
    }
    processes = {square.process for square in seen.results.values()}
    assert 1 <= len(processes) <= 2 and os.getpid() not in processes
    assert {event.where for event in seen.of(Started)} <= {"worker 1", "worker 2"}
    assert len(seen.of(Moved)) == 4


def test_a_worker_that_dies_costs_a_try(tmp_path: Path) -> None:
    """A job whose process is killed is tried again in a new process."""
    job = SquareJob(3, kill_unless=str(tmp_path / "killed"))
    seen = run(LocalWorkers(1, logs=tmp_path / "logs"), [job], retries=1)
    assert seen.results[0].value == 9
    assert ["signal 9" in event.fault for event in seen.of(Retried)] == [True]


def test_a_failed_job_is_retried_after_the_others() -> None:
    """It waits behind the other jobs; its last result is passed on, with its error."""
    seen = run(LocalWorkers(1), [SquareJob(1, fails=True), SquareJob(2)], retries=1)
    assert [event.number for event in seen.of(Started)] == [0, 1, 0]
    assert (seen.results[0].error, seen.results[1].error) == ("cannot", "")


def test_closing_ends_the_processes() -> None:
    """After an error in the parent no process is left, busy or not."""
    workers: LocalWorkers[Square] = LocalWorkers(1)
    processes = []

    def stop(event: Event[Square]) -> None:
        processes.append(workers._workers[0].process)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs(workers, {0: SquareJob(1)}, on_result=lambda number, square: None, on_event=stop)
    assert [process.is_alive() for process in processes if process] == [False]


def test_a_lost_machine_costs_no_try() -> None:
    """A job that goes down with its machine is tried again as the job `after_loss`."""
    ends: Iterator[Ended[Square]] = iter(
        [*[Ended(0, None, "gone", lost=True)] * 2, Ended(0, Square(4))]
    )
    started: list[Job[Square]] = []

    class Cluster:
        def free(self) -> bool:
            return True

        def start(self, number: int, job: Job[Square]) -> None:
            started.append(job)

        def wait(self) -> list[Ended[Square]]:
            return [next(ends)]

        def close(self) -> None:
            pass

    assert run(Cluster(), [SquareJob(2)]).results == {0: Square(4)}
    assert started == [SquareJob(2, losses=losses) for losses in range(3)]


def test_a_process_sees_its_gpus_before_it_imports_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CUDA fixes its list of GPUs when a module first asks, also the caller's own."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    with _visible("5"):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "5"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,5"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with _visible("0"):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize(("size", "gpus", "share"), [(1, "0", 1), (2, "0", 0.5), (4, "0,1", 0.5)])
def test_more_jobs_than_gpus_share_their_memory(
    size: int, gpus: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each plans with its part of a GPU, and not with all of it."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    workers: LocalWorkers[Any] = LocalWorkers(size)
    assert workers._share == share
