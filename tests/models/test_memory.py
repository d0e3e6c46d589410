"""What memory is free is told as the system tells it, and what cannot fit is refused before."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny_model import save_llama

from labelcast.errors import InputError, RunError
from labelcast.models.coslow import encode_labelled
from labelcast.models.gradients import sketched_gram
from labelcast.models.loading import LanguageModel, load_model
from labelcast.models.memory import check_room, free_memory, known_free
from labelcast.tasks.prompts import rendered_example

SOURCE = Path(__file__).resolve().parents[2] / "src"
TELL = "from labelcast.models.memory import known_free; print(known_free())"
GIB = 1 << 30


def told(before: Callable[[], None]) -> int:
    """What a process of its own is told is free."""
    done = subprocess.run(
        [sys.executable, "-c", TELL],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        preexec_fn=before,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group of this machine, for a test alone, that holds no process in the end."""
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
    pytest.skip("no control group with a limit of memory can be made here")


def test_a_container_s_limit_counts(group: Path) -> None:
    """A process in a group of 1 GiB has less than that, however much the machine has."""

    def join() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))

    free = told(join)
    assert GIB / 2 < free < GIB


def test_a_process_s_limit_counts() -> None:
    """Address space that is limited by `ulimit -v`."""
    free = told(lambda: resource.setrlimit(resource.RLIMIT_AS, (GIB, GIB)))
    assert 0 < free < GIB


def test_swap_is_more() -> None:
    """What the system tells is positive, and swap only adds to it."""
    free, both = known_free(), known_free(swap=True)
    assert free is not None and both is not None
    assert 0 < free <= both + GIB and free_memory() > 0


def test_what_fits_passes() -> None:
    """Nothing is said below what is free; above it sizes and the way out are."""
    check_room("nothing", 0, "Do nothing.")
    with pytest.raises(RunError, match=r"a heap would fill 1,152,921,504.6 GB .* free. Less."):
        check_room("a heap", 1 << 60, "Less.")


def test_a_model_that_cannot_fit_is_refused(tmp_path: Path) -> None:
    """By its config alone, before any weight is made; so is one with more layers than there are."""
    folder = save_llama(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_size": 4_000_000}))
    with pytest.raises(RunError, match=r"its weights in float32 would fill .* --dtype bfloat16"):
        load_model(str(folder), device="cpu")
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 10**7}))
    with pytest.raises(InputError, match="claims 10,000,000 layers"):
        load_model(str(folder), device="cpu")


def test_sketches_that_cannot_fit_are_refused(tiny: LanguageModel) -> None:
    """Before a batch is run, where they are to be kept."""
    one = rendered_example({"input_text": "a", "ground_truth": "b"}, 0)
    pairs = encode_labelled(tiny, [one] * 4) * 1000
    with pytest.raises(RunError, match=r"gradients of 4,000 examples .* --method exact"):
        sketched_gram(tiny, pairs, rank=4096, seeds=range(1024), batch_size=4, at_once=0)
