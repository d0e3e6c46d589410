"""Training encoders: all weights, or a linear head on frozen vectors."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from sklearn.linear_model import LogisticRegression
from small_encoders import save_encoder
from small_training import TASK, made_examples, records, save_model

from labelcast.errors import InputError
from labelcast.models.encoder import Encoder, head_probabilities
from labelcast.models.loading import load_encoder, load_model
from labelcast.models.vectors import VectorStore
from labelcast.tasks.prompts import Example
from labelcast.training import checkpoints
from labelcast.training.backend import TRAINED, Fit, Placement, backend_of, recipe_for
from labelcast.training.encoder import HEAD, EncoderBackend, within
from labelcast.training.evaluate import Scoring
from labelcast.training.linear import LinearBackend, Probe, fitted_head
from labelcast.training.recipe import FULL, FULL_ENCODER, LINEAR, LORA, Linear
from labelcast.training.splits import Budget

CPU = Placement("cpu", "float32")  # with AMX "auto" would train in bfloat16
QUICK = FULL_ENCODER.model_copy(
    update={"learning_rate": 3e-3, "head_learning_rate": None, "max_steps": 60, "warmup": 0}
)
SCORING = Scoring("accuracy", TASK.answers, placement=CPU)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "sentence"])
def lm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = save_encoder(tmp_path_factory.mktemp("model") / "bert", sentence=request.param)
    return load_encoder(str(folder), device="cpu").for_answers(TASK.answers)


def fresh(lm: Encoder) -> Encoder:
    return replace(lm, model=copy.deepcopy(lm.model))


def parts(count: int) -> tuple[Budget, Sequence[Example]]:
    """Labels to train and validate on, and a test set."""
    found = made_examples(None, records(count + 100))
    return Budget(tuple(found[: count - 40]), tuple(found[count - 40 : count])), found[count:]


def test_full_fine_tuning_learns_and_keeps_the_best_step(lm: Encoder) -> None:
    """The score rises far above chance, and its validation loss is the lowest that was seen."""
    labels, test = parts(240)
    tuned = EncoderBackend().fit(fresh(lm), Fit(labels, QUICK, 1, CPU))
    value = EncoderBackend().score(tuned.lm, test, SCORING).value
    assert value > 0.8
    assert tuned.log.best_loss == min(loss for _, loss in tuned.log.losses)
    assert not any(weight.requires_grad for weight in tuned.lm.model.parameters())


def test_bfloat16_keeps_the_small_steps(tmp_path: Path) -> None:
    """It is for computing: the weights are in float32, and every step of 1e-5 changes them."""
    folder, placement = str(save_encoder(tmp_path / "bert")), Placement("cpu", "bfloat16")
    lm = EncoderBackend().load(folder, QUICK, placement).for_answers(TASK.answers)
    assert lm.dtype.value == torch.float32
    before = copy.deepcopy(lm.model.state_dict())
    labels, _ = parts(60)
    recipe = QUICK.model_copy(update={"max_steps": 2, "learning_rate": 1e-5})
    after = EncoderBackend().fit(lm, Fit(labels, recipe, 1, placement)).lm.model.state_dict()
    name = "encoder.layer.0.attention.self.query.weight"
    assert (after[name] != before[name]).all()
    for asked, why in (("auto", TRAINED), ("float32", "asked for")):
        lm = EncoderBackend().load(folder, QUICK, Placement("cpu", asked))
        assert str(lm.dtype) == f"torch.float32 ({why})"
    with pytest.raises(InputError, match="--dtype float16"):
        EncoderBackend().load(folder, QUICK, Placement("cpu", "float16"))


def test_a_text_is_cut_off_before_its_last_token(tmp_path: Path) -> None:
    """In training as in scoring, zero-shot too, with the token that ends it."""
    minilm = load_encoder("minilm", device="cpu")
    assert within(minilm, FULL_ENCODER).context == minilm.context == 256
    [tokens] = within(minilm, QUICK.model_copy(update={"max_length": 5})).tokens(["a " * 9])
    assert (len(tokens), tokens[-1]) == (5, minilm.tokenizer.sep_token_id)
    short = QUICK.model_copy(update={"max_steps": 1, "max_length": 3})
    labels, _ = parts(60)
    loaded = EncoderBackend().load(str(save_encoder(tmp_path / "bert")), short, CPU)
    loaded = loaded.for_answers(TASK.answers)
    for found in (loaded, EncoderBackend().fit(loaded, Fit(labels, short, 1, CPU)).lm):
        assert found.context == 3
        one, other = found.embed(["xyzabc", "xyzuvw"])
        assert np.allclose(one, other, atol=1e-6)


def test_step_0_is_zero_shot(tmp_path: Path) -> None:
    """A sentence encoder's head starts as the cosine with the answers' names."""
    folder = save_encoder(tmp_path / "bert", sentence=True)
    lm = load_encoder(str(folder), device="cpu").for_answers(TASK.answers)
    labels, _ = parts(60)
    found = lm.probabilities(lm.embed([e.prompt for e in labels.validation]))
    gold = [lm.answers.index(str(e.answer)) for e in labels.validation]
    loss = -np.log(found[np.arange(len(gold)), gold]).mean()
    short = QUICK.model_copy(update={"max_steps": 1})
    log = EncoderBackend().fit(fresh(lm), Fit(labels, short, 1, CPU)).log
    assert dict(log.losses)[0] == pytest.approx(loss, rel=1e-4)


def test_a_killed_training_resumes(
    lm: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the last checkpoint, with the result of a training that was not interrupted."""
    labels, _ = parts(120)
    short = QUICK.model_copy(update={"max_steps": 12})
    whole = EncoderBackend().fit(fresh(lm), Fit(labels, short, 2, CPU))

    class Stopped(Exception):
        pass

    def stop(step: int, most: int, loss: float | None) -> None:
        if step == 6:
            raise Stopped

    backend = EncoderBackend()
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", 0.0)
    fit = Fit(labels, short, 2, CPU, tmp_path / "work")
    with pytest.raises(Stopped):
        backend.fit(fresh(lm), replace(fit, progress=stop))
    assert list((tmp_path / "work").glob("checkpoint-*"))
    again = backend.fit(fresh(lm), fit)
    assert dict(again.log.losses) == pytest.approx(dict(whole.log.losses))
    for one, two in zip(whole.lm.model.parameters(), again.lm.model.parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-6)


