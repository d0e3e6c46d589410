import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from tuning_made import QUICK, QUICK_LORA, TASK, load, save_model, write_records

from labelcast.errors import RunError
from labelcast.sweeps.job import Job, Progress
from labelcast.sweeps.run_job import run_job
from labelcast.training import launch
from labelcast.training.checkpoints import _trained
from labelcast.training.recipe import Recipe


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A quick job in two processes."""
    return Job(
        task=TASK.model_dump(mode="json"),
        data=str(write_records(tmp_path, 200)),
        model=str(save_model(tmp_path / "model")),
        budget=40,
        seed=0,
        recipe=QUICK.model_copy(update={"max_steps": 12}),
        test_size=50,
        device="cpu",
        threads=1,
        processes=2,
        folder=str(tmp_path / "job"),
    )


@pytest.mark.parametrize(
    "recipe",
    [QUICK, pytest.param(QUICK_LORA, marks=pytest.mark.slow)],
    ids=["full", "lora"],
)
def test_two_processes_train_as_one(job: Job, recipe: Recipe) -> None:
    """Launched on two processes of a CPU, a job takes the steps that it takes in one."""
    job = replace(job, recipe=recipe.model_copy(update={"max_steps": 12}))
    seen: list[Progress] = []
    two = run_job(job, seen.append)
    one = run_job(replace(job, processes=1))
    assert (two.error, one.error) == ("", "")
    assert [p.done for p in seen if p.stage == "tuning"] == list(range(1, 13))
    assert two.steps == one.steps == 12
    assert two.train_loss == pytest.approx(one.train_loss, rel=0.05)
    # The validation loss is a mean over batches, which two processes cut elsewhere.
    assert two.validation_loss == pytest.approx(one.validation_loss, rel=0.1)
    assert two.score == pytest.approx(one.score, abs=0.1)
    assert not (Path(str(job.folder)) / "training").exists()


@pytest.mark.slow
def test_a_fault_in_a_process_reaches_the_row(job: Job) -> None:
    """What a process died of is the job's error, and the log stays."""
    odd = job.recipe.model_copy(update={"batch_size": 3})
    result = run_job(replace(job, recipe=odd))
    assert "batch_size 3 cannot be shared out among 2 processes" in result.error
    assert (Path(str(job.folder)) / "training" / "launch.log").exists()


def test_the_shipped_config() -> None:
    """The file that ships asks accelerate for FSDP 2, and the command line for its processes."""
    config = yaml.safe_load(launch.CONFIG.read_text("utf-8"))
    assert config["distributed_type"] == "FSDP"
    assert config["fsdp_config"]["fsdp_version"] == 2
    job = Job(None, "d.jsonl", "m", 50, 0, processes=4, device="cpu")
    line = launch.command(job, Path("job.json"))
    assert line[line.index("--num_processes") + 1] == "4"
    assert line[-3:] == ["-m", "labelcast.training.launch", "job.json"]
    assert launch.environment(job)["ACCELERATE_USE_CPU"] == "true"


def test_a_silent_death_is_told(tmp_path: Path) -> None:
    """The last fault of a log is found; a log without one is not an error of its own."""
    log = tmp_path / "log"
    log.write_text("")
    assert launch._last_fault(log) == "it said nothing"
    log.write_text("a\nValueError: bad\nsome trace\nChildFailedError: x\n")
    assert launch._last_fault(log) == "ValueError: bad"
    assert issubclass(RunError, RuntimeError)


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    """A group of one process."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'group'}", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("process_group")
def test_weights_in_parts_are_put_together(tmp_path: Path) -> None:
    """Of a model sharded by FSDP 2 the parts are written through, and the whole is its weights."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    lm = load(save_model(tmp_path / "model"))
    before = {name: weight.clone() for name, weight in lm.model.state_dict().items()}
    lm.model.requires_grad_(True)
    fully_shard(lm.model, mesh=init_device_mesh("cpu", (1,)))
    whole = launch.whole_weights(lm.model)
    assert all(torch.equal(weight, before[name]) for name, weight in whole.items())
    for part in _trained(lm.model).values():
        part.zero_()
    assert not any(weight.any() for weight in launch.whole_weights(lm.model).values())


def test_a_job_file_can_be_run_by_hand(job: Job, tmp_path: Path) -> None:
    """The file of a job is JSON and gives the job back."""
    path = tmp_path / "job.json"
    path.write_text(json.dumps(job.to_dict()))
    assert Job.from_dict(json.loads(path.read_text())) == job
    assert "RANK" not in os.environ
