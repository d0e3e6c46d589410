"""The run folder: one question, one process at a time."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from labelcast.errors import InputError, RunError
from labelcast.runs.run import Run, versions

QUESTION = {"task": {"name": "t", "instruction": "Say it."}, "seed": 0}


def test_the_same_question_goes_on(tmp_path: Path) -> None:
    """It writes nothing; where the pool lies now may change."""
    run = Run.create(tmp_path / "run", QUESTION, {"pool": "a"})
    before = run.file("run.json").stat().st_mtime_ns
    assert Run.create(tmp_path / "run", QUESTION, {"pool": "a"}).question == QUESTION
    assert run.file("run.json").stat().st_mtime_ns == before
    Run.create(tmp_path / "run", QUESTION, {"pool": "b"})
    assert run.facts == {"pool": "b"}


def test_another_question_is_told_by_its_first_difference(tmp_path: Path) -> None:
    """The key is named, inside the task too, with both values."""
    run = Run.create(tmp_path / "run", QUESTION, {})
    with pytest.raises(InputError, match="its seed is 0, now it is 1"):
        Run.create(run.path, QUESTION | {"seed": 1}, {})
    with pytest.raises(InputError, match="its rank is not given, now it is 8"):
        Run.create(run.path, QUESTION | {"rank": 8}, {})
    task = {"name": "t", "instruction": "Tell."}
    with pytest.raises(InputError, match=r"task's instruction is 'Say it.', now it is 'Tell.'"):
        Run.create(run.path, QUESTION | {"task": task}, {})
    with pytest.raises(InputError, match="its task is 't', now it is not given"):
        Run.create(run.path, QUESTION | {"task": None}, {})
    assert run.question == QUESTION


def test_a_folder_left_by_a_killed_first_step_is_taken(tmp_path: Path) -> None:
    """Half a `run.json` under its other name is no content; anything else is."""
    (tmp_path / ".run.json.123.part").write_text("{")
    (tmp_path / ".lock").touch()
    run = Run.create(tmp_path, QUESTION, {})
    with run.locked():
        assert not list(tmp_path.glob("*.part"))
    run.file("run.json").unlink()
    (tmp_path / "a").touch()
    with pytest.raises(InputError, match="not empty"):
        Run.create(tmp_path, QUESTION, {})


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    """While one works on a run another gets status 1; afterwards it may."""
    run = Run.create(tmp_path / "run", QUESTION, {})
    other = (
        "import sys\nfrom labelcast.runs.run import Run\nfrom labelcast.errors import RunError\n"
        "try:\n with Run(sys.argv[1]).locked(): sys.exit(0)\n"
        "except RunError as error: sys.exit(f'{error.status} {error}')"
    )
    command = [sys.executable, "-c", other, str(run.path)]
    path = str(Path(__file__).resolve().parents[2] / "src")
    with run.locked():
        done = subprocess.run(
            command, capture_output=True, text=True, env={"PYTHONPATH": path}, check=False
        )
        assert done.returncode == 1
        assert "1 " in done.stderr
        assert "another labelcast process" in done.stderr
        with pytest.raises(RunError, match="another"), Run(run.path).locked():
            pass
    assert subprocess.run(command, env={"PYTHONPATH": path}, check=False).returncode == 0


def test_a_run_is_begun_by_one_process_at_a_time(tmp_path: Path) -> None:
    """What a run is for is written under the lock too."""
    run = Run.create(tmp_path / "run", QUESTION, {"pool": "a"})
    with run.locked(), pytest.raises(RunError, match="another"):
        Run.create(run.path, QUESTION, {"pool": "b"})
    assert run.facts == {"pool": "a"}


def test_a_lock_may_be_waited_for(tmp_path: Path) -> None:
    """One that is let go in time is had; one that is not is told after the wait."""
    run = Run.create(tmp_path / "run", QUESTION, {})
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with Run(run.path).locked():
            taken.set()
            done.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    taken.wait(10)
    with pytest.raises(RunError, match="another"), run.locked(wait=0.05):
        pass
    done.set()
    with run.locked(wait=10):
        holder.join()


def test_a_manifest_says_when_and_with_what(tmp_path: Path) -> None:
    """It exists once its step is done."""
    run = Run.create(tmp_path / "run", QUESTION, {})
    assert not run.is_done("score")
    run.finish("score", seed=3)
    assert run.is_done("score")
    text = run.file("manifests/score.json").read_text()
    assert '"seed": 3' in text
    assert versions()["python"] in text


def test_labels_have_a_digest(tmp_path: Path) -> None:
    """It changes with the labels of its set alone."""
    run = Run.create(tmp_path / "run", QUESTION, {})
    none = run.labels_digest("low")
    run.file("labels.jsonl").write_text('{"set": "random", "y": 1}\n')
    assert run.labels_digest("low") == none
    run.file("labels.jsonl").write_text('{"set": "low", "y": 1}\n')
    assert run.labels_digest("low") != none


def test_a_damaged_task_is_told(tmp_path: Path) -> None:
    """A run whose task was changed by hand names the key."""
    run = Run.create(tmp_path / "run", QUESTION, {})
    with pytest.raises(InputError, match=r"run\.json: damaged.*missing"):
        assert run.task


def test_a_run_without_its_model_is_damaged(tmp_path: Path) -> None:
    """A part of run.json that is missing is named, in place of a traceback."""
    run = Run.create(tmp_path / "run", {"seed": 0}, {"model": {"name": "smollm2"}})
    with pytest.raises(InputError, match=r"run\.json: damaged"):
        _ = run.model
