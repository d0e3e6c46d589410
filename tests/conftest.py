"""Models that many tests share. Nothing is fetched from a hub."""

import json
import os
from collections.abc import Iterator

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
from shared_data import shared
from tiny_model import load_llama

from labelcast.models.encoding import Encoded, encode_pair
from labelcast.models.loading import LanguageModel, load_model


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """What a test runs in this process may set their number, on which the last bits depend."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def smollm2() -> LanguageModel:
    """The embedded default on the CPU in float32."""
    return load_model("smollm2", device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """A seeded small random Llama with a chat template."""
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
