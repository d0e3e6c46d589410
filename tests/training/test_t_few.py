"""T-Few: its losses, and a training."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_training import TASK, fresh, load, made_examples, records, save_model, unlabelled

from labelcast.errors import InputError
from labelcast.models.loading import LanguageModel
from labelcast.tasks.prompts import Example
from labelcast.training.backend import Fit, Placement, backend_of
from labelcast.training.evaluate import Scoring
from labelcast.training.recipe import T_FEW
from labelcast.training.splits import Budget
from labelcast.training.t_few import (
    TFewBackend,
    choice_losses,
    choices,
    collate_choices,
    with_vectors,
)
from labelcast.training.trainer import predicts_answer

CPU = Placement("cpu", "float32")


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return load(save_model(tmp_path_factory.mktemp("model"))).for_answers(TASK.answers)


def naive(lm: LanguageModel, example: Example) -> float:
    """The published losses of one example, one answer and one token at a time."""
    right, means, unlikely, tokens = str(example.answer), {}, 0.0, 0
    for answer in lm.answers:
        [row] = choices(lm, [replace(example, answer=answer)], 99).rows
        one = row["choices"][0]
        with torch.no_grad():
            logits = lm.model(torch.tensor([one["input_ids"]])).logits[0]
        logs = [
            float(logits[place - 1].log_softmax(-1)[label])
            for place, label in enumerate(one["labels"])
            if label >= 0
        ]
        means[answer] = sum(logs) / len(logs)
        if answer != right:
            unlikely -= sum(math.log(1 - math.exp(log)) for log in logs)
            tokens += len(logs)
    choice = -math.log(math.exp(means[right]) / sum(map(math.exp, means.values())))
    return -means[right] + unlikely / tokens + choice


def test_losses_equal_the_published_formulas(lm: LanguageModel) -> None:
    """The sum of the three, example by example, whatever runs beside it."""
    found = made_examples(lm, records(3))
    batch = collate_choices(choices(lm, found, 99).rows)
    targets = batch["targets"].flatten(0, 1)
    with torch.no_grad():
        logits = lm.model(
            batch["input_ids"].flatten(0, 1), batch["attention_mask"].flatten(0, 1)
        ).logits
    losses = choice_losses(logits[predicts_answer(targets)], targets, batch["targets"].shape[:2])
    expected = [naive(lm, e) for e in found]
    assert losses.tolist() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("count", [1, 2, 8])
def test_a_step_counts_its_examples(lm: LanguageModel, tmp_path: Path, count: int) -> None:
    """The trainer divides by their number, so the loss is their mean, also for one alone."""
    parts = [choices(lm, made_examples(lm, records(8)), 99)] * 2
    trainer = TFewBackend.trainer(fresh(lm), parts, unlabelled(T_FEW), tmp_path)
    batch = collate_choices(parts[0].rows[:count])
    items = trainer._get_num_items_in_batch([batch], torch.device("cpu"))
    assert items == count
    loss = trainer.compute_loss(trainer.model, batch, num_items_in_batch=items).item()
    assert loss == pytest.approx(trainer.compute_loss(trainer.model, batch).item())


def test_a_training_learns(lm: LanguageModel) -> None:
    """Only the vectors are trained, and the score rises above chance."""
    found = made_examples(lm, records(260))
    labels = Budget(tuple(found[:128]), tuple(found[128:160]))
    recipe = T_FEW.model_copy(update={"learning_rate": 0.05, "max_steps": 120})
    tuned = TFewBackend().fit(fresh(lm), Fit(labels, recipe, 1, CPU))
    first, best = dict(tuned.log.losses)[0], tuned.log.best_loss
    assert best < first - 0.2
    scoring = Scoring("accuracy", TASK.answers, constrain=True, placement=CPU)
    before = TFewBackend().score(fresh(lm), found[160:], scoring).value
    after = TFewBackend().score(tuned.lm, found[160:], scoring).value
    assert after > max(before, 0.5)
    vectors = [w for w in with_vectors(fresh(lm)).parameters() if w.requires_grad]
    assert all(weight.min() == weight.max() == 1 for weight in vectors)


def test_it_needs_allowed_answers(lm: LanguageModel) -> None:
    """A task without answers has no wrong ones to compare."""
    found = made_examples(lm, records(20))
    labels = Budget(tuple(found[:16]), tuple(found[16:]))
    with pytest.raises(InputError, match="lists none"):
        TFewBackend().fit(fresh(lm).for_answers(()), Fit(labels, T_FEW, 1, CPU))
    assert isinstance(backend_of(T_FEW, "smollm2"), TFewBackend)
    with pytest.raises(InputError, match="trains language models"):
        backend_of(T_FEW, "minilm")
