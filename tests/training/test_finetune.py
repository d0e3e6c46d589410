import math
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_training import (
    QUICK,
    QUICK_LORA,
    fresh,
    load,
    made_examples,
    records,
    save_model,
    unlabelled,
)

from labelcast.errors import InputError, LabelcastWarning, RunError
from labelcast.models import choices
from labelcast.models.confidence import score_confidence
from labelcast.models.loading import LanguageModel
from labelcast.tasks.prompts import Example
from labelcast.training import checkpoints
from labelcast.training.backend import TRAINED, FineTuned, Fit, Placement, TrainingLog
from labelcast.training.checkpoints import last_checkpoint
from labelcast.training.evaluate import Scoring, evaluate
from labelcast.training.finetune import CausalBackend
from labelcast.training.recipe import FULL, Recipe
from labelcast.training.sequences import IGNORED, collate, encode, end_of_turn
from labelcast.training.splits import Budget
from labelcast.training.trainer import make_trainer

TEXTS = records(500)
EXACT = Scoring("accuracy", max_new_tokens=4)
SHORT = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def lm(folder: Path) -> LanguageModel:
    return load(folder)


@pytest.fixture(scope="module")
def examples(lm: LanguageModel) -> list[Example]:
    return made_examples(lm, TEXTS)


def fine_tune(
    lm: LanguageModel,
    train: Sequence[Example],
    validation: Sequence[Example],
    recipe: Recipe,
    *,
    seed: int,
    placement: Placement = Placement("cpu", "float32"),  # noqa: B008
    **options: Any,
) -> FineTuned:
    """Tune a model in place."""
    labels = Budget(tuple(train), tuple(validation))
    return CausalBackend().fit(lm, Fit(labels, recipe, seed, placement, **options))


def tune(
    lm: LanguageModel, examples: list[Example], recipe: Recipe = QUICK, seed: int = 5, **kw: Any
) -> FineTuned:
    return fine_tune(fresh(lm), examples[:40], examples[40:60], recipe, seed=seed, **kw)


@pytest.fixture
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every measurement."""
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", 0.0)


def weights(tuned: FineTuned) -> dict[str, torch.Tensor]:
    return dict(tuned.lm.model.state_dict())


def answers(lm: LanguageModel, examples: list[Example]) -> list[str]:
    found = score_confidence(lm, [example.prompt for example in examples], max_new_tokens=4)
    return [value.answer for value in found]


def loss_of(lm: LanguageModel, examples: list[Example]) -> float:
    """The mean loss of the answer tokens, from the model's own logits."""
    batch = collate(list(encode(lm, examples, 2048).rows))
    with torch.inference_mode():
        logits = lm.model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).logits
    return float(
        torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten(), ignore_index=IGNORED
        )
    )


def test_the_loss_is_only_on_the_answer(lm: LanguageModel, examples: list[Example]) -> None:
    """The labelled tokens are the answer and the token that generation stops at."""
    (row,) = encode(lm, examples[:1], 2048).rows
    kept = [token for token in row["labels"] if token != IGNORED]
    assert lm.tokenizer.decode(kept) == f"{examples[0].answer}<eos>"
    assert row["input_ids"][-len(kept) :] == kept
    assert lm.tokenizer.decode(row["input_ids"][: -len(kept)]) == examples[0].prompt
    assert end_of_turn(lm) == [lm.tokenizer.eos_token_id]


def test_padding_carries_no_loss(lm: LanguageModel) -> None:
    """Padding tokens are masked and not labelled."""
    rows = [{"text": "a", "y": "yes"}, {"text": "abcdefgh", "y": "no"}]
    encoded = encode(lm, made_examples(lm, rows), 2048).rows
    batch = collate(encoded)
    for number, row in enumerate(encoded):
        length = len(row["input_ids"])
        assert batch["attention_mask"][number].sum() == length
        assert (batch["labels"][number, length:] == IGNORED).all()
        assert batch["labels"][number, :length].tolist() == row["labels"]


