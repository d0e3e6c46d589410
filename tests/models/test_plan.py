"""Batches and their memory; how they run changes no value."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from families import in_a_thread, load_family, random_pairs
from hypothesis import given
from hypothesis import strategies as st

from labelcast.errors import LabelcastWarning, RunError
from labelcast.models import gradients
from labelcast.models.encoding import Encoded, by_length
from labelcast.models.generation import LocalAnswers
from labelcast.models.gradients import exact_gram, sketched_gram
from labelcast.models.layers import linear_layers
from labelcast.models.likelihood import answer_log_likelihoods, mean_hidden_states
from labelcast.models.loading import LanguageModel
from labelcast.models.memory import Halving
from labelcast.models.plan import (
    MemoryCosts,
    Room,
    answers_fit,
    count_costs,
    one_room,
    plan_at_once,
    plan_batches,
    recomputed_layers,
)

MUCH = 1 << 50


def counted(lm: LanguageModel, pairs: Sequence[Encoded], rows: int = 16) -> MemoryCosts:
    """What a pass for a sketch of `rows` rows takes."""
    return count_costs(lm, linear_layers(lm), pairs, rows)


@pytest.fixture
def threads() -> Iterator[None]:
    """Restore torch's number of threads."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("family", ["tied", "fused", "plain", "shared expert"])
def test_all_at_once_equals_batches(family: str, tmp_path: Path) -> None:
    """With gradients dropped per layer or kept, and with all or few layers recomputed."""
    lm = load_family(tmp_path, family)
    pairs = random_pairs(3, shared=70)
    expected = sketched_gram(lm, pairs, rank=8, seeds=[0, 1], batch_size=2)
    scale = float(expected.values.abs().max())
    costs = replace(counted(lm, pairs), row=0)
    sizes = (int(1.03**k) for k in range(300, 800))
    enough = next(m for m in sizes if plan_at_once(costs, [one_room(lm, m)], pairs))
    for memory in (MUCH, enough):
        plan = plan_at_once(costs, [one_room(lm, memory)], pairs)
        assert plan is not None
        assert bool(plan.recomputed) == (memory == enough)
        found = sketched_gram(lm, pairs, rank=8, seeds=[0, 1], batch_size=2, at_once=memory)
        torch.testing.assert_close(found.values, expected.values, rtol=0, atol=2e-3 * scale)
        torch.testing.assert_close(found.by_layer, expected.by_layer, rtol=0, atol=2e-3 * scale)
        assert found.layers == expected.layers


def test_at_once_holds_one_layers_gradients(tiny: LanguageModel) -> None:
    """Memory for gradients does not grow with the number of layers."""
    pairs = random_pairs(4)
    found = sketched_gram(tiny, pairs, rank=8, seeds=[0], batch_size=2, at_once=MUCH)
    widest = max(layer.shape[0] for name, layer in tiny.model.named_parameters() if "proj" in name)
    assert found.held_bytes == len(pairs) * widest * 8 * 4


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("shared", [0, 70])
def test_threads_change_no_bit(tiny: LanguageModel, shared: int) -> None:
    """Batches on one, two and four threads give the same values."""
    pairs = random_pairs(5, count=9, shared=shared)
    found = []
    for count in (1, 2, 4):
        torch.set_num_threads(count)
        sketched = sketched_gram(tiny, pairs, rank=8, seeds=[0], batch_size=2).values
        found.append((sketched, exact_gram(tiny, pairs, batch_size=2, memory=MUCH).values))
        assert torch.get_num_threads() == count
    for one, two in pairwise(found):
        assert torch.equal(one[0], two[0])
        torch.testing.assert_close(one[1], two[1], rtol=1e-5, atol=0)


def test_an_error_in_a_thread_reaches_the_caller(tiny: LanguageModel) -> None:
    """The model is restored, and the next call works."""
    pairs = random_pairs(6)
    expected = sketched_gram(tiny, pairs, rank=8, seeds=[0], batch_size=1).values
    layer = tiny.model.model.layers[1].mlp

    def fail(*args: object) -> None:
        raise RuntimeError("no more")

    handle = layer.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="no more"):
        sketched_gram(tiny, pairs, rank=8, seeds=[0], batch_size=1)
    handle.remove()
    assert torch.equal(sketched_gram(tiny, pairs, rank=8, seeds=[0], batch_size=1).values, expected)


