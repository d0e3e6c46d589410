from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import published
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_model import load_llama, save, tokenizer
from transformers import Phi3Config, Phi3ForCausalLM

from labelcast.errors import InputError
from labelcast.models.coslow import cosine, median_cosine
from labelcast.models.encoding import Encoded
from labelcast.models.gradients import (
    _AtOnce,
    _Stored,
    exact_gram,
    sketch_matrix,
    sketched_gram,
)
from labelcast.models.layers import linear_layers
from labelcast.models.loading import LanguageModel, load_model

MUCH = 1 << 40


def random_pairs(seed: int, count: int = 6, shared: int = 0, longest: int = 30) -> list[Encoded]:
    """Random examples of different lengths whose prompts share their first `shared` tokens."""
    rng = np.random.default_rng(seed)
    start = rng.integers(3, 90, size=shared).tolist()
    pairs = []
    for _ in range(count):
        answer = int(rng.integers(1, 6))
        own = rng.integers(3, 90, size=int(rng.integers(2, longest)) + answer).tolist()
        pairs.append(Encoded(start + own, answer))
    return pairs


def sketched(lm: LanguageModel, pairs: Sequence[Encoded], batch: int = 3) -> Any:
    """Cosines [N,N] of one sketch."""
    gram = sketched_gram(lm, pairs, rank=64, seeds=[0], batch_size=batch).values
    return cosine(gram.sum(1)[0].numpy())


def by_peft(lm: LanguageModel, pairs: Sequence[Encoded], seed: int = 0) -> Any:
    """The upper triangle of cosines, one example at a time through peft's LoRA layers."""
    adapted = published.with_adapters(lm, seed=seed)
    return np.array(published.pair_cosines([published.gradients(adapted, p) for p in pairs]))


def upper(matrix: Any) -> Any:
    """The entries above the diagonal, in the order of pairs i < j."""
    return matrix[np.triu_indices(len(matrix), 1)]


@pytest.mark.parametrize("shared", [0, 70])
@pytest.mark.parametrize("batch", [1, 3, 8])
def test_sketch_equals_autograd_through_peft(tiny: LanguageModel, batch: int, shared: int) -> None:
    """Every cosine equals that of real LoRA layers, with and without a shared prefix."""
    pairs = random_pairs(batch, shared=shared)
    assert upper(sketched(tiny, pairs, batch)) == pytest.approx(by_peft(tiny, pairs), abs=1e-4)


def test_sketch_equals_autograd_on_the_embedded_model(
    smollm2: LanguageModel, circa_labelled: list[Encoded]
) -> None:
    """On published examples, padded and with a shared prefix."""
    pairs = sorted(circa_labelled, key=lambda pair: len(pair.tokens))[:2]
    assert upper(sketched(smollm2, pairs, 2)) == pytest.approx(by_peft(smollm2, pairs), abs=1e-4)


@settings(max_examples=15)
@given(
    seed=st.integers(0, 1000),
    batch=st.integers(1, 7),
    shared=st.sampled_from([0, 20, 64, 100]),
    order=st.permutations(range(6)),
)
def test_order_batch_size_and_padding_change_nothing(
    tiny: LanguageModel, seed: int, batch: int, shared: int, order: list[int]
) -> None:
    """Cosines depend only on the two examples."""
    pairs = random_pairs(seed, shared=shared)
    expected = sketched(tiny, pairs, 1)[np.ix_(order, order)]
    assert sketched(tiny, [pairs[i] for i in order], batch) == pytest.approx(expected, abs=1e-4)


def test_examples_that_differ_only_in_their_answers(tiny: LanguageModel) -> None:
    """The shared prefix never includes the token that predicts an answer."""
    prompt = random_pairs(0, count=1, shared=80)[0].tokens
    pairs = [Encoded([*prompt, token], 1) for token in (5, 6, 7)]
    assert upper(sketched(tiny, pairs)) == pytest.approx(by_peft(tiny, pairs), abs=1e-4)


