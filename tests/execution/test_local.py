"""Jobs in processes of this machine."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from sweeps_made import Place, make_place

from labelcast.execution.jobs import Ended, Event, Moved, Retried, Started, run_jobs
from labelcast.execution.local import LocalWorkers
from labelcast.sweeps.job import JobResult
from labelcast.sweeps.run_job import run_job


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place for all tests of this module."""
    return make_place(tmp_path_factory.mktemp("place"))


def test_two_workers_give_what_one_process_gives(place: Place) -> None:
    """Side by side in processes of their own, jobs have the scores of `run_job` here."""
    jobs = place.begin("same", budgets=(0, 10), seeds=(1, 2)).jobs
    jobs = tuple(replace(job, folder=None) for job in jobs)
    found: list[JobResult] = []
    events: list[Event] = []
    workers = LocalWorkers(2, logs=place.path / "logs")
    run_jobs(workers, jobs, on_result=found.append, on_event=events.append)
    here = {job.key: run_job(job).score for job in jobs}
    assert {(r.task, r.model, r.budget, r.seed, r.recipe): r.score for r in found} == here
    assert {e.where for e in events if isinstance(e, Started)} == {"worker 1", "worker 2"}
    assert any(isinstance(e, Moved) and e.progress.stage == "tuning" for e in events)


def test_a_worker_that_dies_costs_a_try(place: Place) -> None:
    """A job whose process is killed is tried again in a new one, and then has its score."""
    jobs = place.begin("dies", budgets=(10,)).jobs
    workers = LocalWorkers(1, logs=place.path / "logs")
    found: list[JobResult] = []
    seen: list[str] = []

    def on_event(event: Event) -> None:
        seen.append(type(event).__name__)
        if isinstance(event, Started) and seen.count("Started") == 1:
            process = workers._workers[0].process
            assert process is not None
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
        if isinstance(event, Retried):
            assert "signal 9" in event.fault

    run_jobs(workers, jobs, retries=1, on_result=found.append, on_event=on_event)
    assert seen.count("Retried") == 1
    assert [result.failed for result in found] == [False]


def test_an_error_of_a_job_comes_back(place: Place) -> None:
    """A job that cannot be done gives a result with its error; the worker goes on."""
    good = place.begin("error", budgets=(0,)).jobs[0]
    bad = replace(good, data=str(place.path / "nowhere.jsonl"), task_name="bad")
    found: list[JobResult] = []
    run_jobs(LocalWorkers(1), [bad, good], retries=0, on_result=found.append)
    assert ["nowhere.jsonl" in result.error for result in found] == [True, False]


def test_closing_ends_the_processes(place: Place) -> None:
    """After an error in the driver no process is left, busy or not."""
    jobs = place.begin("close", budgets=(10,)).jobs
    workers = LocalWorkers(1)
    processes = []

    def stop(event: Event) -> None:
        processes.append(workers._workers[0].process)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs(workers, jobs, on_result=lambda result: None, on_event=stop)
    assert [process.is_alive() for process in processes if process] == [False]


def test_a_lost_machine_costs_no_try(tmp_path: Path) -> None:
    """A job that goes down with its machine is tried again, in a folder of its own."""
    place = make_place(tmp_path)
    job = place.begin("lost", budgets=(0,)).jobs[0]
    folders: list[str | None] = []

    class Cluster:
        losses = 2

        def free(self) -> bool:
            return True

        def start(self, number: int, started: object) -> None:
            folders.append(getattr(started, "folder", None))

        def wait(self) -> list[Started | Moved | Ended]:
            self.losses -= 1
            if self.losses >= 0:
                return [Ended(0, None, "gone", lost=True)]
            return [Ended(0, JobResult(*job.key, job.metric, score=0.5))]

        def close(self) -> None:
            pass

    found: list[JobResult] = []
    run_jobs(Cluster(), [job], retries=0, on_result=found.append)
    assert [result.score for result in found] == [0.5]
    assert folders == [job.folder, f"{job.folder}-1", f"{job.folder}-2"]