@given(memory=st.integers(0, 1 << 36), count=st.integers(2, 40))
def test_more_memory_recomputes_no_more(memory: int, count: int) -> None:
    """A plan has every example once, and recomputation falls with memory."""
    pairs = random_pairs(1, count=count)
    costs = MemoryCosts(layer=3e6, entry=2e5, example=1000, answer=500, fixed=10_000)
    rooms = [[Room(range(3), m), Room(range(3, 6), m)] for m in (memory, 2 * memory)]
    plan, larger = (plan_at_once(costs, room, pairs) for room in rooms)
    if plan is None:
        return
    assert larger is not None
    assert larger.recomputed <= plan.recomputed < set(range(6))
    assert sorted(row for batch in plan.batches for row in batch) == list(range(count))
    assert len(plan.batches) == 1


@given(memory=st.integers(0, 1 << 30), count=st.integers(2, 12), size=st.integers(1, 8))
def test_batches_fit_into_the_memory_of_a_gpu(
    tiny: LanguageModel, memory: int, count: int, size: int
) -> None:
    """Each batch is as large as it may be and fits, or is one example; enough layers run again."""
    pairs = random_pairs(1, count=count)
    costs = MemoryCosts(layer=3e6, entry=2e5, row=1000, answer=500, fixed=10_000)
    rooms = [one_room(tiny, memory)]
    plan = plan_batches(tiny, costs, rooms, pairs, size)
    assert sorted(row for batch in plan.batches for row in batch) == list(range(count))
    assert plan.batch_size == max(map(len, plan.batches)) <= size
    answer = max(pair.answer_length for pair in pairs)
    for batch in plan.batches:
        tokens = len(batch) * len(pairs[batch[0]].tokens)
        needed = recomputed_layers(costs, rooms, len(batch), tokens, len(batch) * answer)
        assert len(batch) == 1 or needed is not None
        assert (needed if needed is not None else {0, 1, 2}) <= plan.recomputed
    if memory == 0:
        assert plan.batch_size == 1


def test_what_a_layer_keeps_is_counted_without_its_weights(tiny: LanguageModel) -> None:
    """In widths of a token: the inputs of frozen linear layers are not among it."""
    pairs = [Encoded(list(range(3, 103)), 4)]
    width = 4 * tiny.model.config.hidden_size
    assert 10 < counted(tiny, pairs).layer / width < 18
    assert counted(tiny, pairs * 9).layer == counted(tiny, pairs).layer


def test_answers_take_memory_by_row_and_token(tiny: LanguageModel) -> None:
    """More rows, longer prompts and a larger number type fit into fewer places."""
    config = tiny.model.config

    def most(memory: int, itemsize: int, length: int) -> int:
        rooms = [one_room(tiny, memory)]
        sizes = range(1, 1000)
        return max(n for n in sizes if answers_fit(config, rooms, itemsize, n, length, 30))

    assert most(1 << 26, 4, 200) < most(1 << 27, 4, 200) < most(1 << 27, 2, 200)
    assert most(1 << 26, 4, 400) < most(1 << 26, 4, 200)
    assert not answers_fit(config, [one_room(tiny, 1000)], 4, 1, 10, 30)


