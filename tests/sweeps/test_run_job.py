import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from shared_data import shared
from tuning_made import (
    QUICK,
    QUICK_LORA,
    TASK,
    load,
    made_examples,
    records,
    save_model,
    write_records,
)

from labelcast.sweeps import job_data, job_steps
from labelcast.sweeps.job import Job, JobResult, Progress
from labelcast.sweeps.run_job import run_job
from labelcast.tasks.task import Task
from labelcast.training import fit_and_score
from labelcast.training.evaluate import evaluate
from labelcast.training.recipe import Lora, Recipe


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model and labelled records."""
    folder = tmp_path_factory.mktemp("job")
    return save_model(folder / "model"), write_records(folder, 700)


@pytest.fixture
def job(files: tuple[Path, Path]) -> Job:
    """A quick job on them."""
    model, data = files
    return Job(
        task=TASK.model_dump(mode="json"),
        data=str(data),
        model=str(model),
        budget=50,
        seed=0,
        recipe=QUICK.model_copy(update={"max_steps": 12}),
        test_size=60,
        device="cpu",
        threads=1,
    )


def test_a_job_is_plain_values(job: Job) -> None:
    """It survives pickling and JSON, and so does its result."""
    assert pickle.loads(pickle.dumps(job)) == job
    assert Job.from_dict(json.loads(json.dumps(job.to_dict()))) == job
    assert job.key == ("first", job.model, 50, 0, "quick")
    assert replace(job, task=None).name == "data"
    result = run_job(replace(job, budget=0))
    assert JobResult.from_row(json.loads(json.dumps(result.row()))) == result
    assert JobResult.from_row(result.row() | {"later": 1}) == result


def test_no_torch_before_a_job_runs() -> None:
    """Planning jobs imports neither torch nor the libraries that train."""
    code = (
        "import sys, labelcast.sweeps.run_job, labelcast.training.splits, labelcast.tasks.metrics;"
        "heavy = ('torch', 'transformers', 'peft', 'sklearn');"
        "sys.exit(any(name in sys.modules for name in heavy))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_zero_shot(job: Job) -> None:
    """A budget of 0 trains nothing: its score is that of the model as it is."""
    result = run_job(replace(job, budget=0))
    assert result.error == ""
    assert (result.steps, result.best_step, result.validation_loss) == (0, 0, None)
    lm = load(Path(job.model))
    splits = job_data.split(job, lambda spec: job_data.read_examples(job, spec, lm))
    assert result.score == evaluate(lm, splits.test, "accuracy").value
    assert result.test_digest == splits.test_digest
    assert result.test_size == 60


@pytest.mark.parametrize("recipe", [QUICK, QUICK_LORA], ids=["full", "lora"])
def test_more_labels_score_higher(job: Job, recipe: Recipe) -> None:
    """500 labels score above none, and above always answering the commonest label, by 2 sd."""
    recipe = recipe.model_copy(update={"max_steps": 150})
    none, many = (run_job(replace(job, budget=n, recipe=recipe, test_size=200)) for n in (0, 500))
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


def test_jobs_do_not_touch_each_other(job: Job) -> None:
    """A job gives the same score whatever ran before it in the process."""
    lora = replace(job, recipe=QUICK_LORA.model_copy(update={"max_steps": 6}))
    first = [run_job(replace(job, budget=0)), run_job(job), run_job(lora)]
    again = [run_job(lora), run_job(replace(job, budget=0)), run_job(job)]
    kept = ("score", "validation_loss", "train_loss", "fingerprint", "test_digest")
    for one, two in zip(first, (again[1], again[2], again[0]), strict=True):
        assert {k: one.row()[k] for k in kept} == {k: two.row()[k] for k in kept}


def test_model_and_examples_are_read_once(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second job of a process reads neither the weights nor the data again."""
    reads: list[str] = []
    for module, name in ((job_steps, "load_model"), (job_steps, "read_examples")):
        original = getattr(module, name)

        def counted(*args: Any, name: str = name, original: Any = original, **kw: Any) -> Any:
            reads.append(name)
            return original(*args, **kw)

        monkeypatch.setattr(module, name, counted)
    monkeypatch.setattr(job_steps, "_SHARED", job_steps._Shared())
    for budget in (0, 10, 20):
        assert run_job(replace(job, budget=budget)).error == ""
    assert reads == ["load_model", "read_examples"]


