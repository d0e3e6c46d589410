"""LESS against plain autograd, one example at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from labelled_pools import WORDS, gradients, labelled, pool_of
from small_encoders import save_encoder

from labelcast.errors import InputError, RunError
from labelcast.models.encoder import Encoder
from labelcast.models.gradient_vectors import Projection
from labelcast.models.loading import AnyModel, LanguageModel, load_encoder
from labelcast.selection.methods.less import Less
from labelcast.selection.selector import select
from labelcast.selection.subjects import _Answers, subject
from labelcast.selection.warm_up import WarmUp, warm_up
from labelcast.training.sequences import end_of_turn

_FILMS = [
    *[("great", "yes"), ("awful", "no"), ("lovely", "yes"), ("boring", "no"), ("superb", "yes")],
    *[("dull", "no"), ("moving", "yes"), ("terrible", "no"), ("funny", "yes"), ("stupid", "no")],
    *[("brilliant", "yes"), ("tedious", "no")],
]
_SIGHTS = [
    *[("cat", "yes"), ("table", "no"), ("dog", "yes"), ("chair", "no"), ("horse", "yes")],
    *[("house", "no"), ("cow", "yes"), ("tree", "no"), ("lion", "yes"), ("stone", "no")],
    *[("tiger", "yes"), ("cup", "no")],
]
TRAINING = WarmUp(epochs=2, rank=2, learning_rate=1e-2, batch_size=4)
TARGET = labelled(["cd", "the dog", "b"], ["yes", "no", "no"])


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = tmp_path_factory.mktemp("encoder")
    return load_encoder(str(save_encoder(folder, sentence=True)), device="cpu")


def naive(lm: AnyModel, pool: Any, target_tasks: list[str], seed: int) -> Any:
    """The published formula with complete gradients."""
    n = pool.size
    trained = subject(lm, [*pool.examples, *pool.target], pool.allowed, TRAINING, seed)
    drawn = np.random.default_rng(seed).permutation(n)[: TRAINING.count(n)]
    checkpoints = warm_up(trained, sorted(drawn.tolist()), TRAINING, seed)
    names = list(trained.layers())
    weights = [layer.module.weight for layer in trained.layers().values()]
    total = np.zeros((n, len(pool.target)))
    for point in checkpoints:
        with torch.no_grad():
            for name, weight in zip(names, weights, strict=True):
                weight.copy_(point.weights[name])
        rows, targets = [], []
        for each in gradients(trained, range(n), weights):
            parts = []
            for name, g in zip(names, each, strict=True):
                m, v = point.first[name], point.second[name]
                parts.append((0.9 * m + 0.1 * g) / ((0.999 * v + 0.001 * g * g).sqrt() + 1e-8))
            rows.append(torch.cat([p.flatten() for p in parts]))
        for each in gradients(trained, range(n, n + len(pool.target)), weights):
            targets.append(torch.cat([g.flatten() for g in each]))
        cosines = torch.nn.functional.cosine_similarity(
            torch.stack(rows)[:, None].double(), torch.stack(targets)[None].double(), dim=-1
        )
        total += point.rate / sum(p.rate for p in checkpoints) * cosines.numpy()
    tasks = np.array(target_tasks)
    return np.max([total[:, tasks == task].mean(1) for task in sorted(set(target_tasks))], axis=0)


@pytest.mark.parametrize("tasks", [["a", "a", "a"], ["a", "b", "a"]])
def test_values_are_those_of_the_formula(tiny: LanguageModel, tasks: list[str]) -> None:
    """Mean within a subtask, maximum over subtasks, in any batch."""
    pool = pool_of(tiny, labelled(WORDS), target=TARGET, target_ids=tasks)
    wanted = naive(tiny, pool, tasks, seed=3)
    for batch in (1, 5):
        found = Less(training=TRAINING, size=None, batch_size=batch).values(pool, 3)
        assert np.allclose(found, wanted, atol=2e-4)
    chosen = select(Less(training=TRAINING, size=None), pool, 4, seed=3)
    assert chosen.positions.tolist() == np.argsort(-wanted, kind="stable")[:4].tolist()
    assert np.allclose(chosen.values, np.sort(wanted)[::-1][:4], atol=2e-4)


def test_an_encoders_values_are_those_of_the_formula(encoder: Encoder) -> None:
    """With adapters and the head."""
    pool = pool_of(encoder, labelled(WORDS), target=TARGET)
    found = Less(training=TRAINING, size=None).values(pool, 0)
    assert np.allclose(found, naive(encoder, pool, ["", "", ""], seed=0), atol=2e-4)


def test_the_projection_is_close_and_the_model_stays_as_it_was(tiny: LanguageModel) -> None:
    before = {name: w.clone() for name, w in tiny.model.state_dict().items()}
    hooks = [len(m._forward_hooks) for m in tiny.model.modules()]
    exact = Less(training=TRAINING, size=None)
    projected = Less(training=TRAINING, size=2048)
    pool = pool_of(tiny, labelled(WORDS), target=TARGET)
    other = pool_of(tiny, labelled(WORDS), target=TARGET)
    assert np.allclose(projected.values(pool, 0), exact.values(other, 0), atol=0.1)
    assert all(torch.equal(before[name], w) for name, w in tiny.model.state_dict().items())
    assert hooks == [len(m._forward_hooks) for m in tiny.model.modules()]
    assert not any(w.requires_grad for w in tiny.model.parameters())


def test_a_signal_resumes_after_a_kill(
    tiny: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second checkpoint fails once; the first is not computed again."""
    pool = pool_of(tiny, labelled(WORDS), tmp_path, target=TARGET)
    method = Less(training=TRAINING, size=64)
    plain, calls = _Answers.vectors, []

    def vectors(self: Any, rows: Any, *given: Any) -> Any:
        calls.append(len(rows))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return plain(self, rows, *given)

    monkeypatch.setattr(_Answers, "vectors", vectors)
    with pytest.raises(KeyboardInterrupt):
        method.values(pool, 0)
    again = method.values(pool_of(tiny, labelled(WORDS), tmp_path, target=TARGET), 0)
    assert len(calls) == 4 + 2
    memory = pool_of(tiny, labelled(WORDS), target=TARGET)
    assert np.allclose(again, method.values(memory, 0), atol=1e-6)


