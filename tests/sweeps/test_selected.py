"""Sweeps whose labels a method chooses."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_encoders import save_encoder
from small_selectors import Grouped, Spread, Targeted, register
from small_sweeps import SHORT, Begun, InProcess, Place, make_place

from labelcast.errors import InputError, LabelcastWarning, RunError
from labelcast.models.protocols import Progress
from labelcast.selection import signals
from labelcast.selection.signals import SignalStore
from labelcast.sweeps import selected
from labelcast.sweeps import sweep as sweep_module
from labelcast.sweeps.job import SweepJob, _Kept
from labelcast.sweeps.scores import curve_name
from labelcast.sweeps.selected import select_labels
from labelcast.sweeps.task_data import read_examples
from labelcast.training.backend import Fit, backend_of
from labelcast.training.finetune import CausalBackend

EVERY = ("random", "shortest", "spread")


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The methods of `small_selectors` can be chosen."""
    register(monkeypatch)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place for all tests of this module; each test has its own sweep folder."""
    return make_place(tmp_path_factory.mktemp("place"))


@pytest.fixture
def trained_on(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The labels of every training, in place of a training."""
    found: list[Any] = []
    fit = CausalBackend.fit

    def noted(self: Any, lm: Any, wanted: Fit) -> Any:
        found.append(wanted.labels)
        return fit(self, lm, wanted)

    monkeypatch.setattr(CausalBackend, "fit", noted)
    return found


def values(row: Any) -> dict[str, Any]:
    """What a job measured, without times."""
    times = {"seconds", "tuning_seconds", "steps_per_second", "selection_seconds", "peak_bytes"}
    return dict(row.model_dump(exclude=times))


def test_zero_shot_runs_once_for_all_selectors(place: Place) -> None:
    """Every other job has each selector; only jobs of other selectors than random name it."""
    begun = place.begin("jobs", budgets=(10, 0), seeds=(1, 2), selectors=("random", "shortest"))
    found = [tuple(job.key)[1:4] for job in begun.jobs]
    assert found[:2] == [(0, 1, "random"), (0, 2, "random")]
    assert found[2:] == [(10, s, name) for s in (1, 2) for name in ("random", "shortest")]
    folders = [Path(str(job.folder)).name for job in begun.jobs]
    assert folders[-2:] == ["first-10-2", "first-10-2-shortest"]
    assert len({job.placement.reports.name for job in begun.jobs}) == len(begun.jobs)
    only = place.begin("only", selectors=("shortest",)).jobs
    assert [job.selector for job in only] == ["random", "shortest"]


def test_random_is_the_order_by_hash(place: Place, trained_on: list[Any]) -> None:
    """Random jobs measure the same beside other selectors, from the first labels of the split."""
    alone = [job.run() for job in place.begin("alone").jobs]
    beside = place.begin("beside", selectors=EVERY).jobs
    rows = [job.run() for job in beside if job.selector == "random"]
    assert [values(row) for row in rows] == [values(row) for row in alone]
    splits = beside[1].splits(lambda instruction, user: user)
    labels = trained_on[0]
    ids = {example.id for example in (*labels.train, *labels.validation)}
    assert ids == {example.id for example in splits.order[:10]}
    assert rows[1].selection_seconds == 0


def test_a_selector_chooses_from_the_training_part(place: Place, trained_on: list[Any]) -> None:
    """Its labels are of the training part, in its order, on the test set that random has."""
    [zero, drawn, shortest, _] = place.begin("part", selectors=EVERY).jobs
    rows = [job.run() for job in (zero, drawn, shortest)]
    assert [row.error for row in rows] == ["", "", ""]
    assert len({row.test_digest for row in rows}) == 1
    assert (rows[2].selector, rows[2].selection_seconds > 0) == ("shortest", True)
    splits = shortest.splits(lambda instruction, user: user)
    wanted = sorted(splits.order, key=lambda one: (len(one.prompt), one.content))[:10]
    labels = trained_on[1]
    # The 2nd and the 7th validate.
    assert [one.id for one in labels.validation] == [wanted[1].id, wanted[6].id]
    rest = [one.id for n, one in enumerate(wanted) if n not in (1, 6)]
    assert [one.id for one in labels.train] == rest