def test_progress(job: Job) -> None:
    """A job reports reading, each step, and the test examples done up to the last."""
    seen: list[Progress] = []
    run_job(job, seen.append)
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
        ({"task": {"name": "x"}}, "inputs"),
        ({"recipe": QUICK.model_copy(update={"max_length": 10})}, "no example is left"),
    ],
)
def test_a_failed_job_is_a_row(job: Job, change: dict[str, Any], said: str) -> None:
    """Whatever is wrong, a job ends in a row with one line that says so, and no score."""
    result = run_job(replace(job, **change))
    assert result.failed
    assert said in result.error
    assert "\n" not in result.error
    assert result.score is None
    assert result.budget == replace(job, **change).budget
    json.dumps(result.row(), allow_nan=False)


def test_out_of_memory_is_a_row_with_advice(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that is full says what to change in the recipe."""

    def full(*args: Any, **kw: Any) -> Any:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(fit_and_score, "fine_tune", full)
    assert "micro_batch" in run_job(job).error


def test_an_interrupt_passes(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C stops the sweep; it is no failed job."""

    def stop(*args: Any, **kw: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(fit_and_score, "evaluate", stop)
    with pytest.raises(KeyboardInterrupt):
        run_job(replace(job, budget=0))


def test_dropped_examples_are_noted(job: Job, tmp_path: Path) -> None:
    """What was left out as too long stands in the row, in words and as a number."""
    path = tmp_path / "some_long.jsonl"
    rows = [*records(60), *({"text": "h" * 90 + str(n), "y": "no"} for n in range(30))]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = job.recipe.model_copy(update={"max_length": 80})
    result = run_job(replace(job, data=str(path), recipe=recipe, test_size=10, budget=80))
    assert result.error == ""
    assert 20 <= result.dropped <= 30
    assert any(f"{result.dropped} of 80 labelled" in note for note in result.notes)


def test_folder(job: Job, tmp_path: Path) -> None:
    """When a job is done its checkpoints are gone, and the tuned model stays where asked for."""
    kept = run_job(replace(job, folder=str(tmp_path / "a"), keep_model=True))
    assert not (tmp_path / "a" / "training").exists()
    lm = load(tmp_path / "a" / "model")
    splits = job_data.split(job, lambda spec: job_data.read_examples(job, spec, lm))
    assert evaluate(lm, splits.test, "accuracy").value == kept.score
    assert list((tmp_path / "a" / "model").glob("*.safetensors"))
    assert run_job(replace(job, folder=str(tmp_path / "b"))).score == kept.score
    assert not list((tmp_path / "b").rglob("*.safetensors"))


def test_a_test_set_of_its_own(job: Job, tmp_path: Path) -> None:
    """With `test_data` the test set is that file's, and what it holds is not trained on."""
    path = tmp_path / "test.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in records(30)))
    result = run_job(replace(job, test_data=str(path), budget=0))
    assert result.test_size == 30
    few = run_job(replace(job, test_data=str(path), budget=680))
    assert "needs 10 more" in few.error


def test_rendered_records(job: Job, tmp_path: Path) -> None:
    """Without a task the records are prompts and answers as they stand."""
    lm = load(Path(job.model))
    path = tmp_path / "rendered.jsonl"
    rows = [
        {"input_text": e.prompt, "ground_truth": e.answer} for e in made_examples(lm, records(100))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = run_job(replace(job, task=None, data=str(path), budget=20, test_size=30))
    assert (result.error, result.metric, result.task) == ("", "accuracy", "rendered")


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
    job = Job(
        task=task.model_dump(mode="json"),
        data=str(shared() / "tasks/sst2.jsonl"),
        model="smollm2",
        budget=50,
        seed=0,
        recipe=recipe,
        test_size=100,
        device="cpu",
    )
    zero, tuned = run_job(replace(job, budget=0)), run_job(job)
    assert (zero.error, tuned.error) == ("", "")
    assert tuned.validation_loss is not None
    assert tuned.first_validation_loss is not None
    assert tuned.validation_loss < tuned.first_validation_loss
    assert tuned.score is not None
    assert zero.score is not None
    assert tuned.score > zero.score
