"""Models, and a scored run, that many tests share. Nothing is downloaded from a hub."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
from bad_input import TASK, WORDS, lines
from command_line import Models, labelcast
from hypothesis import settings
from shared_data import shared
from tiny_model import load_llama, save_llama

from labelcast.models.encoding import Encoded, encode_pair
from labelcast.models.loading import LanguageModel, load_model

THREADS = torch.get_num_threads()

# How long an example takes says nothing about what a test holds. One commit has one outcome of
# `make test`; `make test-all` looks for new examples.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("random", deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """Every test starts with as many threads as a new process has: they change last digits."""
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(THREADS)


@pytest.fixture(scope="session")
def smollm2() -> LanguageModel:
    """The embedded default on the CPU in float32."""
    return load_model("smollm2", device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """A small random Llama with a fixed seed and a chat template."""
    return load_llama(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def circa_labelled(smollm2: LanguageModel) -> list[Encoded]:
    """Six of the published labelled examples, encoded for the embedded model."""
    path = shared() / "paper/results/coslow_data/low_conf_examples_annotated.json"
    records = json.loads(path.read_text())[:6]
    return [
        encode_pair(smollm2.tokenizer, record["input_text"], str(record["ground_truth"]))
        for record in records
    ]


@pytest.fixture(scope="session")
def models(tiny: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> Models:
    """The tiny model, one of another depth, and one without a chat template."""
    folder = tmp_path_factory.mktemp("models")
    return Models(
        tiny=Path(tiny.name),
        other=save_llama(folder / "other", num_hidden_layers=2),
        plain=save_llama(folder / "plain", template=None),
    )


@pytest.fixture(scope="session")
def scored(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `task.yaml`, `pool.jsonl` (40 records) and `run`, which picked 8 of them."""
    folder = tmp_path_factory.mktemp("scored")
    (folder / "task.yaml").write_text(TASK)
    (folder / "pool.jsonl").write_text(lines(*WORDS))
    done = labelcast(
        *("score", folder / "pool.jsonl", "--task", folder / "task.yaml", "--model", models.tiny),
        *("--out", folder / "run", "--n-label", 8, "--max-new-tokens", 4),
    )
    assert done.status == 0, done.err
    return folder


@pytest.fixture
def place(scored: Path, tmp_path: Path) -> Path:
    """A copy of `scored` that a test may change."""
    shutil.copytree(scored, tmp_path / "place")
    return tmp_path / "place"
