"""One job of a sweep."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from shared_data import shared
from small_training import QUICK, QUICK_LORA, TASK, load, records, save_model, write_records

from labelcast.errors import InputError, NoMemoryError
from labelcast.execution.local import visible_gpus
from labelcast.execution.workers import JobProgress
from labelcast.sweeps import job as job_module
from labelcast.sweeps.job import SweepJob, SweepSettings
from labelcast.sweeps.records import ScoreRow
from labelcast.sweeps.task_data import SweepTask, split
from labelcast.tasks.task import Task
from labelcast.training import finetune
from labelcast.training.evaluate import Scoring, evaluate
from labelcast.training.recipe import Lora, Recipe


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model and labelled records."""
    folder = tmp_path_factory.mktemp("job")
    return save_model(folder / "model"), write_records(folder, 700)


@pytest.fixture
def job(files: tuple[Path, Path]) -> SweepJob:
    """A quick job on them."""
    model, data = files
    recipe = QUICK.model_copy(update={"max_steps": 12})
    settings = SweepSettings(str(model), recipe, test_size=60, device="cpu", threads=1)
    return SweepJob(settings, SweepTask(TASK, str(data)), budget=50, seed=0)


def changed(job: SweepJob, **changes: Any) -> SweepJob:
    """The job with other values of its own, of its settings or of its source."""

    def of(made: Any) -> dict[str, Any]:
        names = {field.name for field in fields(made)}
        return {name: changes.pop(name) for name in list(changes) if name in names}

    settings = replace(job.settings, **of(job.settings))
    source = replace(job.source, **of(job.source))
    return replace(job, settings=settings, source=source, **changes)


def test_a_job_can_be_sent_and_its_row_kept(job: SweepJob) -> None:
    """A job survives pickling, and its row survives JSON; unknown fields of a row are ignored."""
    assert pickle.loads(pickle.dumps(job)) == job
    assert job.key == ("first", 50, 0, "random", "none")
    row = changed(job, budget=0).run()
    kept = json.loads(json.dumps(row.model_dump()))
    assert ScoreRow.model_validate(kept | {"later": 1}) == row
    assert pickle.loads(pickle.dumps(row)) == row