def test_several_seeds_in_one_pass_equal_separate_runs(tiny: LanguageModel) -> None:
    """Each seed's Gram matrix is as it would be alone, up to half precision's rounding."""
    pairs = random_pairs(1, shared=70)
    together = sketched_gram(tiny, pairs, rank=8, seeds=[0, 1, 2], batch_size=4).values
    for number, seed in enumerate([0, 1, 2]):
        alone = sketched_gram(tiny, pairs, rank=8, seeds=[seed], batch_size=4).values
        norms = alone[0].diagonal(dim1=-2, dim2=-1).sqrt()  # [P,N]
        scale = norms[:, :, None] * norms[:, None]
        torch.testing.assert_close(together[number] / scale, alone[0] / scale, rtol=0, atol=1e-4)


def test_exact_equals_full_gradients_of_the_weights(tiny: LanguageModel) -> None:
    """The Gram matrix is the sum over layers of <G_i, G_j> / d_in, by plain autograd."""
    pairs = random_pairs(2, shared=70)
    layers = linear_layers(tiny)
    rows = []
    for pair in pairs:
        weights = [layer.module.weight.requires_grad_(True) for layer in layers.values()]
        grads = torch.autograd.grad(published.answer_loss(tiny.model, pair), weights)
        rows.append(torch.cat([g.flatten() / g.shape[1] ** 0.5 for g in grads]).double())
    tiny.model.requires_grad_(False)
    full = torch.stack(rows)
    gram = exact_gram(tiny, pairs, batch_size=4, memory=MUCH)
    torch.testing.assert_close(gram.values[0, 0], full @ full.T, rtol=1e-4, atol=1e-9)


def test_exact_lies_at_the_mean_over_sketches(tiny: LanguageModel) -> None:
    """`exact` is what many seeds of the sketch give on average, within 0.02."""
    pairs = random_pairs(3)
    grams = sketched_gram(tiny, pairs, rank=64, seeds=range(40), batch_size=6).values.sum(1)
    medians = [median_cosine(cosine(gram.numpy())) for gram in grams]
    exact = exact_gram(tiny, pairs, batch_size=4, memory=MUCH).values[0, 0]
    assert median_cosine(cosine(exact.numpy())) == pytest.approx(np.mean(medians), abs=0.02)


@pytest.mark.parametrize("shared", [0, 70])
def test_exact_with_little_memory_runs_more_passes(tiny: LanguageModel, shared: int) -> None:
    """Several passes over the batches give the same matrix and need less memory."""
    pairs = random_pairs(4, shared=shared)
    whole = exact_gram(tiny, pairs, batch_size=3, memory=MUCH)
    little, done = 500_000, []  # type: ignore[var-annotated]
    parts = exact_gram(tiny, pairs, batch_size=3, memory=little, progress=done.append)
    assert sum(done) == len(pairs)
    torch.testing.assert_close(parts.values, whole.values, rtol=1e-6, atol=1e-12)
    assert parts.held_bytes <= little


def test_tiny_gradients_in_float16_keep_their_size(tiny: LanguageModel) -> None:
    """Those below the smallest normal number of float16 too, as if all examples ran at once."""
    name, layer = next(iter(linear_layers(tiny).items()))
    d = torch.full((2, 1, layer.out_features), 2.0**-10).half()
    kept = torch.tensor([2.0**-10, 2.0**-5]).view(2, 1, 1).expand(2, 1, 4).half()
    found = []
    for kind in (_Stored, _AtOnce):
        sketch = kind({name: layer}, 2, 4, [0])
        sketch.contract(name, [0, 1], d, kept)
        sketch.finish([0, 1])
        found.append(sketch.gram().values)
    torch.testing.assert_close(found[0], found[1], rtol=1e-6, atol=0)
    assert found[0][0, 0, 0, 0] == layer.out_features * 2.0**-40


