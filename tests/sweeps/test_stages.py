"""Sweeps whose model is trained on other tasks first."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_encoders import save_encoder
from small_sweeps import SHORT, InProcess, Place, make_place

from labelcast.errors import InputError
from labelcast.models.identity import weights_digest
from labelcast.models.loading import load_model
from labelcast.sweeps import compare as compare_module
from labelcast.sweeps import sweep as sweep_module
from labelcast.sweeps.candidates import read_candidates
from labelcast.sweeps.scores import curve_name
from labelcast.sweeps.stages import Stages
from labelcast.sweeps.task_data import SweepTask
from labelcast.training.backend import Fit
from labelcast.training.finetune import CausalBackend
from labelcast.training.recipe import LINEAR


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place for all tests of this module; each test has its own sweep folder."""
    return make_place(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="module")
def warm(place: Place) -> list[SweepTask]:
    """Two stages on different data, of which the first shares texts with the target's data."""
    lines = Path(place.data).read_text().splitlines(keepends=True)
    found = []
    for name, part in (("one", lines[:120]), ("two", lines[120:])):
        path = place.path / f"{name}.jsonl"
        path.write_text("".join(part))
        found.append(replace(place.chosen(name), data=str(path)))
    return found


def stages(tasks: list[SweepTask], *orders: str, labels: int = 30) -> Stages:
    return Stages.of(tasks, orders, labels)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """The digest of the weights and the labels of every training, beside the training."""
    found: list[tuple[str, Any]] = []
    fit = CausalBackend.fit

    def noted(self: Any, lm: Any, wanted: Fit) -> Any:
        found.append((weights_digest(lm.model), wanted.labels))
        return fit(self, lm, wanted)

    monkeypatch.setattr(CausalBackend, "fit", noted)
    return found


def test_each_order_is_trained_once_from_the_one_before(
    place: Place, warm: list[SweepTask], trained: list[tuple[str, Any]]
) -> None:
    """All seeds start from it; zero-shot is measured for each order."""
    begun = place.begin("once", seeds=(1, 2), stages=stages(warm, "none", "one", "one+two"))
    assert [job.stages for job in begun.jobs[:3]] == ["none", "one", "one+two"]
    rows = [job.run() for job in begun.jobs if job.budget]
    assert [row.error for row in rows] == [""] * 6
    assert [row.stages for row in rows] == ["none", "one", "one+two"] * 2
    # Two stages of 30 labels, and six jobs of 10.
    sizes = [len(labels.train) + len(labels.validation) for _, labels in trained]
    assert sorted(sizes) == [10] * 6 + [30] * 2
    folder = place.path / "once" / "stages" / "first"
    own, one, two = (
        weights_digest(load_model(str(path), device="cpu").model)
        for path in (place.model, folder / "one", folder / "one+two")
    )
    assert len({own, one, two}) == 3
    starts = [start for start, _ in trained]
    stage_starts = [start for start, size in zip(starts, sizes, strict=True) if size == 30]
    assert stage_starts == [own, one]
    assert {start: starts.count(start) for start in starts} == {own: 3, one: 3, two: 2}


def test_a_stage_does_not_see_the_test_set(
    place: Place, warm: list[SweepTask], trained: list[tuple[str, Any]]
) -> None:
    """Texts of the target's test set are left out, under whatever field names."""
    renamed = place.path / "renamed.jsonl"
    rows = [json.loads(line) for line in Path(place.data).read_text().splitlines()]
    task = warm[0].task
    [field] = task.inputs
    renamed.write_text(
        "".join(
            json.dumps({"other": row[field.field], task.answer: row[task.answer]}) + "\n"
            for row in rows
        )
    )
    other = task.model_copy(update={"inputs": (field.model_copy(update={"field": "other"}),)})
    all_of_it = stages([SweepTask(other, str(renamed))], "one", labels=1000)
    [job] = place.begin("unseen", budgets=(10,), stages=all_of_it).jobs
    assert job.run().error == ""
    test = {
        text
        for example in job.splits(lambda _, user: user).test
        for text in example.fields.values()
    }
    labels = trained[0][1]
    seen = {text for one in (*labels.train, *labels.validation) for text in one.fields.values()}
    assert len(test) == 20
    assert not test & seen
    assert len(seen) == 180


