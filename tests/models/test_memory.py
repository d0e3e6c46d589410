"""Free memory, and the refusal of work that does not fit."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny_model import save_llama

from labelcast.errors import NoMemoryError, RunError
from labelcast.models import memory
from labelcast.models.checks import check_fits
from labelcast.models.coslow import encode_labelled
from labelcast.models.gradients import sketched_gram
from labelcast.models.loading import LanguageModel, load_model
from labelcast.models.memory import check_room, free_memory
from labelcast.tasks.prompts import rendered_example

SOURCE = Path(__file__).resolve().parents[2] / "src"
TELL = "from labelcast.models.memory import free_memory; print(free_memory())"
GIB = 1 << 30


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group with a limit of 1 GiB, for one test."""
    for folder, limit in (
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        ("/sys/fs/cgroup", "memory.max"),
    ):
        made = Path(folder) / f"labelcast-test-{os.getpid()}"
        try:
            made.mkdir()
        except OSError:
            continue
        try:
            (made / limit).write_text(str(GIB))
        except OSError:
            made.rmdir()
            continue
        yield made
        made.rmdir()
        return
    pytest.skip("no control group with a memory limit can be made here")


def test_a_containers_limit_counts(group: Path) -> None:
    """A process in a group of 1 GiB has less than that, however much the machine has."""

    def join() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))

    done = subprocess.run(
        [sys.executable, "-c", TELL],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        preexec_fn=join,
        capture_output=True,
        text=True,
        check=True,
    )
    assert GIB / 2 < int(done.stdout) < GIB


def test_swap_is_more() -> None:
    """Free swap space is added to the free memory."""
    assert 0 < free_memory() <= free_memory(swap=True) + GIB


def test_what_fits_passes() -> None:
    """What needs more than is free is refused, with both sizes and the advice."""
    check_room("nothing", 0, "Do nothing.")
    with pytest.raises(RunError, match=r"a heap would fill 1,152,921,504.6 GB .* free. Less."):
        check_room("a heap", 1 << 60, "Less.")


def test_a_model_that_cannot_fit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the headers of its files, before its weights are read."""
    folder = save_llama(tmp_path / "model")
    monkeypatch.setattr(memory, "free_memory", lambda swap: 1000)
    with pytest.raises(RunError, match=r"its weights in float32 would fill .* --dtype bfloat16"):
        load_model(str(folder), device="cpu")


def test_a_model_is_compared_with_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its weights are read, and the message says what would fit."""
    monkeypatch.setattr(memory, "gpu_memory", lambda device: 24 * 10**9)
    check_fits("m", 8_000_000_000, torch.bfloat16, "cuda")
    with pytest.raises(NoMemoryError, match=r"32.0 GB of memory of cuda.*24.0 GB.*--device spread"):
        check_fits("m", 8_000_000_000, torch.float32, "cuda")


@pytest.mark.parametrize(("device", "number"), [("cuda", 0), ("cuda:1", 1)])
def test_a_gpu_without_a_number_is_the_current_one(
    monkeypatch: pytest.MonkeyPatch, device: str, number: int
) -> None:
    """torch refuses to say which share of ``cuda`` a process may use."""
    fraction = torch.cuda.get_per_process_memory_fraction
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda.memory, "_lazy_init", lambda: None)
    shares = {0: 0.5, 1: 0.25}
    monkeypatch.setattr(torch._C, "_cuda_getMemoryFraction", shares.get, raising=False)
    size = SimpleNamespace(total_memory=80 * 10**9)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: size)
    assert memory.numbered(device) == torch.device("cuda", number)
    assert memory.gpu_size(device) == shares[number] * 80 * 10**9
    with pytest.raises(ValueError, match="specified index"):
        fraction("cuda")


def test_a_job_that_shares_a_gpu_takes_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a fraction limits torch; one whole GPU, or several, do not."""
    told: list[float] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", told.append)
    for share in (0.0, 0.5, 1.0, 2.0):
        memory.limit_to_share(share)
    assert told == [0.5]


def test_sketches_that_cannot_fit_are_refused(tiny: LanguageModel) -> None:
    """Before the first batch runs, if they would have to be kept."""
    one = rendered_example({"input_text": "a", "ground_truth": "b"}, 0)
    pairs = encode_labelled(tiny, [one] * 4) * 1000
    with pytest.raises(RunError, match=r"gradients of 4,000 examples .* --method exact"):
        sketched_gram(tiny, pairs, rank=4096, seeds=range(1024), batch_size=4, at_once=0)
