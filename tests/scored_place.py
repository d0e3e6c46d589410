"""A task, a pool, small models and a scored run, as the command line makes them: fixtures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command_line import Models, labelcast
from tiny_model import save_llama

from labelcast.models.loading import LanguageModel

TASK = "name: t\ninstruction: Say it.\ninputs: [text]\nanswer: label\nanswers: [yes, no]\n"


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
    rows = [json.dumps({"text": f"word {number}"}) for number in range(40)]
    (folder / "pool.jsonl").write_text("\n".join(rows) + "\n")
    done = labelcast(
        *("score", folder / "pool.jsonl", "--task", folder / "task.yaml", "--model", models.tiny),
        *("--out", folder / "run", "--n-label", 8, "--max-new-tokens", 4),
    )
    assert done.status == 0, done.err
    return folder


@pytest.fixture
def place(scored: Path, tmp_path: Path) -> Path:
    """A copy of `scored` for a test to work on."""
    shutil.copytree(scored, tmp_path / "place")
    return tmp_path / "place"