def test_a_task_is_embedded_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other seeds, budgets and processes read the kept vectors, whatever their order."""
    jobs = place.begin("once", budgets=(10, 20), seeds=(1, 2), selectors=("spread",)).jobs
    embedded: list[int] = []
    embed = signals.SignalStore._computed

    def counted(self: Any, key: str, count: int, *args: Any) -> Any:
        embedded.append(count)
        return embed(self, key, count, *args)

    monkeypatch.setattr(signals.SignalStore, "_computed", counted)
    for job in jobs:
        selected._store.cache_clear()  # as in a new process
        assert job.run().error == ""
    assert embedded == [180]
    assert all(np.array_equal(Spread.embedded[0], other) for other in Spread.embedded)
    assert list((place.path / "once" / "signals" / "first").glob("embeddings-*.safetensors"))


def test_one_process_computes_and_the_others_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two at once: the second says that it waits, then reads what the first has computed."""
    monkeypatch.setattr(signals, "_PATIENCE", 0.0)
    inside, warned, computed = threading.Event(), threading.Event(), []

    def compute(rows: Sequence[int], progress: Progress) -> dict[str, Any]:
        computed.append(len(rows))
        inside.set()
        time.sleep(0.3)
        return {"values": np.arange(len(rows))}

    def second() -> None:
        inside.wait(10)
        with pytest.warns(LabelcastWarning, match="another process computes the signal signal"):
            SignalStore(tmp_path).rows("signal", ["a"], 5, compute)
        warned.set()

    thread = threading.Thread(target=second)
    thread.start()
    SignalStore(tmp_path).rows("signal", ["a"], 5, compute)
    thread.join()
    assert computed == [5] and warned.is_set()


def test_a_folder_that_cannot_be_made(place: Place, tmp_path: Path) -> None:
    """On another machine the folder may be missing: signals are then computed for the process."""
    (tmp_path / "file").write_text("")
    job = place.begin("no-folder", selectors=("spread",)).jobs[1]
    lm = backend_of(job.settings.recipe, job.settings.model).load(
        job.settings.model, job.settings.recipe, job.placement
    )
    pool, embed = list(job.splits(lm.render).order), partial(lm.embed, batch_size=None)
    found: list[list[str]] = []
    for folder in (tmp_path / "file" / "signals", None):
        random.Random(len(found)).shuffle(pool)
        chosen = select_labels(
            *("spread", job.source, pool, 5), seed=1, lm=lm, embed=embed, folder=folder
        )
        found.append([example.id for example in chosen])
    assert found[0] == found[1]


def test_a_method_may_change_its_model(place: Place) -> None:
    """Training starts from the model as it was."""
    jobs = place.begin("spoiled", selectors=("shortest", "spoiling")).jobs
    rows = [values(job.run()) | {"selector": ""} for job in jobs[1:]]
    assert rows[0] == rows[1]
    assert place.begin("spoiled").sweep.read().after_labelling == ["spoiling"]


def test_refused_before_any_job(place: Place, tmp_path: Path) -> None:
    """An unknown method, and one that needs what a sweep does not have."""
    encoder = str(save_encoder(tmp_path / "encoder"))
    for changes, says in (
        ({"selectors": ("nothing",)}, "--select nothing: no such method. Choose random, "),
        ({"selectors": ("random", "targeted")}, "--select targeted: .* a target set.*--target"),
        (
            {"selectors": ("grouped",)},
            "--select grouped: .* the subtask of each example.*--group-by",
        ),
        ({"selectors": ("shown",), "model": encoder}, "the sweep's model is an encoder"),
        ({"selectors": ("random", "random")}, "--select: different methods"),
        ({"selectors": ()}, "--select: different methods"),
    ):
        with pytest.raises(InputError, match=says):
            place.begin("refused", **changes)
    assert not (place.path / "refused").exists()