def test_duplicates_and_one_row(tiny: LanguageModel) -> None:
    """Duplicates have the same value; the first is taken."""
    twice = pool_of(tiny, labelled(["ab"] * 4, ["yes"] * 4), target=TARGET)
    chosen = select(Less(training=TRAINING, size=64), twice, 2)
    assert chosen.positions.tolist() == [0, 1]
    one = pool_of(tiny, labelled(["ab"]), target=TARGET)
    assert select(Less(training=TRAINING), one, 1).positions.tolist() == [0]


def test_the_seed_decides(tiny: LanguageModel) -> None:
    pool = pool_of(tiny, labelled(WORDS), target=TARGET)
    fresh = pool_of(tiny, labelled(WORDS), target=TARGET)
    method = Less(training=TRAINING, size=64)
    assert np.array_equal(method.values(pool, 1), method.values(fresh, 1))
    assert not np.allclose(method.values(pool, 1), method.values(pool, 2))


def test_what_is_missing_is_refused_at_once(tiny: LanguageModel, encoder: Encoder) -> None:
    texts = labelled(WORDS)
    with pytest.raises(InputError, match="less needs a target set"):
        select(Less(), pool_of(tiny, texts), 1)
    with pytest.raises(InputError, match="less needs a target set"):
        select(Less(), pool_of(tiny, texts, target=labelled(["z"], [None])), 1)  # type: ignore[list-item]
    bare = [*texts[:-1], *labelled(["z"], [None])]  # type: ignore[list-item]
    with pytest.raises(InputError, match="less needs answers"):
        select(Less(), pool_of(tiny, bare, target=TARGET), 1)
    with pytest.raises(InputError, match=r"line 1 .*'yes' is not one of the task's, a, b"):
        select(Less(), pool_of(encoder, texts, target=TARGET, allowed=("a", "b")), 1)
    long = labelled(["ab" * 400])
    with pytest.raises(InputError, match=r"line 1 .* reads at most 256"):
        select(Less(), pool_of(tiny, long, target=TARGET), 1)
    with pytest.raises(InputError, match="at least 1 epoch"):
        Less(training=WarmUp(epochs=0))


def test_the_end_of_turn_has_a_loss_too(tiny: LanguageModel) -> None:
    """The same tokens as in training."""
    trained = subject(tiny, labelled(["ab"]), (), TRAINING, 0)
    assert isinstance(trained, _Answers)
    assert trained.pairs[0].tokens[-1:] == end_of_turn(tiny)


@pytest.mark.parametrize("topic", [0, 1])
def test_rows_of_the_targets_own_task_are_preferred(topic: int) -> None:
    """By the embedded encoder, from a pool of two tasks with the same answers."""
    films = [(f"the film was {w}", a) for w, a in _FILMS]
    sights = [(f"i saw a {w} near the gate", a) for w, a in _SIGHTS]
    pairs = [pair for both in zip(films, sights, strict=True) for pair in both]
    rows = labelled([text for text, _ in pairs], [answer for _, answer in pairs])
    pool = pool_of(load_encoder("minilm", device="cpu"), rows[8:], target=rows[topic:8:2])
    values = Less().values(pool, 0)
    own = np.arange(pool.size) % 2 == topic
    assert np.median(values[own]) > values[~own].max()


@pytest.mark.parametrize("kind", ["causal", "encoder"])
def test_a_gradient_that_is_not_finite_names_its_record(
    kind: str, tiny: LanguageModel, encoder: Encoder
) -> None:
    """By its place in the file, whatever part of the pool is computed."""
    lm = tiny if kind == "causal" else encoder
    trained = subject(lm, labelled(WORDS), ("yes", "no"), TRAINING, 0)
    how = Projection(64, direction=lambda name, g: g / 0)
    with pytest.raises(RunError, match=r"^line 6 \(id 5\): its gradient is not finite"):
        trained.vectors([5, 2], how)
