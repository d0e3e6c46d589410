"""Models whose weights are packed into 4 bits, tuned with adapters on a CPU."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_training import (
    QUICK,
    QUICK_LORA,
    TASK,
    fresh,
    load,
    made_examples,
    records,
    save_model,
    save_quantised,
    write_records,
)

from labelcast.errors import InputError
from labelcast.models.loading import LanguageModel
from labelcast.sweeps.job import SweepJob, SweepSettings
from labelcast.sweeps.task_data import SweepTask
from labelcast.training import finetune
from labelcast.training.backend import FineTuned, Fit, Placement
from labelcast.training.evaluate import Scoring, evaluate
from labelcast.training.finetune import CausalBackend
from labelcast.training.recipe import Recipe
from labelcast.training.splits import Budget

pytest.importorskip("bitsandbytes")
EXACT = Scoring("accuracy", max_new_tokens=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that learns, in 4 bits."""
    made = tmp_path_factory.mktemp("quantised")
    return save_quantised(made / "four", save_model(made / "whole"))


def tune(folder: Path, recipe: Recipe = QUICK_LORA, steps: int = 8) -> tuple[FineTuned, Any]:
    """A training on 200 labels, and 100 other examples."""
    lm = load(folder)
    examples = made_examples(lm, records(350))
    labels = Budget(tuple(examples[:200]), tuple(examples[200:250]))
    short = recipe.model_copy(update={"max_steps": steps})
    tuned = CausalBackend().fit(lm, Fit(labels, short, 0, Placement("cpu", "float32")))
    return tuned, examples[250:]


def packed(lm: LanguageModel) -> list[torch.Tensor]:
    found = [w.detach().clone() for w in lm.model.parameters() if w.dtype == torch.uint8]
    assert found
    return found


@pytest.mark.slow
def test_adapters_learn_on_packed_weights(folder: Path) -> None:
    """The validation loss falls by half, the score rises, and no packed weight changes."""
    tuned, test = tune(folder, steps=120)
    losses = dict(tuned.log.losses)
    assert losses[tuned.log.best_step] < 0.5 * losses[0]
    scoring = replace(EXACT, placement=Placement("cpu", "float32"))
    score = CausalBackend().score(tuned.lm, test, scoring)
    assert score.value - score.sd > evaluate(load(folder), test, EXACT).value
    assert all(map(torch.equal, packed(tuned.lm), packed(load(folder))))
    assert not any(w.requires_grad for w in tuned.lm.model.parameters())


def test_scoring_casts_no_packed_weight(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where other models are scored in bfloat16 it stays as it was loaded."""
    lm = load(folder)
    test = made_examples(lm, records(20))
    wanted = evaluate(fresh(lm), test, EXACT)
    monkeypatch.setattr(finetune, "computes_bf16", lambda device: True)
    assert CausalBackend().score(lm, test, replace(EXACT, placement=Placement("cpu"))) == wanted
    assert all(map(torch.equal, packed(lm), packed(load(folder))))


@pytest.mark.parametrize(("recipe", "processes"), [(QUICK, 1), (QUICK_LORA, 2)])
def test_what_cannot_be_trained_is_refused(folder: Path, recipe: Recipe, processes: int) -> None:
    """All weights, or in several processes: before loading, and for a loaded model."""
    said = "Use --recipe LoRA" if processes == 1 else "Use --gpus-per-job 1"
    placement = Placement("cpu", "float32", processes)
    with pytest.raises(InputError, match=said):
        CausalBackend().load(str(folder), recipe, placement)
    lm = load(folder)
    examples = tuple(made_examples(lm, records(8)))
    labels = Budget(examples[:4], examples[4:])
    with pytest.raises(InputError, match=said):
        CausalBackend().fit(lm, Fit(labels, recipe, 0, placement))


def test_a_saved_model_is_its_adapters(folder: Path, tmp_path: Path) -> None:
    """As peft reads them, on top of the model that was tuned."""
    from peft import PeftModel

    tuned, test = tune(folder)
    CausalBackend().save(tuned.lm, tmp_path)
    assert (tmp_path / "adapter_config.json").exists()
    base = load(folder)
    loaded = PeftModel.from_pretrained(base.model, tmp_path).eval()
    ids = torch.tensor([base.tokenizer.encode(test[0].prompt)])
    with torch.no_grad():
        assert torch.equal(loaded(ids).logits, tuned.lm.model(ids).logits)


def test_a_sweep_tunes_it(folder: Path, tmp_path: Path) -> None:
    """Zero-shot and with labels, and the next job starts from the model as it was."""
    recipe = QUICK_LORA.model_copy(update={"max_steps": 8})
    settings = SweepSettings(str(folder), recipe, test_size=30, device="cpu", threads=1)
    source = SweepTask(TASK, str(write_records(tmp_path)))
    rows = [SweepJob(settings, source, budget, 0).run() for budget in (0, 50, 0, 50)]
    assert [row.error for row in rows] == [""] * 4
    assert [row.score for row in rows[:2]] == [row.score for row in rows[2:]]
    assert rows[1].first_validation_loss == rows[3].first_validation_loss