def test_a_target_set_shares_nothing_with_the_test_set(place: Place) -> None:
    """A method gets the rest of it; a rerun with another target set is refused."""
    lines = Path(place.data).read_text().splitlines(keepends=True)
    target, other = place.path / "target.jsonl", place.path / "other.jsonl"
    target.write_text("".join(lines[:100]))
    other.write_text("".join(lines[:50]))
    task = replace(place.chosen(), target=str(target))
    [_, job] = place.begin("target", [task], selectors=("targeted",)).jobs
    assert job.run().error == ""
    test = {one.content for one in job.splits(lambda _, user: user).test}
    [given] = Targeted.targets
    read = list(read_examples(str(target), task.task, lambda _, user: user))
    assert given == [one.content for one in read if one.content not in test]
    assert 50 < len(given) < 100
    assert place.begin("target").sweep.read().tasks["first"].target == str(target)
    with pytest.raises(InputError, match="another target set"):
        place.begin("target", [replace(task, target=str(other))])


def test_subtasks_of_the_data(place: Place) -> None:
    """A method gets the subtask of each example, and of the target set if that has the field."""
    lines = Path(place.data).read_text().splitlines()
    rows = [json.loads(line) | {"part": n % 3} for n, line in enumerate(lines)]
    files = [place.path / name for name in ("parts.jsonl", "target-parts.jsonl")]
    for file, some in zip(files, (rows, rows[:100]), strict=True):
        file.write_text("".join(json.dumps(row) + "\n" for row in some))
    task = replace(place.chosen(), data=str(files[0]), group_by="part")
    [_, job] = place.begin("parts", [task], selectors=("grouped",)).jobs
    [_, targeted] = place.begin(
        "parts-target", [replace(task, target=str(files[1]))], selectors=("grouped",)
    ).jobs
    for one in (job, targeted):
        assert one.run().error == ""
    (parts, nothing), (again, of_target) = Grouped.pools
    read = list(read_examples(str(files[0]), task.task, lambda _, user: user))
    assert len(parts) == 180
    assert again == parts
    assert parts.items() <= {one.content: str(one.index % 3) for one in read}.items()
    assert nothing is None
    assert of_target is not None
    assert set(of_target) == {"0", "1", "2"}
    with pytest.raises(InputError, match="with another --group-by"):
        place.begin("parts", [replace(task, group_by="text")])
    # A rerun keeps the field, and cannot add it once a method has selected labels.
    [_, later] = place.begin("parts", [replace(task, group_by=None)], selectors=("grouped",)).jobs
    assert later.source.group_by == "part"
    without = replace(task, group_by=None)
    place.begin("random", [without])
    place.begin("random", [task])
    place.begin("chosen", [without], selectors=("spread",))
    with pytest.raises(InputError, match="with another --group-by"):
        place.begin("chosen", [task], selectors=("spread",))
    with pytest.raises(InputError, match=r"parts\.jsonl line \d+: no field '"):
        place.begin("no-part", [replace(task, group_by="nothing")], selectors=("grouped",))
    for row in rows[50:100]:
        del row["part"]
    files[1].write_text("".join(json.dumps(row) + "\n" for row in rows[:100]))
    with pytest.raises(InputError, match=r"target-parts\.jsonl line \d+: no field '"):
        place.begin("lacking", [replace(task, target=str(files[1]))], selectors=("grouped",))


def test_several_processes_select_with_weights(place: Place) -> None:
    """They train an outline, whose weights are on no device; a method sees the model itself."""
    [_, job] = place.begin("outline", selectors=("spread",), processes=2).jobs
    backend = backend_of(job.settings.recipe, job.settings.model)
    kept = _Kept()
    [outline, whole, again] = [
        kept.model(one, backend, job.settings.model).model
        for one in (job, replace(job, budget=0), job)
    ]
    assert [w.is_meta for m in (outline, whole, again) for w in [next(m.parameters())]] == [
        True,
        False,
        True,
    ]


