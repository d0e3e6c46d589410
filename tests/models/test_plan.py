"""Batches and their memory; how they run changes no value."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from families import load_family, random_pairs
from hypothesis import given
from hypothesis import strategies as st

from labelcast.models.gradients import exact_gram, sketched_gram
from labelcast.models.loading import LanguageModel
from labelcast.models.plan import plan_at_once, plan_batches

MUCH = 1 << 50


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
    enough = next(m for m in (1 << k for k in range(10, 50)) if plan_at_once(lm, pairs, m))
    for memory in (MUCH, enough):
        plan = plan_at_once(lm, pairs, memory)
        assert plan is not None
        assert (plan.recomputed > 0) == (memory == enough)
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
def test_more_memory_recomputes_no_more(tiny: LanguageModel, memory: int, count: int) -> None:
    """A plan has every example once, and recomputation falls with memory."""
    pairs = random_pairs(1, count=count)
    plan, larger = (plan_at_once(tiny, pairs, m) for m in (memory, 2 * memory))
    if plan is None:
        return
    assert larger is not None
    assert larger.recomputed <= plan.recomputed < tiny.model.config.num_hidden_layers
    assert sorted(row for batch in plan.batches for row in batch) == list(range(count))
    assert len(plan.batches) == 1


def test_there_are_no_more_workers_than_batches(tiny: LanguageModel) -> None:
    """Every example is in one batch, and every thread has one."""
    plan = plan_batches(tiny, random_pairs(1, count=5), 4)
    assert sorted(row for batch in plan.batches for row in batch) == list(range(5))
    assert 1 <= plan.workers <= len(plan.batches) == 2
