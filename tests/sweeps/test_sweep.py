"""A sweep's folder: its jobs, what is kept, and what a rerun does."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_encoders import save_encoder
from small_sweeps import InProcess, Place, make_place, scores
from small_training import save_model

from labelcast.errors import InputError, LabelcastWarning, RunError
from labelcast.execution.workers import Job, ReportProgress
from labelcast.files.json_files import JsonLines
from labelcast.sweeps.job import SweepJob, SweepSettings
from labelcast.sweeps.records import ScoreRow
from labelcast.sweeps.scores import ScoresFile
from labelcast.sweeps.sweep import Sweep, sweep_task
from labelcast.training.recipe import FULL, LORA

FIELDS = ("task", "model", "budget", "seed", "metric", "score", "test_size", "seconds", "error")


class Made(InProcess):
    """Workers that make scores up."""

    def __init__(self, digest: str, fail: Sequence[int] = (), times: int = 99) -> None:
        self.digest, self.fail, self.times = digest, fail, times
        self.started: list[int] = []

    def do(self, job: Job[ScoreRow], report: ReportProgress) -> ScoreRow:
        assert isinstance(job, SweepJob)
        self.started.append(job.budget)
        values: dict[str, Any] = {"score": 0.5 + job.budget / 1000, "test_digest": self.digest}
        if job.budget in self.fail and self.times:
            self.times -= 1
            values = {"error": "no luck"}
        return job.row(test_size=job.settings.test_size, seconds=1.0, **values)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place for all tests of this module; each test has its own sweep folder."""
    return make_place(tmp_path_factory.mktemp("place"))


def digest(sweep: Sweep) -> str:
    """Of the test set of the task `first`."""
    return sweep.read().tasks["first"].test_digest


def test_jobs_are_all_combinations(made: Place) -> None:
    """Tasks x budgets x seeds, smallest budget first, each with a folder of its own."""
    begun = made.begin("all", ("first", "second"), budgets=(10, 0), seeds=(1, 2))
    found = [(job.budget, job.name, job.seed) for job in begun.jobs]
    wanted = [(b, t, s) for b in (0, 10) for t in ("first", "second") for s in (1, 2)]
    assert found == wanted
    assert len({job.folder for job in begun.jobs}) == len(begun.jobs)


def test_rows_begin_with_the_fixed_fields(made: Place) -> None:
    """Each row has the fixed fields first, in order, and a rerun finds nothing left to do."""
    begun = made.begin("rows")
    begun.sweep.run(begun.jobs, Made(digest(begun.sweep)))
    lines = (begun.sweep.path / "scores.jsonl").read_text().splitlines()
    assert [tuple(json.loads(line))[: len(FIELDS)] for line in lines] == [FIELDS] * 2
    assert begun.sweep.missing(begun.jobs) == ()


def test_a_failed_job_is_tried_again_then_recorded(made: Place) -> None:
    """After its retries a job's error is in its row; the other jobs run as well."""
    begun = made.begin("failed", budgets=(0, 10, 20))
    workers = Made(digest(begun.sweep), fail=[0])
    begun.sweep.run(begun.jobs, workers, retries=2)
    rows = {row.budget: row for row in begun.sweep.scores.rows()}
    assert workers.started == [0, 10, 20, 0, 0]
    assert (rows[0].error, rows[0].score) == ("no luck", None)
    assert [rows[10].error, rows[20].error] == ["", ""]


def test_failed_jobs_run_again_only_on_request(made: Place) -> None:
    """With `retry_failed` the new row replaces the failed one."""
    begun = made.begin("again")
    begun.sweep.run(begun.jobs, Made(digest(begun.sweep), fail=[10]), retries=0)
    assert begun.sweep.missing(begun.jobs) == ()
    left = begun.sweep.missing(begun.jobs, retry_failed=True)
    assert [job.budget for job in left] == [10]
    begun.sweep.run(left, Made(digest(begun.sweep)))
    rows = begun.sweep.scores.rows()
    assert sorted((row.budget, row.error) for row in rows) == [(0, ""), (10, "")]


