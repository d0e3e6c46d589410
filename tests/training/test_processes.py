import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from small_training import QUICK, QUICK_LORA, fresh, load, made_examples, records, save_model

from labelcast.errors import InputError, LabelcastWarning, NoMemoryError, RunError
from labelcast.models.loading import LanguageModel
from labelcast.training import processes, rank
from labelcast.training.backend import FineTuned, Fit, OnStep, Placement, backend_of
from labelcast.training.checkpoints import trained_parts
from labelcast.training.evaluate import Scoring
from labelcast.training.recipe import Recipe
from labelcast.training.splits import Budget

TWO = Placement("cpu", processes=2)


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return load(save_model(tmp_path_factory.mktemp("model")))


def fit(
    lm: LanguageModel, recipe: Recipe, placement: Placement, folder: Path, seen: list[int]
) -> tuple[FineTuned, float]:
    """A training on 40 labels, and its score on 50 examples."""
    examples, backend = made_examples(lm, records(90)), backend_of(recipe, "smollm2")
    loaded = backend.load(lm.name, recipe, placement)
    # Only the processes load weights.
    assert all(w.is_meta == (placement.processes > 1) for w in loaded.model.parameters())
    tuned = backend.fit(
        loaded,
        Fit(
            Budget(tuple(examples[:32]), tuple(examples[32:40])),
            recipe,
            0,
            placement,
            folder,
            lambda step, steps, loss: seen.append(step),
        ),
    )
    score = backend.score(tuned.lm, examples[40:], Scoring("accuracy", placement=placement))
    return tuned, score.value


@pytest.mark.parametrize(
    "recipe",
    [QUICK, pytest.param(QUICK_LORA, marks=pytest.mark.slow)],
    ids=["full", "lora"],
)
def test_two_processes_train_as_one(lm: LanguageModel, recipe: Recipe, tmp_path: Path) -> None:
    """In two processes on a CPU a training takes the steps that it takes in one."""
    recipe = recipe.model_copy(update={"max_steps": 8})
    seen: list[int] = []
    two, score_of_two = fit(lm, recipe, TWO, tmp_path / "two", seen)
    assert seen == list(range(1, 9))
    one, score_of_one = fit(lm, recipe, Placement("cpu"), tmp_path / "one", seen)
    assert two.log.steps == one.log.steps == 8
    assert two.log.train_loss == pytest.approx(one.log.train_loss, rel=0.05)
    # The validation loss is a mean over batches, which two processes divide differently.
    losses = [tuned.log.best_loss for tuned in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=0.1)
    assert score_of_two == pytest.approx(score_of_one, abs=0.1)


def test_processes_start_again_with_fewer_sequences(
    lm: LanguageModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """If memory runs out, half as many run at once, down to one; then the error is raised."""
    tried: list[int] = []

    def launch(placement: Placement, folder: Path, progress: OnStep) -> str | None:
        tried.append(json.loads((folder / "processes.json").read_text())["recipe"]["micro_batch"])
        if len(tried) % 4:
            return "NoMemoryError: recipe 'quick': memory ran out in training"
        lm.model.requires_grad_(True)
        save_file(rank.full_weights(lm.model), folder / "tuned.safetensors")
        (folder / "tuned.json").write_text(json.dumps({"losses": [[4, 1.0]], "best_step": 4}))
        return None

    monkeypatch.setattr(processes, "_launch", launch)
    with pytest.warns(LabelcastWarning, match="1 sequences ran at once; each step still has 16"):
        fit(lm, QUICK, TWO, tmp_path, [])
    assert tried == [None, 4, 2, 1]
    tried.clear()
    two = QUICK.model_copy(update={"micro_batch": 2})
    with pytest.raises(NoMemoryError, match="memory ran out in training"):
        fit(lm, two, TWO, tmp_path, [])
    assert tried == [2, 1]


@pytest.mark.slow
def test_an_error_in_a_process_is_raised(lm: LanguageModel, tmp_path: Path) -> None:
    """The error of the training has the last error of a process, and the log stays."""
    wild = QUICK.model_copy(update={"learning_rate": 1e30})  # refused where it is read
    with pytest.raises(RunError, match=r"training in 2 processes failed: .*ValidationError"):
        fit(lm, wild, TWO, tmp_path, [])
    assert (tmp_path / "launch.log").exists()


@pytest.mark.slow
def test_processes_end_with_the_one_that_waits_for_them(lm: LanguageModel, tmp_path: Path) -> None:
    """Also before their first step; else they would hold the GPUs after a kill."""
    code = (
        f"from test_processes import *; from small_training import load; lm = load({lm.name!r});"
        f"fit(lm, QUICK, TWO, Path({str(tmp_path)!r}), [])"
    )
    folders = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    trained = subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": folders}
    )
    found: list[psutil.Process] = []
    while sum("labelcast.training.rank" in " ".join(one.cmdline()) for one in found) < 3:
        assert trained.poll() is None
        time.sleep(0.2)
        found = psutil.Process(trained.pid).children(recursive=True)
    trained.kill()
    trained.wait()
    assert not psutil.wait_procs(found, timeout=30)[1]
    # None of them got as far as to print a step to the process that is gone.
    assert "BrokenPipe" not in (tmp_path / "launch.log").read_text()


