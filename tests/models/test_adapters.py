"""Adapters beside layers, and attention weights, for every family of language models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from families import FAMILIES, load_family, random_pairs
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from labelcast.models.adapters import Adapters, attention_layers
from labelcast.models.attention import attention_given
from labelcast.models.gradient_vectors import Projection, gradient_vectors
from labelcast.models.layers import linear_layers
from labelcast.models.loading import LanguageModel


@pytest.fixture(scope="module", params=FAMILIES)
def lm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """A small random model of each family in turn."""
    return load_family(tmp_path_factory.mktemp("family"), str(request.param))


@pytest.fixture
def adapters(lm: LanguageModel) -> Adapters:
    """Adapters that change outputs."""
    made = Adapters(attention_layers(linear_layers(lm)), rank=3, alpha=6, seed=1)
    torch.manual_seed(0)
    for up in made.up:
        torch.nn.init.normal_(up.weight, std=0.1)
    made.eval().requires_grad_(False)
    return made


def logits(lm: LanguageModel) -> Tensor:
    with torch.inference_mode():
        found: Tensor = lm.model(torch.arange(3, 20)[None], use_cache=False).logits
    return found


def test_new_adapters_change_nothing(lm: LanguageModel) -> None:
    fresh = Adapters(attention_layers(linear_layers(lm)), rank=3, alpha=6).eval()
    before = logits(lm)
    with fresh.attached():
        assert torch.equal(logits(lm), before)
    assert not {id(w) for w in fresh.parameters()} & {id(w) for w in lm.model.parameters()}


def test_adapters_equal_changed_weights(lm: LanguageModel, adapters: Adapters) -> None:
    """W + (alpha / R) B A, and afterwards the model is as before."""
    before = logits(lm)
    with adapters.attached():
        beside = logits(lm)
    assert torch.equal(logits(lm), before)
    assert not torch.allclose(beside, before, atol=1e-3)
    kept = {}
    for base, down, up in zip(adapters.bases, adapters.down, adapters.up, strict=True):
        weight, change = base.get_parameter("weight"), 2 * up.weight @ down.weight
        kept[weight] = weight.data.clone()
        weight.data += change.T if isinstance(base, Conv1D) else change
    merged = logits(lm)
    for weight, values in kept.items():
        weight.data.copy_(values)
    assert torch.allclose(beside, merged, atol=1e-4)


@pytest.mark.parametrize("shared", [0, 70])
def test_gradients_of_adapters_are_those_of_autograd(
    lm: LanguageModel, adapters: Adapters, shared: int
) -> None:
    """In a batch, with and without a shared prefix."""
    pairs, layers = random_pairs(2, count=3, shared=shared), adapters.layers()
    with adapters.attached():
        found = gradient_vectors(lm, pairs, layers, Projection(None, batch_size=3))
    weights = [layer.module.get_parameter("weight") for layer in layers.values()]
    for pair, vector in zip(pairs, found.values, strict=True):
        adapters.requires_grad_(True)
        with adapters.attached(), torch.enable_grad():
            out = lm.model(torch.tensor([pair.tokens]), use_cache=False).logits[0, :-1]
            losses = torch.nn.functional.cross_entropy(
                out, torch.tensor(pair.tokens[1:]), reduction="none"
            )
            wanted = torch.autograd.grad(losses[-pair.answer_length :].mean(), weights)
        adapters.requires_grad_(False)
        flat = torch.cat([g.flatten() for g in wanted]).numpy()
        assert np.allclose(vector, flat, atol=1e-5)


def test_attention_rows_add_up_to_the_heads(lm: LanguageModel) -> None:
    """And a token gives none to later ones."""
    heads = lm.model.config.get_text_config().num_attention_heads
    before = logits(lm)
    found = attention_given(lm, list(range(3, 20)), 4, 1)
    assert found.shape == (4, 17)
    assert (found.sum(1) <= heads + 1e-3).all()  # some families also attend to a sink
    assert (found[0, -3:] == 0).all()
    assert found.sum() > 1
    assert torch.equal(logits(lm), before)