def test_from_python(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """One curve for each selector; zero-shot is in each."""

    class Here(InProcess):
        def __class_getitem__(cls, item: object) -> type[Here]:
            return cls

    monkeypatch.setattr(sweep_module, "LocalWorkers", Here)
    curves = sweep_module.sweep(
        [place.chosen()],
        place.path / "python",
        model=place.model,
        recipe=SHORT,
        budgets=(0, 10),
        selectors=("random", "shortest"),
        test_size=20,
        device="cpu",
        max_new_tokens=3,
    )
    assert list(curves) == ["first", "first [shortest]"]
    assert [curve.budgets for curve in curves.values()] == [[0, 10]] * 2
    assert curves["first"].zero_shot == curves["first [shortest]"].zero_shot


def test_all_jobs_fail(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error, and no empty curve; the jobs run again on request."""

    class Here(Made):
        failing = "random"

        def __class_getitem__(cls, item: object) -> type[Here]:
            return cls

    def run(**more: Any) -> dict[str, Any]:
        out = place.path / "failed"
        return sweep_module.sweep(
            [place.chosen()], out, model=place.model, budgets=(10,), test_size=20, **more
        )

    monkeypatch.setattr(sweep_module, "LocalWorkers", Here)
    for _ in range(2):
        with pytest.raises(RunError, match=r"all 1 jobs failed: no luck.*__main__"):
            run()
    monkeypatch.setattr(Here, "failing", "")
    assert run(retry_failed=True)["first"].budgets == [10]


@pytest.mark.slow
def test_a_script_without_a_guard(place: Place) -> None:
    """The worker that runs it again and the call itself say what is missing."""
    script = place.path / "script.py"
    task = place.task()
    task.write_text(task.read_text().replace("{name", f"{{data: {place.data}, name"))
    given = f"[{str(task)!r}], {str(place.path / 'bare')!r}, model={place.model!r}"
    script.write_text(
        f"import labelcast as lc\nlc.sweep({given}, budgets=(0,), test_size=20, retries=0)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'if __name__ == "__main__":' in done.stderr.splitlines()[-1]
    assert "ran the whole script again" in done.stderr


class Made(InProcess):
    """Workers that make scores up; jobs of one selector fail."""

    failing = "spread"

    def do(self, job: Any, report: Any) -> Any:
        assert isinstance(job, SweepJob)
        splits = job.splits(lambda instruction, user: user)
        score = 0.4 + job.budget / 100 + 0.01 * EVERY.index(job.selector)
        made: dict[str, Any] = {"score": score, "test_size": 20}
        made = {"error": "no luck"} if job.selector == self.failing else made
        return job.row(test_digest=splits.test_digest, **made)


def begin(place: Place, *selectors: str) -> Begun:
    """A sweep of one folder with these selectors."""
    return place.begin("joined", budgets=(0, 10, 20), selectors=selectors)


def test_a_rerun_adds_selectors(place: Place) -> None:
    """Only their jobs run; failed ones on request; every selector has its curve."""
    begun = begin(place, "random")
    begun.sweep.run(begun.jobs, Made(), retries=0)
    before = json.loads((begun.sweep.path / "curve.json").read_text())
    assert list(before) == ["first"]
    more = begin(place, "spread", "shortest")
    left = more.sweep.missing(more.jobs)
    assert {job.selector for job in left} == {"spread", "shortest"} and len(left) == 4
    more.sweep.run(left, Made(), retries=0)
    assert more.sweep.read().selectors == ["random", "spread", "shortest"]
    again = more.sweep.missing(more.jobs, retry_failed=True)
    assert {job.selector for job in again} == {"spread"} and len(again) == 2
    curves = json.loads((begun.sweep.path / "curve.json").read_text())
    assert curves["first"] == before["first"]
    assert curves["first [shortest]"]["scores"] == pytest.approx([0.4, 0.51, 0.61])
    assert curves[curve_name("first", "spread")]["budgets"] == [0]


def test_a_sweep_of_an_earlier_version_opens(place: Place) -> None:
    """Without selectors in its files it has random labels, and can be extended."""
    begun = place.begin("earlier", budgets=(0, 10))
    begun.sweep.run(begun.jobs, Made())
    content = json.loads(begun.sweep.file.read_text())
    del content["selectors"], content["after_labelling"]
    begun.sweep.file.write_text(json.dumps(content))
    rows = [json.loads(line) for line in begun.sweep.scores.path.read_text().splitlines()]
    for row in rows:
        del row["selector"], row["selection_seconds"]
    begun.sweep.scores.path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert begun.sweep.missing(begun.jobs) == ()
    more = place.begin("earlier", selectors=("random", "shortest"))
    assert [job.selector for job in more.sweep.missing(more.jobs)] == ["shortest"]
    assert more.sweep.read().selectors == ["random", "shortest"]