def test_a_batch_that_cannot_be_divided_is_refused_before_any_process_starts(
    lm: LanguageModel, tmp_path: Path
) -> None:
    """Nothing is written."""
    odd = QUICK.model_copy(update={"batch_size": 3})
    with pytest.raises(InputError, match="batch_size 3 cannot be divided among 2 processes"):
        fit(lm, odd, TWO, tmp_path / "run", [])
    assert not (tmp_path / "run").exists()


def test_the_shipped_config() -> None:
    """The file that ships asks accelerate for FSDP 2; the command line sets the processes."""
    config = yaml.safe_load(processes.CONFIG.read_text("utf-8"))
    assert config["distributed_type"] == "FSDP"
    assert config["fsdp_config"]["fsdp_version"] == 2
    line = processes.command(replace(TWO, processes=4), Path("folder"))
    assert line[line.index("--num_processes") + 1] == "4"
    assert line[-3:] == ["-m", "labelcast.training.rank", "folder"]
    assert processes.environment(TWO)["ACCELERATE_USE_CPU"] == "true"


def test_the_last_error_of_a_log(tmp_path: Path) -> None:
    """It is found among other lines; an empty log is reported too."""
    log = tmp_path / "log"
    log.write_text("")
    assert processes._last_fault(log) == "it printed nothing"
    log.write_text("a\nValueError: bad\nsome trace\nChildFailedError: x\n")
    assert processes._last_fault(log) == "ValueError: bad"
    log.write_text("NoMemoryError: full\nRuntimeError: NCCL Error: lost\n")
    assert processes._last_fault(log) == "NoMemoryError: full"


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    """A group of one process."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'group'}", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("process_group")
def test_weights_in_parts_are_put_together(lm: LanguageModel) -> None:
    """A model sharded by FSDP 2 is written through its parts, and read as full weights."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    lm = fresh(lm)
    before = {name: weight.clone() for name, weight in lm.model.state_dict().items()}
    lm.model.requires_grad_(True)
    fully_shard(lm.model, mesh=init_device_mesh("cpu", (1,)))
    full = rank.full_weights(lm.model)
    assert all(torch.equal(weight, before[name]) for name, weight in full.items())
    assert rank.full_weights(lm.model, keep=False) == {}
    for part in trained_parts(lm.model).values():
        part.zero_()
    assert not any(weight.any() for weight in rank.full_weights(lm.model).values())
    assert not any(weight.any() for weight in rank.full_weights(lm.model).values())


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
def test_fsdp_gets_the_weights_from_the_first_process(
    lm: LanguageModel, tmp_path: Path, method: str
) -> None:
    """A group of two on CPUs: the second loads none, and a step changes them as in one process."""
    script = Path(__file__).with_name("sharded_step.py")
    places = (script.parents[1], script.parents[2] / "src")
    env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, places))}
    line = [sys.executable, str(script), lm.name, method, str(tmp_path)]
    both = [
        subprocess.Popen([*line, str(rank)], env=env, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    said = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    before, after = (load_file(tmp_path / name) for name in ("before", "after"))
    alone = load_file(tmp_path / "alone")
    assert before.keys() == after.keys() == alone.keys()
    for name, weight in alone.items():
        # Adapters begin with B = 0, so that A has no gradient yet.
        assert torch.equal(before[name], after[name]) == ("lora_A" in name)
        assert torch.allclose(weight, after[name], atol=1e-5)
