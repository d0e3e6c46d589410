"""Vectors of gradients: inner products, batches, encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_encoders import FAMILIES, save_encoder

from labelcast.errors import RunError
from labelcast.models.adapters import encoder_layers
from labelcast.models.encoder import Classifier
from labelcast.models.encoding import Encoded
from labelcast.models.gradient_vectors import Projection, classifier_vectors, gradient_vectors
from labelcast.models.layers import linear_layers
from labelcast.models.loading import LanguageModel, load_encoder


def pairs_of(seed: int, count: int = 6, shared: int = 0) -> list[Encoded]:
    """Random examples of different lengths."""
    rng = np.random.default_rng(seed)
    start = rng.integers(3, 90, size=shared).tolist()
    lengths = rng.integers(3, 25, size=count)
    return [
        Encoded(start + rng.integers(3, 90, size=int(n) + 2).tolist(), 1 + int(n) % 4)
        for n in lengths
    ]


def products(values: NDArray[np.float32]) -> Any:
    found = values.astype(np.float64)
    return found @ found.T


@pytest.mark.parametrize("shared", [0, 70])
def test_complete_gradients_are_those_of_autograd(tiny: LanguageModel, shared: int) -> None:
    """One example at a time, every number of every layer's weight, in order; norms are lengths."""
    pairs, layers = pairs_of(1, shared=shared), linear_layers(tiny)
    found = gradient_vectors(tiny, pairs, layers, Projection(None, batch_size=4))
    weights = [layer.module.weight for layer in layers.values()]
    for pair, vector in zip(pairs, found.values, strict=True):
        for weight in weights:
            weight.requires_grad_(True)
        with torch.enable_grad():
            logits = tiny.model(torch.tensor([pair.tokens])).logits[0, :-1]
            losses = torch.nn.functional.cross_entropy(
                logits, torch.tensor(pair.tokens[1:]), reduction="none"
            )
            wanted = torch.autograd.grad(losses[-pair.answer_length :].mean(), weights)
        for weight in weights:
            weight.requires_grad_(False)
        flat = torch.cat([g.flatten() for g in wanted]).numpy()
        assert np.allclose(vector, flat, atol=1e-5)
    assert np.allclose(found.norms**2, np.diagonal(products(found.values)), rtol=1e-5)


def test_projected_products_agree_with_exact_ones_within_the_projections_error(
    tiny: LanguageModel,
) -> None:
    """Their mean over seeds is that of complete gradients; one seed is as far off as D says."""
    pairs, layers = pairs_of(2), linear_layers(tiny)
    exact = products(gradient_vectors(tiny, pairs, layers, Projection(None, batch_size=3)).values)
    lengths = np.sqrt(np.diagonal(exact))
    errors = np.stack(
        [
            products(gradient_vectors(tiny, pairs, layers, Projection(2048, s)).values) - exact
            for s in range(12)
        ]
    ) / (lengths[:, None] * lengths)
    # The standard deviation of one product is about sqrt(2 / D) at most.
    assert np.abs(errors).max() < 4 * np.sqrt(2 / 2048)
    assert np.abs(errors.mean(0)).max() < 4 * np.sqrt(2 / 2048 / 12)


def test_batch_size_and_order_change_nothing(tiny: LanguageModel) -> None:
    pairs, layers = pairs_of(3, shared=70), linear_layers(tiny)
    one = gradient_vectors(tiny, pairs, layers, Projection(256, batch_size=1))
    many = gradient_vectors(tiny, pairs[::-1], layers, Projection(256, batch_size=5))
    assert np.allclose(one.values, many.values[::-1], atol=1e-4)
    assert np.allclose(one.norms, many.norms[::-1], rtol=1e-4)
    other = gradient_vectors(tiny, pairs, layers, Projection(256, 1))
    assert not np.allclose(one.values, other.values, atol=1e-2)


def test_a_direction_is_applied_before_the_projection(tiny: LanguageModel) -> None:
    """On each layer's gradients [n,O,I]."""
    pairs, layers = pairs_of(4), linear_layers(tiny)
    shapes = {name: (one.out_features, one.in_features) for name, one in layers.items()}

    def sign(name: str, g: torch.Tensor) -> torch.Tensor:
        assert g.shape[1:] == shapes[name]
        return g.sign()

    found = gradient_vectors(tiny, pairs, layers, Projection(None, direction=sign))
    plain = gradient_vectors(tiny, pairs, layers, Projection(None))
    assert (found.values == np.sign(plain.values)).mean() > 0.999


def test_a_gradient_that_is_not_finite_is_named(tiny: LanguageModel) -> None:
    layers = linear_layers(tiny)
    how = Projection(64, direction=lambda name, g: g / 0)
    with pytest.raises(RunError, match="example 1: its gradient is not finite"):
        gradient_vectors(tiny, pairs_of(5), layers, how)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_encoders_gradients_are_those_of_autograd(tmp_path: Path, family: str) -> None:
    """Head and body, in any batch, for every family."""
    lm = load_encoder(str(save_encoder(tmp_path, family)), device="cpu")
    torch.manual_seed(0)
    head = torch.nn.Linear(lm.model.config.hidden_size, 3).requires_grad_(False)
    model = Classifier(lm.model, lm.pooling, head)
    layers = encoder_layers(model)
    assert "head" in layers
    texts, answers = ["a cat", "dogs bark at the old cat", "b", "the end"], [0, 2, 1, 0]
    tokens = lm.tokens(texts)
    found = classifier_vectors(model, tokens, answers, layers, Projection(None, batch_size=4))
    weights = [layer.module.weight for layer in layers.values()]
    for ids, answer, vector in zip(tokens, answers, found.values, strict=True):
        for weight in weights:
            weight.requires_grad_(True)
        batch = torch.tensor([ids])
        logits = model(batch, torch.ones_like(batch))["logits"]
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor([answer]))
        wanted = torch.autograd.grad(loss, weights, allow_unused=True)
        for weight in weights:
            weight.requires_grad_(False)
        flat = [
            torch.zeros_like(w).flatten() if g is None else g.flatten()
            for w, g in zip(weights, wanted, strict=True)
        ]
        assert np.allclose(vector, torch.cat(flat).numpy(), atol=1e-5)
