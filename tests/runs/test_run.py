"""The run folder: one question, one writing process at a time."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from labelcast.errors import InputError, RunError
from labelcast.runs.records import ModelPart, RunFacts, RunQuestion
from labelcast.runs.run import Run, versions
from labelcast.tasks.task import Task

TASK = Task.parse("{name: t, instruction: Say it., inputs: [text], answer: y}")
QUESTION = RunQuestion(task=TASK, seed=0)
NO_FACTS = RunFacts()


def changed(**values: Any) -> RunQuestion:
    """`QUESTION` with other values."""
    return QUESTION.model_copy(update=values)


def test_the_same_question_opens_the_same_run(tmp_path: Path) -> None:
    """Nothing is written again, unless the facts have changed."""
    facts = RunFacts(pool="a", model=ModelPart(name="m", fingerprint="f"))
    run = Run.create(tmp_path / "run", QUESTION, facts)
    before = run.file("run.json").stat().st_mtime_ns
    assert Run.create(tmp_path / "run", QUESTION, facts).question == QUESTION
    assert run.file("run.json").stat().st_mtime_ns == before
    moved = RunFacts(pool="b")
    assert Run.create(tmp_path / "run", QUESTION, moved).facts == moved
    assert Run.open(tmp_path / "run").facts == moved


def test_another_question_is_refused_with_its_first_difference(tmp_path: Path) -> None:
    """The message names the key, inside the task too, and both values."""
    run = Run.create(tmp_path / "run", QUESTION, NO_FACTS)
    with pytest.raises(InputError, match="its seed is 0, now it is 1"):
        Run.create(run.path, changed(seed=1), NO_FACTS)
    task = TASK.model_copy(update={"instruction": "Tell."})
    with pytest.raises(InputError, match=r"task's instruction is 'Say it.', now it is 'Tell.'"):
        Run.create(run.path, changed(task=task), NO_FACTS)
    with pytest.raises(InputError, match="its task is 't', now it is not given"):
        Run.create(run.path, changed(task=None), NO_FACTS)
    assert Run.open(run.path).question == QUESTION
    noted = TASK.model_copy(update={"note": "reworded"})
    assert Run.create(run.path, changed(task=noted), NO_FACTS).path == run.path


def test_a_folder_left_by_a_killed_first_step_is_used(tmp_path: Path) -> None:
    """A half-written `run.json` under its temporary name is ignored; other files are not."""
    (tmp_path / ".run.json.123.part").write_text("{")
    (tmp_path / ".lock").touch()
    run = Run.create(tmp_path, QUESTION, NO_FACTS)
    with run.locked():
        assert not list(tmp_path.glob("*.part"))
    run.file("run.json").unlink()
    (tmp_path / "a").touch()
    with pytest.raises(InputError, match="not empty"):
        Run.create(tmp_path, QUESTION, NO_FACTS)


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    """While one process works on a run, another ends with status 1; afterwards it may work."""
    run = Run.create(tmp_path / "run", QUESTION, NO_FACTS)
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


def test_a_run_is_created_under_the_lock(tmp_path: Path) -> None:
    """Facts do not change while another process works on the run."""
    run = Run.create(tmp_path / "run", QUESTION, RunFacts(pool="a"))
    with run.locked(), pytest.raises(RunError, match="another"):
        Run.create(run.path, QUESTION, RunFacts(pool="b"))
    assert Run.open(run.path).facts == RunFacts(pool="a")


def test_a_lock_can_be_waited_for(tmp_path: Path) -> None:
    """A lock that is released in time is taken; else the error comes after the wait."""
    run = Run.create(tmp_path / "run", QUESTION, NO_FACTS)
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


def test_a_manifest_has_the_date_and_the_versions(tmp_path: Path) -> None:
    """It exists once its step is done, and keeps facts that only its step knows."""
    run = Run.create(tmp_path / "run", QUESTION, NO_FACTS)
    assert not run.is_done("score")
    run.finish("score", rank=3, seconds=1.5)
    assert run.is_done("score")
    found = run.manifest("score")
    assert (found.seconds, found.versions, found.to_dict()["rank"]) == (1.5, versions(), 3)
    assert found.finished.endswith("+00:00")
    run.file("manifests/score.json").rename(run.file("manifests/coslow.json"))
    with pytest.raises(InputError, match="of step 'score'"):
        run.manifest("coslow")


def test_the_digest_of_labels(tmp_path: Path) -> None:
    """It changes only with the labels of its set."""
    run = Run.create(tmp_path / "run", QUESTION, NO_FACTS)
    none = run.labels_digest("low")
    run.file("labels.jsonl").write_text('{"set": "random", "y": 1}\n')
    assert run.labels_digest("low") == none
    run.file("labels.jsonl").write_text('{"set": "low", "y": 1}\n')
    assert run.labels_digest("low") != none


@pytest.mark.parametrize(
    ("question", "facts", "says"),
    [
        ({"task": {"name": "t", "instruction": "x"}}, {}, "question.task: .*missing"),
        ({"seed": -1}, {}, "question.seed"),
        ({}, {"model": {"name": "smollm2"}}, "facts.model.fingerprint"),
        ({}, {"size": "x"}, "facts.size"),
    ],
)
def test_a_damaged_run_is_refused_when_it_is_opened(
    tmp_path: Path, question: dict[str, Any], facts: dict[str, Any], says: str
) -> None:
    """The message names the file and the key."""
    (tmp_path / "run.json").write_text(json.dumps({"question": question, "facts": facts}))
    with pytest.raises(InputError, match=rf"run\.json: damaged \(.*{says}"):
        Run.open(tmp_path)


def test_a_run_without_a_model_is_damaged(tmp_path: Path) -> None:
    """Steps that need the model say so."""
    run = Run.create(tmp_path / "run", QUESTION, NO_FACTS)
    with pytest.raises(InputError, match=r"run\.json: damaged \(no 'model'"):
        _ = run.model


def test_run_json_is_read_once(tmp_path: Path) -> None:
    """An open run does not change with its file."""
    Run.create(tmp_path / "run", QUESTION, RunFacts(pool="a"))
    run = Run.open(tmp_path / "run")
    run.file("run.json").unlink()
    assert (run.question, run.facts.pool, run.task) == (QUESTION, "a", TASK)