def test_a_saved_encoder_loads_again(lm: Encoder, tmp_path: Path) -> None:
    """With its pooling, and its head beside it."""
    labels, _ = parts(60)
    short = QUICK.model_copy(update={"max_steps": 2})
    tuned = EncoderBackend().fit(fresh(lm), Fit(labels, short, 1, CPU))
    EncoderBackend().save(tuned.lm, tmp_path / "kept")
    again = load_encoder(str(tmp_path / "kept"), device="cpu")
    assert again.pooling.sentence == lm.pooling.sentence
    assert np.allclose(again.embed(["abc"]), tuned.lm.embed(["abc"]), atol=1e-6)
    with safe_open(tmp_path / "kept" / HEAD, "numpy") as head:
        assert json.loads(head.metadata()["answers"]) == list(TASK.answers)


def test_the_linear_head_is_logistic_regression() -> None:
    """Its probabilities are scikit-learn's on centred and scaled vectors."""
    rng = np.random.default_rng(0)
    vectors = (rng.normal(2, 3, (60, 5)) @ rng.normal(size=(5, 5))).astype(np.float32)
    for seen in ([0, 2], [0, 1, 2]):
        gold = rng.choice(seen, 60)
        centred = vectors - vectors.mean(0)
        scaled = centred / np.sqrt((centred**2).mean())
        wanted = LogisticRegression(C=0.5, max_iter=1000).fit(scaled, gold).predict_proba(scaled)
        found = head_probabilities(fitted_head(vectors, gold, 3, 0.5), vectors)
        assert np.allclose(found[:, seen], wanted, atol=1e-4)
        assert np.allclose(found.sum(1), 1)


def test_with_labels_of_one_answer_that_answer_is_given() -> None:
    """The others have no label, so they are never given."""
    vectors = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    found = head_probabilities(fitted_head(vectors, np.ones(4, int), 3, 1.0), vectors)
    assert np.allclose(found, [[0, 1, 0]] * 4)


def test_vectors_are_computed_once_and_kept(lm: Encoder, tmp_path: Path) -> None:
    """In the folder, also for another process; a damaged file is computed again."""
    done: list[int] = []
    VectorStore(lm, tmp_path).embed(["a", "b", "a"])
    found = VectorStore(lm, tmp_path).embed(["b", "a", "c"], done.append)
    assert np.allclose(found, lm.embed(["b", "a", "c"]), atol=1e-6)
    assert sorted(done) == [1, 2]
    [file] = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert np.allclose(VectorStore(lm, tmp_path).embed(["b"]), lm.embed(["b"]), atol=1e-6)


def test_the_linear_recipe_takes_language_models_too(tmp_path: Path) -> None:
    """The head is on the mean of the last layer's states."""
    causal = load_model(str(save_model(tmp_path / "llama")), device="cpu")
    labels, test = parts(240)
    backend = LinearBackend()
    recipe = LINEAR.model_copy(update={"linear": Linear(c=1.0)})
    tuned = backend.fit(causal, Fit(labels, recipe, 1, CPU))
    assert isinstance(tuned.lm, Probe)
    assert backend.score(tuned.lm, test, SCORING).value > 0.6


def test_without_names_a_curve_starts_at_the_majority(tmp_path: Path) -> None:
    """As a user who always gives the most frequent answer."""
    lm = load_encoder(str(save_encoder(tmp_path / "bert")), device="cpu").for_answers(TASK.answers)
    _, test = parts(60)
    share = sum(e.answer == "yes" for e in test) / len(test)
    for backend in (EncoderBackend(), LinearBackend()):
        found = backend.score(lm, test, SCORING)
        assert found.value == pytest.approx(max(share, 1 - share))


def test_the_recipe_and_the_model_choose_the_backend(tmp_path: Path) -> None:
    """`full` has another learning rate for encoders, and LoRA is for language models."""
    encoder, causal = str(save_encoder(tmp_path / "bert")), str(save_model(tmp_path / "llama"))
    assert recipe_for("full", encoder) is FULL_ENCODER
    assert recipe_for("full", causal) is FULL
    assert isinstance(backend_of(FULL_ENCODER, encoder), EncoderBackend)
    assert isinstance(backend_of(LINEAR, causal), LinearBackend)
    with pytest.raises(InputError, match="Use --recipe full or linear"):
        backend_of(LORA, encoder)
    with pytest.raises(InputError, match="--gpus-per-job 1"):
        EncoderBackend().load(encoder, FULL_ENCODER, Placement("cpu", processes=2))