def test_the_trainers_loss_is_that_of_the_answer(
    lm: LanguageModel, examples: list[Example]
) -> None:
    """The loss measured before training is the mean over answer tokens, computed here."""
    tuned = tune(lm, examples, QUICK.model_copy(update={"max_steps": 1, "batch_size": 20}))
    first = dict(tuned.log.losses)[0]
    assert first == pytest.approx(loss_of(lm, examples[40:60]), rel=1e-4)


@pytest.mark.parametrize("recipe", [QUICK, QUICK_LORA], ids=["full", "lora"])
def test_logits_are_computed_only_for_the_answers(
    lm: LanguageModel, examples: list[Example], recipe: Recipe, tmp_path: Path
) -> None:
    """The head sees one state per answer token; loss and gradients equal those of all logits."""
    parts = [encode(lm, examples[:8], 2048)] * 2
    batch = collate(parts[0].rows)
    found = {}
    for way in ("answers", "all"):
        trainer = make_trainer(fresh(lm), parts, unlabelled(recipe), tmp_path)
        trainer.start = 0  # complete rows
        seen: list[tuple[int, ...]] = []
        trainer.head.register_forward_hook(
            lambda module, given, logits, seen=seen: seen.append(tuple(logits.shape[:-1]))
        )
        if way == "all":
            trainer.head = None
        loss = trainer.compute_loss(trainer.model, dict(batch))
        loss.backward()
        grads = [w.grad for w in trainer.model.parameters() if w.grad is not None]
        found[way] = loss.item(), grads, seen
    answers, everywhere = found["answers"], found["all"]
    assert answers[2] == [(int((batch["labels"] != IGNORED).sum()),)]
    assert everywhere[2] == [tuple(batch["labels"].shape)]
    assert answers[0] == pytest.approx(everywhere[0], rel=1e-6)
    assert len(answers[1]) == len(everywhere[1]) > 0
    for one, other in zip(answers[1], everywhere[1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_bfloat16_keeps_the_small_steps(
    folder: Path, lm: LanguageModel, examples: list[Example]
) -> None:
    """Asked for, it is for computing; in it, weights would be as before the published steps."""
    placement, recipe = Placement("cpu", "bfloat16"), FULL.model_copy(update={"max_steps": 3})
    loaded = CausalBackend().load(str(folder), recipe, placement)
    assert str(loaded.dtype) == f"torch.float32 ({TRAINED})"
    tuned = fine_tune(loaded, examples[:40], examples[40:50], recipe, seed=1, placement=placement)
    before = lm.model.state_dict()
    assert all((w != before[name]).any() for name, w in weights(tuned).items())
    CausalBackend().score(tuned.lm, examples[60:64], replace(EXACT, placement=placement))
    assert {weight.dtype for weight in tuned.lm.model.parameters()} == {torch.bfloat16}
    with pytest.raises(InputError, match=r"--dtype float16: .* Use --dtype bfloat16"):
        CausalBackend().load(str(folder), recipe, Placement("cpu", "float16"))


def test_bfloat16_changes_the_loss_little(
    lm: LanguageModel, examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the device has it, training computes in it, unless another dtype is asked for."""
    short = QUICK.model_copy(update={"max_steps": 8})
    exact = tune(lm, examples, short)
    monkeypatch.setattr(choices, "trains_in_bf16", lambda device: True)
    assert tune(lm, examples, short).log.losses == exact.log.losses
    half = tune(lm, examples, short, placement=Placement("cpu"))
    assert half.log.losses != exact.log.losses
    for (_, one), (_, two) in zip(half.log.losses, exact.log.losses, strict=True):
        assert one == pytest.approx(two, rel=0.01)
    assert {weight.dtype for weight in half.lm.model.parameters()} == {torch.float32}


@pytest.mark.parametrize("recipe", [QUICK, QUICK_LORA], ids=["full", "lora"])
def test_it_learns(lm: LanguageModel, examples: list[Example], recipe: Recipe) -> None:
    """The validation loss falls, and the score rises above zero-shot and the commonest label."""
    recipe = recipe.model_copy(update={"max_steps": 120})
    tuned = fine_tune(fresh(lm), examples[:200], examples[200:250], recipe, seed=0)
    losses = dict(tuned.log.losses)
    assert losses[tuned.log.best_step] < 0.5 * losses[0]
    test = examples[300:500]
    score = evaluate(tuned.lm, test, EXACT)
    gold = [example.answer for example in test]
    commonest = max(gold.count("yes"), gold.count("no")) / len(gold)
    assert score.value - 2 * score.sd > max(commonest, evaluate(lm, test, EXACT).value)


def test_the_best_step_is_what_is_returned(lm: LanguageModel, examples: list[Example]) -> None:
    """The returned weights have the lowest validation loss that was measured.

    The validation answers are swapped: their loss falls while the form of the answers is learned,
    and rises once the task is learned.
    """
    swapped = [replace(e, answer="no" if e.answer == "yes" else "yes") for e in examples[40:60]]
    recipe = QUICK.model_copy(update={"max_steps": 80, "batch_size": 20, "patience": 4})
    tuned = fine_tune(fresh(lm), examples[:40], swapped, recipe, seed=0)
    measured = {step: loss for step, loss in tuned.log.losses if step}
    assert tuned.log.best_step == min(measured, key=lambda step: measured[step])
    assert tuned.log.best_step < tuned.log.steps
    assert loss_of(tuned.lm, swapped) == pytest.approx(measured[tuned.log.best_step], rel=1e-4)


def test_early_stopping(lm: LanguageModel, examples: list[Example]) -> None:
    """Training ends when `patience` measurements in a row were not better than the best."""
    wild = QUICK.model_copy(
        update={"learning_rate": 0.1, "patience": 3, "evaluate_every": 2, "schedule": "constant"}
    )
    tuned = tune(lm, examples, wild)
    assert tuned.log.stopped_early
    assert tuned.log.steps == tuned.log.best_step + 3 * 2 < wild.max_steps


@pytest.mark.parametrize("recipe", [QUICK, QUICK_LORA], ids=["full", "lora"])
def test_seeds(lm: LanguageModel, examples: list[Example], recipe: Recipe) -> None:
    """The same seed gives the same weights; the random state of the process is kept."""
    short = recipe.model_copy(update={"max_steps": 6})
    random.seed(1)
    torch.manual_seed(1)
    drawn = random.random(), float(torch.rand(1))
    random.seed(1)
    torch.manual_seed(1)
    one = tune(lm, examples, short)
    assert (random.random(), float(torch.rand(1))) == drawn
    two, other = tune(lm, examples, short), tune(lm, examples, short, seed=6)
    assert one.log.losses == two.log.losses
    assert all(torch.equal(w, weights(two)[name]) for name, w in weights(one).items())
    assert one.log.losses != other.log.losses


def test_lora_trains_only_adapters(
    lm: LanguageModel, examples: list[Example], tmp_path: Path
) -> None:
    """Only adapters have gradients; merging leaves the layers that the model had."""
    parts = [encode(lm, examples[:8], 2048)] * 2
    trainer = make_trainer(fresh(lm), parts, unlabelled(QUICK_LORA), tmp_path)
    trained = [n for n, w in trainer.model.named_parameters() if w.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)
    tuned = tune(lm, examples, QUICK_LORA.model_copy(update={"max_steps": 8}))
    before, after = lm.model.state_dict(), weights(tuned)
    assert before.keys() == after.keys()
    for name, weight in before.items():
        assert torch.equal(weight, after[name]) != name.endswith("_proj.weight")
    assert not any(w.requires_grad for w in tuned.lm.model.parameters())
    assert not tuned.lm.model.training


def test_a_tuned_model_can_be_saved_and_loaded(
    lm: LanguageModel, examples: list[Example], tmp_path: Path
) -> None:
    """Saved and loaded again it answers the same: nothing of the trainer is left on it."""
    tuned = tune(lm, examples, QUICK.model_copy(update={"gradient_checkpointing": True}))
    CausalBackend().save(tuned.lm, tmp_path)
    test = examples[100:140]
    assert answers(load(tmp_path), test) == answers(tuned.lm, test)
    assert type(tuned.lm.model) is type(lm.model)
    assert "forward" not in vars(tuned.lm.model)


def test_accumulation_changes_nothing(lm: LanguageModel, examples: list[Example]) -> None:
    """A batch run in four parts takes the same steps as one run at once."""
    whole = QUICK.model_copy(update={"max_steps": 8, "batch_size": 8})
    parts = whole.model_copy(update={"micro_batch": 2})
    one, two = weights(tune(lm, examples, whole)), weights(tune(lm, examples, parts))
    assert all(torch.allclose(w, two[name], atol=2e-4) for name, w in one.items())


def test_long_sequences_are_left_out_with_a_count(lm: LanguageModel) -> None:
    """A sequence of `max_length` tokens or more is dropped; it is an error if none is left."""
    rows = [{"text": "ab" * (30 if n < 3 else 2) + f"{n}", "y": "yes"} for n in range(20)]
    made = made_examples(lm, rows)
    recipe = QUICK.model_copy(update={"max_steps": 4, "max_length": 60})
    with pytest.warns(LabelcastWarning, match="3 of 20 labelled examples are too long"):
        tuned = fine_tune(fresh(lm), made[:10], made[10:], recipe, seed=0)
    assert tuned.log.dropped == 3
    with pytest.raises(InputError, match="no example is left to train on: 3 are too long"):
        fine_tune(fresh(lm), made[:3], made[10:], recipe, seed=0)


def test_a_loss_that_is_not_a_number(lm: LanguageModel, examples: list[Example]) -> None:
    """A training whose loss is never a number fails."""
    broken = fresh(lm)
    broken.model.lm_head.weight.data.fill_(float("nan"))
    recipe = QUICK.model_copy(update={"max_steps": 8, "patience": 2})
    with pytest.raises(RunError, match="learning_rate"):
        fine_tune(broken, examples[:40], examples[40:60], recipe, seed=0)


def test_a_log_keeps_losses_that_are_not_numbers(tmp_path: Path) -> None:
    """A training that diverges after its best step still writes checkpoints."""
    log = TrainingLog(
        [(0, 2.0), (4, 1.0), (8, math.inf), (12, math.nan)], train_loss=math.nan, best_step=4
    )
    log.write(tmp_path / "log.json")
    found = TrainingLog.read(tmp_path / "log.json")
    assert found.losses[:3] == log.losses[:3] and math.isnan(found.losses[3][1])


def test_resuming_after_a_kill(
    folder: Path, lm: LanguageModel, examples: list[Example], tmp_path: Path
) -> None:
    """After SIGKILL between two checkpoints the same call ends as without it.

    Nothing is printed, not even what bitsandbytes logs on a CPU with AVX512-BF16.
    """
    script = Path(__file__).with_name("killed_training.py")
    line = [sys.executable, str(script), str(folder), str(tmp_path), str(SHORT), "10"]
    places = (script.parents[1], script.parents[2] / "src")
    env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, places))}
    killed = subprocess.run(line, capture_output=True, text=True, check=False, env=env)
    assert (killed.returncode, killed.stderr) == (-signal.SIGKILL, "")
    ends_as_undisturbed(lm, examples, QUICK.model_copy(update={"max_steps": SHORT}), tmp_path)


@pytest.mark.usefixtures("_eager")
def test_resuming_adapters(lm: LanguageModel, examples: list[Example], tmp_path: Path) -> None:
    """Stopped between two checkpoints, the same call trains the adapters as without it."""

    def stop(step: int, steps: int, loss: float | None) -> None:
        if step == 10:
            raise KeyboardInterrupt

    recipe = QUICK_LORA.model_copy(update={"max_steps": SHORT})
    with pytest.raises(KeyboardInterrupt):
        tune(lm, examples, recipe, folder=tmp_path, progress=stop)
    ends_as_undisturbed(lm, examples, recipe, tmp_path)


def ends_as_undisturbed(
    lm: LanguageModel, examples: list[Example], recipe: Recipe, tmp_path: Path
) -> None:
    """From the checkpoint of step 8 a training ends as one that was never stopped."""
    kept = last_checkpoint(tmp_path)
    assert kept is not None
    assert kept.name == "checkpoint-8"
    assert (kept / "best-0.safetensors").exists()
    steps: list[int] = []
    resumed = tune(
        lm, examples, recipe, folder=tmp_path, progress=lambda step, *_: steps.append(step)
    )
    undisturbed = tune(lm, examples, recipe)
    assert steps[0] == 9
    assert [s for s, _ in resumed.log.losses] == [s for s, _ in undisturbed.log.losses]
    for (_, one), (_, two) in zip(resumed.log.losses, undisturbed.log.losses, strict=True):
        assert one == pytest.approx(two, rel=1e-4, abs=1e-5)
    assert resumed.log.best_step == undisturbed.log.best_step
    test = examples[100:150]
    assert answers(resumed.lm, test) == answers(undisturbed.lm, test)


def test_an_unfinished_checkpoint_is_not_used(tmp_path: Path) -> None:
    """A checkpoint counts once it has its manifest; the latest one is used."""
    assert last_checkpoint(tmp_path) is None
    for step in (8, 20, 100):
        (tmp_path / f"checkpoint-{step}").mkdir()
    for step in (8, 20):
        (tmp_path / f"checkpoint-{step}" / "labelcast.json").touch()
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-20"
    assert not (tmp_path / "checkpoint-100").exists()


@pytest.mark.usefixtures("_eager")
@pytest.mark.parametrize(("seed", "scale"), [(6, 1.0), (5, 1.01)], ids=["seed", "weights"])
def test_checkpoints_of_another_training_are_not_used(
    lm: LanguageModel, examples: list[Example], tmp_path: Path, seed: int, scale: float
) -> None:
    """Those of another seed, or of a model with other weights: training starts from the start."""
    short = QUICK.model_copy(update={"max_steps": 12})
    tune(lm, examples, short, folder=tmp_path)
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-8"
    changed = fresh(lm)
    changed.model.get_input_embeddings().weight.data *= scale
    other = tune(changed, examples, short, seed=seed, folder=tmp_path)
    assert other.log.losses == tune(changed, examples, short, seed=seed).log.losses
    shutil.rmtree(tmp_path)


@pytest.mark.usefixtures("_eager")
def test_a_damaged_checkpoint_is_deleted(
    lm: LanguageModel, examples: list[Example], tmp_path: Path
) -> None:
    """The error says so, and the next call trains from the start with the same result."""
    short = QUICK.model_copy(update={"max_steps": 8})
    first = tune(lm, examples, short, folder=tmp_path / "intact")
    for name in ("labelcast.json", "model.safetensors", "optimizer.pt"):
        folder = shutil.copytree(tmp_path / "intact", tmp_path / name)
        file = folder / "checkpoint-4" / name
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises(RunError, match="checkpoint-4: damaged, so it is deleted"):
            tune(lm, examples, short, folder=folder)
    assert tune(lm, examples, short, folder=folder).log.losses == first.log.losses


@pytest.mark.parametrize("processes", ["3", "64"])
def test_a_batch_that_cannot_be_divided(
    lm: LanguageModel,
    examples: list[Example],
    processes: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A batch that the processes cannot divide evenly is refused with the recipe's name."""
    monkeypatch.setenv("WORLD_SIZE", processes)
    with pytest.raises(InputError, match="recipe 'quick': batch_size 16"):
        tune(lm, examples)