def test_a_killed_stage_is_trained_again(
    place: Place, warm: list[SweepTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that was saved, but not noted as complete, is not used."""
    [job] = place.begin("killed", budgets=(10,), stages=stages(warm, "one")).jobs
    save = CausalBackend.save

    def killed(self: Any, lm: Any, folder: Path) -> None:
        save(self, lm, folder)
        raise OSError("the disk is full")

    monkeypatch.setattr(CausalBackend, "save", killed)
    assert "the disk is full" in job.run().error
    monkeypatch.setattr(CausalBackend, "save", save)
    assert job.run().error == ""


def test_refused_before_any_job(place: Place, warm: list[SweepTask], tmp_path: Path) -> None:
    """Orders of unknown stages, recipes that train no weights, and other labels in a rerun."""
    for order, part in (("three", "'three' is no --stage"), ("one+one", "appears twice")):
        with pytest.raises(InputError, match=f"--stages .*{part}"):
            place.begin("refused", stages=stages(warm, order))
    with pytest.raises(InputError, match=r"different orders"):
        place.begin("refused", stages=stages(warm, "one", "one"))
    with pytest.raises(InputError, match=r"given twice"):
        place.begin("refused", stages=stages([warm[0], warm[0]], "one"))
    encoder = str(save_encoder(tmp_path / "bert", sentence=True))
    with pytest.raises(InputError, match=r"a stage changes nothing.*--recipe full"):
        place.begin("refused", model=encoder, recipe=LINEAR, stages=stages(warm, "one"))
    free = replace(warm[0], task=warm[0].task.model_copy(update={"answers": ()}))
    with pytest.raises(InputError, match=r"an encoder.*task one lists none"):
        place.begin("refused", model=encoder, stages=stages([free]))
    named = replace(warm[0], task=warm[0].task.model_copy(update={"name": "none"}))
    with pytest.raises(InputError, match=r"must not be called none"):
        place.begin("refused", stages=stages([named]))
    assert not (place.path / "refused").exists()
    place.begin("rerun", stages=stages(warm, "one"))
    other = warm[0].task.model_copy(update={"instruction": "Tell it."})
    for again, labels in ((warm, 20), ([replace(warm[0], task=other), *warm[1:]], None)):
        changes = {} if labels is None else {"labels": labels}
        with pytest.raises(InputError, match=r"another task file or other labels of the stage one"):
            place.begin("rerun", stages=stages(again, "one", **changes))


class Here(InProcess):
    """Takes a type as `LocalWorkers` does."""

    def __class_getitem__(cls, item: object) -> type[Here]:
        return cls


def test_from_python_and_compared(
    place: Place, warm: list[SweepTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without orders: none, and all in order. Both are candidates of a comparison."""
    monkeypatch.setattr(sweep_module, "LocalWorkers", Here)
    out = place.path / "python"
    curves = sweep_module.sweep(
        [place.chosen()], out, model=place.model, recipe=SHORT, budgets=(0, 10), test_size=20,
        device="cpu", max_new_tokens=3, stage_tasks=warm[:1], stage_labels=30,
    )  # fmt: skip
    names = ["first", curve_name("first", stages="one")]
    assert list(curves) == names
    assert list(json.loads((out / "curve.json").read_text())) == names
    found = read_candidates(out, "python", alone=True)
    assert [one.name for one in found] == ["random", "random after one"]
    assert all(len(one.scores) == 2 for one in found)
    compared = compare_module.compare([out], target_score=0.9)
    assert [pair.first for pair in compared.unsaved_pairs()] == ["random"]
    assert compared.savings == ()
