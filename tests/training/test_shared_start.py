"""The tokens with which all prompts begin run once for a micro-batch, and nothing else changes."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_training import QUICK, QUICK_LORA, load, save_model, unlabelled

from labelcast.models.loading import LanguageModel
from labelcast.tasks.prompts import Example
from labelcast.training.recipe import Lora, Recipe
from labelcast.training.sequences import Sequences, collate, encode
from labelcast.training.trainer import AnswerTrainer, make_trainer, shared_start

INSTRUCTION = "say whether the first letter of the text is one of these or not " * 2
TEXTS = ["ab", "a longer text than the others", "ba", "text", "xyz"]


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return load(save_model(tmp_path_factory.mktemp("model")))


def trainer_of(
    lm: LanguageModel, folder: Path, recipe: Recipe = QUICK, instruction: str = INSTRUCTION
) -> AnswerTrainer:
    """A trainer of a copy of the model for prompts that begin with an instruction."""
    examples = [
        Example(str(n), n, "", {}, instruction + text, "yes" if n % 2 else "no", str(n))
        for n, text in enumerate(TEXTS)
    ]
    part = encode(lm, examples, recipe.max_length)
    copied = replace(lm, model=copy.deepcopy(lm.model))
    trainer: AnswerTrainer = make_trainer(copied, (part, part), unlabelled(recipe), folder)
    return trainer


def loss_and_gradients(trainer: AnswerTrainer, start: int) -> tuple[float, list[Any]]:
    """Of one micro-batch with all rows, with the first `start` tokens run once."""
    trainer.start = start
    model = trainer.model.train()
    model.zero_grad()
    loss = trainer.compute_loss(model, collate(list(trainer.train_dataset)))
    loss.backward()
    return loss.item(), [w.grad.clone() for w in model.parameters() if w.grad is not None]


@pytest.mark.parametrize("recipe", [QUICK, QUICK_LORA], ids=["full", "lora"])
def test_loss_and_gradients_are_those_of_complete_rows(
    lm: LanguageModel, tmp_path: Path, recipe: Recipe
) -> None:
    """For rows of different lengths, padded."""
    trainer = trainer_of(lm, tmp_path, recipe)
    assert trainer.start >= 16
    loss, gradients = loss_and_gradients(trainer, trainer.start)
    expected, complete = loss_and_gradients(trainer, 0)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert len(gradients) == len(complete) > 0
    for one, other in zip(gradients, complete, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_the_validation_loss_is_the_same(lm: LanguageModel, tmp_path: Path) -> None:
    """And evaluation returns no cache."""
    trainer = trainer_of(lm, tmp_path)
    shared = trainer.evaluate()["eval_loss"]
    trainer.start = 0
    assert shared == pytest.approx(trainer.evaluate()["eval_loss"], rel=1e-5)


def test_recomputed_activations_run_complete_rows(lm: LanguageModel, tmp_path: Path) -> None:
    """They cannot fill a cache; memory may run out while a training goes on."""
    trainer = trainer_of(lm, tmp_path)
    start = trainer.start
    expected, _ = loss_and_gradients(trainer, 0)
    trainer.args.gradient_checkpointing = True
    trainer.model.gradient_checkpointing_enable({"use_reentrant": False})
    assert loss_and_gradients(trainer, start)[0] == pytest.approx(expected, rel=1e-5)


def test_where_rows_must_be_complete(
    lm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short prompts gain nothing, dropout differs between rows, processes expect one pass."""
    assert trainer_of(lm, tmp_path, instruction="").start == 0
    dropout = QUICK_LORA.model_copy(update={"lora": Lora(rank=8, dropout=0.1)})
    assert trainer_of(lm, tmp_path, dropout).start == 0
    rows = Sequences(tuple(trainer_of(lm, tmp_path).train_dataset), 0)
    assert shared_start(lm, [rows], QUICK) >= 16
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert shared_start(lm, [rows], QUICK) == 0