def test_no_torch_before_a_job_runs() -> None:
    """Planning jobs imports neither torch nor the libraries that train."""
    code = (
        "import sys, labelcast.sweeps.job, labelcast.training.splits, labelcast.tasks.metrics;"
        "heavy = ('torch', 'transformers', 'peft', 'sklearn');"
        "sys.exit(any(name in sys.modules for name in heavy))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_zero_shot(job: SweepJob) -> None:
    """A budget of 0 trains nothing: its score is that of the model as it is."""
    row = changed(job, budget=0).run()
    assert row.error == ""
    assert (row.steps, row.best_step, row.validation_loss) == (0, 0, None)
    lm = load(Path(job.settings.model))
    splits = split(job.source, 60, seed=0, render=lm.render)
    assert row.score == evaluate(lm, splits.test, Scoring("accuracy")).value
    assert row.test_digest == splits.test_digest
    assert row.test_size == 60


def test_constrained_answers(job: SweepJob) -> None:
    """The row says so, and the score is that of answers along the allowed ones."""
    task = job.source.task.model_copy(update={"constrain": True})
    constrained = replace(job, budget=0, source=replace(job.source, task=task))
    row = constrained.run()
    assert (row.error, row.decoding) == ("", "constrained")
    lm = load(Path(job.settings.model))
    splits = split(constrained.source, 60, seed=0, render=lm.render)
    scoring = Scoring("accuracy", task.answers, True)
    assert row.score == evaluate(lm, splits.test, scoring).value


@pytest.mark.parametrize(
    ("recipe", "steps"),
    [(QUICK, 80), pytest.param(QUICK_LORA, 150, marks=pytest.mark.slow)],
    ids=["full", "lora"],
)
def test_more_labels_score_higher(job: SweepJob, recipe: Recipe, steps: int) -> None:
    """500 labels score above none and above the most frequent label, by 2 standard errors."""
    recipe = recipe.model_copy(update={"max_steps": steps})
    none, many = (changed(job, budget=n, recipe=recipe, test_size=200).run() for n in (0, 500))
    assert none.score is not None
    assert many.score is not None
    assert many.score_sd is not None
    floor = many.score - 2 * many.score_sd
    gold = [row["y"] for row in records(700)]
    assert floor > none.score
    assert floor > max(gold.count("yes"), gold.count("no")) / len(gold) + 0.05
    assert many.validation_loss is not None
    assert many.first_validation_loss is not None
    assert many.validation_loss < many.first_validation_loss
    assert none.test_digest == many.test_digest


def test_jobs_do_not_affect_each_other(job: SweepJob) -> None:
    """A job gives the same score whatever ran before it in the process."""
    lora = changed(job, recipe=QUICK_LORA.model_copy(update={"max_steps": 6}))
    first = [changed(job, budget=0).run(), job.run(), lora.run()]
    again = [lora.run(), changed(job, budget=0).run(), job.run()]
    kept = {"score", "validation_loss", "train_loss", "fingerprint", "test_digest"}
    for one, two in zip(first, (again[1], again[2], again[0]), strict=True):
        assert one.model_dump(include=kept) == two.model_dump(include=kept)


def test_model_and_examples_are_read_once(job: SweepJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next jobs of a process read neither the weights nor the data again."""
    reads: list[str] = []
    for module, name in ((finetune, "load_model"), (job_module, "read_examples")):
        original = getattr(module, name)

        def counted(*args: Any, name: str = name, original: Any = original, **kw: Any) -> Any:
            reads.append(name)
            return original(*args, **kw)

        monkeypatch.setattr(module, name, counted)
    monkeypatch.setattr(job_module, "_KEPT", job_module._Kept())
    for budget in (0, 10, 20):
        assert changed(job, budget=budget).run().error == ""
    assert reads == ["load_model", "read_examples"]


def test_progress(job: SweepJob) -> None:
    """A job reports reading, each step, and the test examples done up to the last."""
    seen: list[JobProgress] = []
    job.run(seen.append)
    assert seen[0].stage == "reading"
    tuning = [p for p in seen if p.stage == "tuning"]
    assert [p.done for p in tuning] == list(range(1, 13))
    assert tuning[-1].loss is not None
    assert (seen[-1].stage, seen[-1].done, seen[-1].total) == ("scoring", 60, 60)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": "nowhere.jsonl"}, "no such file"),
        ({"model": "nowhere/at-all/here"}, "model"),
        ({"budget": 100_000}, "more labelled examples"),
        ({"budget": 1}, "2 or more"),
        ({"test_size": 100_000}, "more labelled"),
        ({"device": "cuda:9"}, "--device cuda:9"),
        ({"recipe": QUICK.model_copy(update={"max_length": 10})}, "no example is left"),
    ],
)
def test_a_failed_job_is_a_row(job: SweepJob, change: dict[str, Any], said: str) -> None:
    """Whatever is wrong, a job ends in a row with a one-line error and no score."""
    row = changed(job, **change).run()
    assert row.error
    assert said in row.error
    assert "\n" not in row.error
    assert row.score is None
    assert row.budget == changed(job, **change).budget
    json.dumps(row.model_dump(), allow_nan=False)


def test_out_of_memory_is_a_row_with_advice(job: SweepJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the device is full, the error says what to change in the recipe."""

    def full(*args: Any, **kw: Any) -> Any:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(finetune.CausalBackend, "train", full)
    assert "micro_batch" in job.run().error


def test_an_interrupt_passes(job: SweepJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C stops the sweep and is not a failed job."""

    def stop(*args: Any, **kw: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(finetune, "evaluate", stop)
    with pytest.raises(KeyboardInterrupt):
        changed(job, budget=0).run()


def test_dropped_examples_are_noted(job: SweepJob, tmp_path: Path) -> None:
    """The row has the number of examples that are too long, and a note."""
    path = tmp_path / "some_long.jsonl"
    rows = [*records(60), *({"text": "h" * 90 + str(n), "y": "no"} for n in range(30))]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = job.settings.recipe.model_copy(update={"max_length": 80})
    row = changed(job, data=str(path), recipe=recipe, test_size=10, budget=80).run()
    assert row.error == ""
    assert 20 <= row.dropped <= 30
    assert any(f"{row.dropped} of 80 labelled" in note for note in row.notes)


def test_checkpoints_are_deleted(job: SweepJob, tmp_path: Path) -> None:
    """When a job is done nothing of its training is left in its folder."""
    assert changed(job, folder=str(tmp_path / "a")).run().score == job.run().score
    assert not (tmp_path / "a" / "training").exists()
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_test_set_of_its_own(job: SweepJob, tmp_path: Path) -> None:
    """With `test_data` the test set is that file, and its contents are not trained on."""
    path = tmp_path / "test.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in records(30)))
    row = changed(job, test_data=str(path), budget=0).run()
    assert row.test_size == 30
    few = changed(job, test_data=str(path), budget=680).run()
    assert "needs 10 more" in few.error


@pytest.mark.slow
def test_a_real_model_on_a_real_task() -> None:
    """The embedded model on sst2: 50 labels lower the loss and raise the score over zero-shot."""
    task = Task.parse(
        "{name: sst2, instruction: 'Is this opinion good? Answer 1 for good, 0 for bad.',"
        " inputs: sentence, answer: label, answers: ['0', '1']}"
    )
    recipe = Recipe(
        name="few steps",
        method="lora",
        learning_rate=5e-4,
        max_steps=16,
        lora=Lora(rank=16),
        micro_batch=8,
    )
    settings = SweepSettings("smollm2", recipe, test_size=100, device="cpu")
    job = SweepJob(settings, SweepTask(task, str(shared() / "tasks/sst2.jsonl")), 50, 0)
    zero, tuned = changed(job, budget=0).run(), job.run()
    assert (zero.error, tuned.error) == ("", "")
    assert tuned.validation_loss is not None
    assert tuned.first_validation_loss is not None
    assert tuned.validation_loss < tuned.first_validation_loss
    assert tuned.score is not None
    assert zero.score is not None
    assert tuned.score > zero.score


def test_a_training_that_does_not_fit_is_not_loaded_for_every_budget(
    job: SweepJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next budgets fail at once with the same message; zero-shot still runs."""
    tried: list[str] = []

    def full(self: Any, model: str, *args: Any, train: bool = True, **kw: Any) -> Any:
        tried.append(model)
        raise NoMemoryError("it needs 128 GB")

    load = finetune.CausalBackend.load
    monkeypatch.setattr(job_module, "_KEPT", job_module._Kept())
    monkeypatch.setattr(finetune.CausalBackend, "load", full)
    rows = [changed(job, budget=budget).run() for budget in (50, 100, 200)]
    assert [row.error for row in rows] == ["it needs 128 GB"] * 3
    assert len(tried) == 1
    other = job.source.task.model_copy(update={"name": "other"})
    assert changed(job, task=other).run().error and len(tried) == 2
    monkeypatch.setattr(finetune.CausalBackend, "load", load)
    assert changed(job, budget=0).run().error == ""


def test_a_worker_that_sees_one_gpu_uses_that(
    job: SweepJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second GPU of the machine is the first of the worker to which it was given."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert visible_gpus("cuda:1") == ("6",)
    assert visible_gpus("cuda") == visible_gpus() == ("4", "6")
    with pytest.raises(InputError, match="--device cuda:2"):
        visible_gpus("cuda:2")
    second = changed(job, device="cuda:1")
    assert second.placement.device == "cuda:1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "6")
    assert second.placement.device == "cuda"