@pytest.mark.parametrize("config", [{"tie_word_embeddings": True}, {"attention_bias": True}])
def test_other_llamas(tmp_path: Path, config: dict[str, bool]) -> None:
    """Tied embeddings and attention biases work too."""
    lm = load_llama(tmp_path, **config)
    pairs = random_pairs(5, shared=70)
    assert upper(sketched(lm, pairs)) == pytest.approx(by_peft(lm, pairs), abs=1e-4)


def test_fused_layers(tmp_path: Path) -> None:
    """A Phi-3, whose projections are fused into two layers, works like the others."""
    words = tokenizer()
    torch.manual_seed(0)
    config = Phi3Config(
        vocab_size=len(words),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        original_max_position_embeddings=256,
        initializer_range=0.1,
        pad_token_id=words.pad_token_id,
        eos_token_id=words.eos_token_id,
        bos_token_id=None,
    )
    lm = load_model(str(save(tmp_path, Phi3ForCausalLM(config), words)), device="cpu")
    names = {name.rpartition(".")[2] for name in linear_layers(lm)}
    assert names == {"qkv_proj", "gate_up_proj", "o_proj", "down_proj"}
    pairs = random_pairs(6, shared=70)
    assert upper(sketched(lm, pairs)) == pytest.approx(by_peft(lm, pairs), abs=1e-4)


def test_the_model_is_restored(tiny: LanguageModel) -> None:
    """Flags, gradients and hooks are the same after success and after an error."""
    pairs = random_pairs(7, shared=70)
    some = next(iter(tiny.model.parameters()))
    some.requires_grad_(True)

    def state() -> Any:
        hooks = [len(m._forward_hooks) for m in tiny.model.modules()]
        flags = [w.requires_grad for w in tiny.model.parameters()]
        return hooks, flags, [w.grad is None for w in tiny.model.parameters()]

    before = state()
    try:
        sketched(tiny, pairs)
        assert state() == before
        exact_gram(tiny, pairs, batch_size=2, memory=MUCH)
        assert state() == before
        broken = [*pairs, Encoded([5, 10_000, 6], 1)]
        with pytest.raises(IndexError):
            sketched(tiny, broken)
        assert state() == before
    finally:
        some.requires_grad_(False)


def test_gradients_under_no_grad(tiny: LanguageModel) -> None:
    """A caller's evaluation loop may have turned gradients off."""
    pairs = random_pairs(8)
    with torch.no_grad():
        quiet = sketched(tiny, pairs)
    assert quiet == pytest.approx(sketched(tiny, pairs), abs=1e-7)


def test_per_example_memory_is_a_fraction_of_the_published_code(tiny: LanguageModel) -> None:
    """Half precision and only B: at most 0.3 of float32 dictionaries of A and B."""
    pairs = random_pairs(9)
    adapted = published.with_adapters(tiny)
    one = published.gradients(adapted, pairs[0])
    theirs = len(pairs) * sum(g.numel() * g.element_size() for g in one.values())
    ours = sketched_gram(tiny, pairs, rank=64, seeds=[0], batch_size=3).held_bytes
    assert ours <= 0.3 * theirs


def test_a_sketch_depends_only_on_name_and_seed() -> None:
    """The same call gives the same A; another name or seed another; bounds are 1/sqrt(d_in)."""
    a = sketch_matrix("layer.q_proj", 64, 8, 0)
    assert a.shape == (8, 64)
    assert torch.equal(a, sketch_matrix("layer.q_proj", 64, 8, 0))
    assert not torch.equal(a, sketch_matrix("layer.k_proj", 64, 8, 0))
    assert not torch.equal(a, sketch_matrix("layer.q_proj", 64, 8, 1))
    assert a.abs().max() <= 64**-0.5


def test_a_model_without_known_layers(tiny: LanguageModel) -> None:
    """A model none of whose layers has a known name is refused by name."""
    other = LanguageModel(
        torch.nn.Linear(2, 2), tiny.tokenizer, tiny.identity, tiny.device, tiny.dtype
    )
    with pytest.raises(InputError, match=r"q_proj.*not defined"):
        linear_layers(other)