def test_a_retry_that_works_leaves_no_error(made: Place) -> None:
    """A job that fails once and then works has one row, without an error."""
    begun = made.begin("once")
    begun.sweep.run(begun.jobs, Made(digest(begun.sweep), fail=[10], times=1), retries=1)
    assert [row.error for row in begun.sweep.scores.rows()] == ["", ""]


def test_an_unfinished_line_is_cut_off(made: Place) -> None:
    """The last line is cut off if it has no end, and its job runs again."""
    begun = made.begin("half")
    begun.sweep.run(begun.jobs, Made(digest(begun.sweep)))
    file = begun.sweep.scores.path
    whole = file.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in (first, first + 1, len(whole) - 1):
        file.write_bytes(whole[:cut])
        left = begun.sweep.missing(begun.jobs)
        assert [job.budget for job in left] == [10]
        begun.sweep.run(left, Made(digest(begun.sweep)))
        assert file.read_bytes() == whole


def test_a_full_disk_leaves_complete_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that cannot be written is removed, and the error says why."""
    file = JsonLines(tmp_path / "rows.jsonl")
    file.add({"a": 1})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="disk is full"):
        file.add({"a": 2})
    monkeypatch.undo()
    assert file.read() == [{"a": 1}]


def test_a_repeated_row_is_refused(tmp_path: Path) -> None:
    """The error for two rows of one job names the line."""
    file = ScoresFile(tmp_path / "scores.jsonl")
    texts = dict.fromkeys(("task", "model", "metric", "error"), "x")
    row = dict.fromkeys(FIELDS, 1) | texts
    file.add(row)
    file.add(row)
    with pytest.raises(InputError, match=r"line 2.*appears twice"):
        file.rows()


def test_another_sweep_is_refused(made: Place) -> None:
    """A folder has one model, recipe and test set; budgets, seeds and tasks may be added."""
    made.begin("one")
    for changes, says in (
        ({"recipe": FULL}, "another recipe"),
        ({"test_size": 21}, "another test size"),
        ({"model": str(save_model(made.path / "copies/copy"))}, "another model"),
    ):
        with pytest.raises(InputError, match=says):
            made.begin("one", **changes)
    more = made.begin("one", ("first", "second"), budgets=(20,), seeds=(2,))
    content = more.sweep.read()
    assert (content.budgets, content.seeds) == ([0, 10, 20], [1, 2])
    assert sorted(content.tasks) == ["first", "second"]


def test_changed_data_is_refused(tmp_path: Path) -> None:
    """Scores on two test sets never mix, whether a rerun or a job finds other data."""
    place = make_place(tmp_path)
    begun = place.begin("sweep")
    begun.sweep.run(begun.jobs[:1], Made("of other data"))
    assert "test set differs" in begun.sweep.scores.rows()[0].error
    lines = Path(place.data).read_text().splitlines(keepends=True)
    Path(place.data).write_text("".join(lines[:150]))
    with pytest.raises(InputError, match="another test set"):
        place.begin("sweep")


def test_changed_examples_to_train_on_are_reported(tmp_path: Path) -> None:
    """A rerun with other labels is possible, as with more data, but not without a warning."""
    place = make_place(tmp_path)
    lines = Path(place.data).read_text().splitlines(keepends=True)
    task = replace(place.chosen(), test_data=str(tmp_path / "test.jsonl"))
    (tmp_path / "test.jsonl").write_text("".join(lines[:30]))
    Path(place.data).write_text("".join(lines[30:]))
    place.begin("sweep", [task])
    place.begin("sweep", [task], budgets=(20,))
    Path(place.data).write_text("".join(lines[40:]))
    for _ in range(2):  # a second time after a kill
        with pytest.warns(LabelcastWarning, match="examples of first to train on have changed"):
            place.begin("sweep", [task], budgets=(30,))
    Path(place.data).write_text("".join(lines[30:]))
    place.begin("sweep", [task], budgets=(30,))


def test_a_model_that_moved_is_found_where_it_is(made: Place) -> None:
    """By its last name; a rerun records its new folder."""
    made.begin("moved")
    folder = save_model(made.path / "elsewhere" / Path(made.model).name)
    made.begin("moved", model=str(folder))
    assert Sweep(made.path / "moved").read().model.name == str(folder)
    with pytest.raises(InputError, match=r"another model .*under its last name, model\."):
        made.begin("moved", model=str(save_model(made.path / "elsewhere" / "other")))


def test_settings_that_no_job_can_have_are_refused(made: Place) -> None:
    """Before any job runs."""
    with pytest.raises(InputError, match=r"--budgets 1: give 0 for zero-shot, or 2 or more"):
        made.begin("one-label", budgets=(0, 1, 50))
    with pytest.raises(InputError, match=r"--dtype float16: .*Use --dtype bfloat16"):
        made.begin("float16", dtype="float16")
    made.begin("zero-shot", budgets=(0,), dtype="float16")


def test_too_little_data_is_refused_before_any_work(made: Place) -> None:
    """The error says how many examples are left to train on."""
    with pytest.raises(InputError, match="leaves 180 examples"):
        made.begin("little", budgets=(0, 5000))


def test_a_generated_task_gets_its_size() -> None:
    """Without a size it has room for 5,000 labels and the test set, whatever the budgets."""
    sizes = {
        sweep_task("boolean_expressions", SweepSettings("m", FULL, budgets=budgets)).data
        for budgets in ((0, 50), (0, 5000))
    }
    assert sizes == {"generated:boolean_expressions:5500"}


def test_the_curve_has_means_and_area(made: Place) -> None:
    """Scores are averaged over seeds; the area is that of `EfficiencyCurve`, marked censored."""
    begun = made.begin("curve", budgets=(0, 10, 20), seeds=(1, 2))
    begun.sweep.run(begun.jobs, Made(digest(begun.sweep)))
    curve = json.loads((begun.sweep.path / "curve.json").read_text())["first"]
    assert curve["budgets"] == [0, 10, 20]
    assert curve["scores"] == pytest.approx([0.5, 0.51, 0.52])
    assert curve["seeds"] == [2, 2, 2]
    assert curve["gains"] == pytest.approx([0, 0.5, 1])
    assert curve["censored"] is True
    assert 0 < curve["auc"] < 1


def test_two_processes_cannot_work_on_one_sweep(made: Place) -> None:
    """The second one gets an error, and writes nothing."""
    begun = made.begin("locked")

    class Second(Made):
        def start(self, number: int, job: Job[ScoreRow]) -> None:
            with pytest.raises(RunError, match="another labelcast process"):
                begun.sweep.run(begun.jobs, Made(self.digest))
            super().start(number, job)

    begun.sweep.run(begun.jobs, Second(digest(begun.sweep)))
    assert len(scores(begun.sweep.scores.path)) == 2


def test_a_folder_of_other_files_is_not_a_sweep(made: Place) -> None:
    """Its `curve.json` would be replaced, and its folder `jobs` deleted."""
    folder = made.path / "other"
    (folder / "jobs").mkdir(parents=True)
    with pytest.raises(InputError, match="not empty and is not a sweep"):
        made.begin("other", budgets=(0,))
    assert [path.name for path in folder.iterdir()] == ["jobs"]


def test_a_recipe_for_other_models_is_refused_before_any_work(tmp_path: Path) -> None:
    """An encoder has no adapters to train: one message, and no folder."""
    encoder = str(save_encoder(tmp_path / "encoder"))
    settings = SweepSettings(model=encoder, recipe=LORA, budgets=(0, 20), seeds=(1,))
    source = sweep_task("post_room", settings)
    with pytest.raises(InputError, match="trains language models"):
        Sweep(tmp_path / "out").begin([source], settings)
    assert not (tmp_path / "out").exists()
