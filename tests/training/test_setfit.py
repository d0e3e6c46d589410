"""SetFit on a small encoder."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
from small_encoders import save_encoder
from small_training import TASK, made_examples, records

from labelcast.errors import InputError
from labelcast.models.loading import load_encoder
from labelcast.training.backend import Fit, Placement, backend_of
from labelcast.training.evaluate import Scoring
from labelcast.training.recipe import SETFIT
from labelcast.training.setfit import SetFitBackend
from labelcast.training.splits import Budget

CPU = Placement("cpu", "float32")  # with AMX "auto" would train in bfloat16


def test_it_learns_and_depends_on_the_seed_alone(tmp_path: Path) -> None:
    """Texts of one answer move together, the score rises, and the same seed gives the same."""
    pytest.importorskip("setfit")
    folder = save_encoder(tmp_path / "bert", sentence=True)
    lm = load_encoder(str(folder), device="cpu").for_answers(TASK.answers)
    found = made_examples(None, records(300))
    labels, test = Budget(tuple(found[:64]), tuple(found[64:80])), found[80:]
    recipe = SETFIT.model_copy(update={"learning_rate": 3e-3, "max_steps": 40})
    steps: list[int] = []

    def tuned() -> float:
        fresh = replace(lm, model=copy.deepcopy(lm.model))
        fit = Fit(labels, recipe, 1, CPU, progress=lambda n, *_: steps.append(n))
        done = SetFitBackend().fit(fresh, fit)
        scoring = Scoring("accuracy", TASK.answers, placement=CPU)
        return SetFitBackend().score(done.lm, test, scoring).value

    score = tuned()
    assert score > 0.7
    assert tuned() == score
    assert steps[:40] == list(range(1, 41))


def test_it_is_for_encoders() -> None:
    """A language model has no vectors of texts to move."""
    with pytest.raises(InputError, match="trains encoders"):
        backend_of(SETFIT, "smollm2")