@pytest.mark.parametrize("family", ["tied", "plain"])
def test_layers_run_again_in_the_thread_of_the_backward_pass(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU that is not the thread of the first run."""
    lm = load_family(tmp_path, family)
    pairs = random_pairs(3)
    every = frozenset(range(lm.model.config.num_hidden_layers))

    def recomputing(*args: Any) -> Any:
        return replace(plan_batches(*args), recomputed=every)

    monkeypatch.setattr(gradients, "plan_batches", recomputing)
    expected = sketched_gram(lm, pairs, rank=8, seeds=[0], batch_size=5).values
    monkeypatch.setattr(torch.Tensor, "backward", in_a_thread(torch.Tensor.backward))
    found = sketched_gram(lm, pairs, rank=8, seeds=[0], batch_size=5).values
    assert torch.equal(found, expected)


def full_above(lm: LanguageModel, rows: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the memory run out for more than so many rows; returns where the tries are noted."""
    tried: list[int] = []
    forward = lm.model.forward

    def limited(*args: Any, **kwargs: Any) -> Any:
        tried.append(len(kwargs["input_ids"]))
        if tried[-1] > rows:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(*args, **kwargs)

    monkeypatch.setattr(lm.model, "forward", limited)
    return tried


PROMPTS = [f"{'a' * n}:" for n in (5, 3, 9, 4, 7)]


def test_answers_survive_a_full_gpu(tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch is halved until it fits, with one warning; later calls begin with that size."""
    prompts = [pair.tokens for pair in random_pairs(2, count=8)]
    expected = LocalAnswers(tiny, 2).answer(prompts, 4)
    tried = full_above(tiny, 2, monkeypatch)
    answers = LocalAnswers(tiny, 8)
    with pytest.warns(LabelcastWarning, match="does not hold 8 examples at once") as warned:
        found = answers.answer(prompts, 4)
    assert len(warned) == 1
    assert [a.tokens for a in found] == [a.tokens for a in expected]
    assert [n for n in tried if n > 2] == [8, 4]
    tried.clear()
    assert [a.tokens for a in answers.answer(prompts, 4)] == [a.tokens for a in expected]
    assert max(tried) == 2


def test_likelihoods_survive_a_full_gpu(
    tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So do the vectors of texts."""
    expected = answer_log_likelihoods(tiny, PROMPTS, ["1"] * 5, batch_size=2)
    vectors = mean_hidden_states(tiny, PROMPTS, batch_size=2)
    full_above(tiny, 2, monkeypatch)
    done: list[int] = []
    with pytest.warns(LabelcastWarning, match="at once"):
        found = answer_log_likelihoods(tiny, PROMPTS, ["1"] * 5, batch_size=5, progress=done.append)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert sum(done) == 5
    monkeypatch.undo()
    decoder = tiny.model.get_decoder()
    full_above(replace(tiny, model=decoder), 2, monkeypatch)
    with pytest.warns(LabelcastWarning, match="at once"):
        found_vectors = mean_hidden_states(tiny, PROMPTS, batch_size=5)
    np.testing.assert_allclose(found_vectors, vectors, rtol=1e-4, atol=1e-5)


def test_gradients_survive_a_full_gpu(tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass that stops half-way leaves nothing behind; all at once becomes batches."""
    pairs = random_pairs(4)
    sketch = sketched_gram(tiny, pairs, rank=8, seeds=[0], batch_size=2)
    exact = exact_gram(tiny, pairs, batch_size=2, memory=MUCH)

    def limited(kind: type, calls: int) -> None:
        contract, left = kind.contract, [calls]  # type: ignore[attr-defined]

        def some(self: Any, name: str, rows: Sequence[int], *factors: Any) -> None:
            left[0] -= len(rows) > 2
            if left[0] < 0 and len(rows) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            contract(self, name, rows, *factors)

        monkeypatch.setattr(kind, "contract", some)

    for kind in (gradients._Stored, gradients._AtOnce, gradients._Factors):
        limited(kind, 3)
    torch.set_num_threads(1)
    for at_once in (0, MUCH):
        with pytest.warns(LabelcastWarning, match="does not hold 5 examples"):
            found = sketched_gram(tiny, pairs, rank=8, seeds=[0], batch_size=5, at_once=at_once)
        scale = float(sketch.values.abs().max())
        torch.testing.assert_close(found.values, sketch.values, rtol=0, atol=2e-3 * scale)
        assert found.batch_size == 2
    with pytest.warns(LabelcastWarning, match="does not hold 5 examples"):
        again = exact_gram(tiny, pairs, batch_size=5, memory=1 << 16)
    torch.testing.assert_close(again.values, exact.values, rtol=1e-5, atol=0)
    assert again.batch_size == 2


def test_an_example_that_does_not_fit_is_an_error(
    tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what to do, for answers and for gradients."""
    full_above(tiny, 0, monkeypatch)
    pairs = random_pairs(2)
    ways: list[Callable[[], object]] = [
        lambda: LocalAnswers(tiny, 4).answer([[5, 6, 7]], 3),
        lambda: LocalAnswers(tiny, 4).answer([[5] * 20, [5] * 20], 3),
        lambda: sketched_gram(tiny, pairs, rank=8, seeds=[0], batch_size=2),
        lambda: answer_log_likelihoods(tiny, ["a"], ["b"]),
    ]
    for way in ways:
        with pytest.raises(RunError, match=r"one example.*Shorten.*--dtype bfloat16.*more free"):
            way()


@given(st.lists(st.integers(1, 9), max_size=12), st.integers(1, 9))
def test_halving_runs_every_example_once_in_order(lengths: list[int], limit: int) -> None:
    """Whatever fits."""
    batches = by_length([[0] * length for length in lengths], 5)
    halving = Halving()

    def work(batch: list[int]) -> list[int]:
        if len(batch) > limit:
            raise torch.OutOfMemoryError
        return batch

    halving_runs = (batch for batch, _ in halving.run(batches, work))
    if any(len(batch) > limit for batch in batches):
        with pytest.warns(LabelcastWarning):
            ran = list(halving_runs)
    else:
        ran = list(halving_runs)
    assert [row for batch in ran for row in batch] == [row for batch in batches for row in batch]


def test_there_are_no_more_workers_than_batches(tiny: LanguageModel) -> None:
    """Every example is in one batch, and every thread has one."""
    pairs = random_pairs(1, count=5)
    plan = plan_batches(tiny, counted(tiny, pairs), [], pairs, 4)
    assert sorted(row for batch in plan.batches for row in batch) == list(range(5))
    assert 1 <= plan.workers <= len(plan.batches) == 2
