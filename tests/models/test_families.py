from pathlib import Path
from unittest.mock import patch

import numpy as np
import published
import pytest
import torch
from families import DENSE, FAMILIES, by_autograd, load_family, random_pairs, sketched

from labelcast.models import passes
from labelcast.models.coslow import cos_low, cosine, median_cosine
from labelcast.models.encoding import Encoded
from labelcast.models.generation import batches, generate, read_prefix
from labelcast.models.gradients import exact_gram, sketched_gram
from labelcast.models.layers import linear_layers
from labelcast.models.loading import LanguageModel

MUCH = 1 << 40


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    """The name of each family in turn."""
    return str(request.param)


@pytest.fixture(scope="module")
def lm(family: str, tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """A small random model of the family, loaded from a folder."""
    return load_family(tmp_path_factory.mktemp("family"), family)


@pytest.mark.parametrize("shared", [0, 70])
def test_the_sketch_equals_autograd(lm: LanguageModel, shared: int) -> None:
    """Every cosine, in batches of one and four, equals that of G A^T by plain autograd."""
    pairs = random_pairs(1, shared=shared)
    expected = cosine(by_autograd(lm, pairs, sketch=True).numpy())
    for batch in (1, 4):
        assert sketched(lm, pairs, batch) == pytest.approx(expected, abs=1e-4)


def test_exact_equals_autograd(lm: LanguageModel) -> None:
    """The Gram matrix is the sum of <G_i, G_j> / d_in, with much and with little memory."""
    pairs = random_pairs(2, shared=70)
    expected = by_autograd(lm, pairs, sketch=False)
    whole = exact_gram(lm, pairs, batch_size=3, memory=MUCH)
    scale = float(expected.diagonal().max())
    torch.testing.assert_close(whole.values[0, 0], expected, rtol=1e-4, atol=1e-6 * scale)
    parts = exact_gram(lm, pairs, batch_size=2, memory=400_000)
    torch.testing.assert_close(parts.values, whole.values, rtol=1e-4, atol=1e-6 * scale)


@patch.object(passes, "_TOKENS_AT_ONCE", 12)
def test_confidence_equals_greedy_decoding_one_at_a_time(lm: LanguageModel) -> None:
    """Tokens and probabilities equal the model's own generate and a second pass.

    The prompts of a batch are read one at a time and answered together.
    """
    rng = np.random.default_rng(3)
    start = rng.integers(3, 90, size=20).tolist()
    prompts = [start + rng.integers(3, 90, size=size).tolist() for size in (4, 9, 2, 7)]
    compared = 0
    prefix = read_prefix(lm, prompts)
    assert prefix.layers
    for batch in batches(lm, prompts, 3):
        made = generate(lm, [prompts[i] for i in batch], prefix, 8)
        for i, answer in zip(batch, made, strict=True):
            expected = published.confidence(lm, prompts[i], 8)
            if expected.margin < 1e-4:  # another order of sums may take the other token
                continue
            compared += 1
            assert answer.tokens == expected.tokens
            assert answer.margin == pytest.approx(expected.margin, abs=1e-4)
            counted = [
                p
                for token, p in zip(answer.tokens, answer.probabilities, strict=True)
                if published.counts(lm, token)
            ]
            if counted:
                assert np.mean(counted) == pytest.approx(expected.confidence, abs=1e-4)
    assert compared


def test_cos_low_works(lm: LanguageModel) -> None:
    """The values of both methods are near each other."""
    rows = [{"input_text": f"say {word}:", "ground_truth": word} for word in ("ab", "cd", "the")]
    sketch = cos_low(lm, rows, seeds=4)
    assert sketch.coslow == pytest.approx(cos_low(lm, rows, method="exact").coslow, abs=0.1)


@pytest.mark.parametrize("family", DENSE, scope="module")
def test_the_sketch_equals_peft(family: str, tmp_path: Path) -> None:
    """If peft can adapt every layer, cosines equal those of real LoRA layers at B = 0.

    On a fused layer there is one adapter for what it fuses, in peft as here.
    """
    lm = load_family(tmp_path, family)
    pairs = random_pairs(4, shared=70)
    adapted = published.with_adapters(lm, rank=16)
    kept = [published.gradients(adapted, pair) for pair in pairs]
    upper = np.triu_indices(len(pairs), 1)
    assert sketched(lm, pairs)[upper] == pytest.approx(published.pair_cosines(kept), abs=1e-4)


def test_the_sketch_is_exact_in_expectation(tmp_path: Path) -> None:
    """The mean over many sketches of a mixture of experts is near the exact value."""
    lm = load_family(tmp_path, "plain")
    pairs = random_pairs(5)
    grams = sketched_gram(lm, pairs, rank=16, seeds=range(40), batch_size=5).values.sum(1)
    medians = [median_cosine(cosine(gram.numpy())) for gram in grams]
    exact = exact_gram(lm, pairs, batch_size=5, memory=MUCH).values[0, 0].numpy()
    assert np.mean(medians) == pytest.approx(median_cosine(cosine(exact)), abs=0.02)


def test_fused_layers_count_once(tmp_path: Path) -> None:
    """A Phi-3 has four layers per block: q, k and v are one, and so are gate and up."""
    names = [name.rpartition(".")[2] for name in linear_layers(load_family(tmp_path, "fused"))]
    assert sorted(set(names)) == ["down_proj", "gate_up_proj", "o_proj", "qkv_proj"]
    assert len(names) == 8


def test_heads_wider_than_the_model(tmp_path: Path) -> None:
    """Layers have the width of their weights, not what the model's width and heads suggest."""
    layers = linear_layers(load_family(tmp_path, "wide heads, softcaps"))
    query = layers["model.layers.0.self_attn.q_proj"]
    assert (query.in_features, query.out_features) == (32, 4 * 24)


def test_a_window_shorter_than_the_examples(tmp_path: Path) -> None:
    """Tokens before the window do not change the gradient of the last layer's attention."""
    lm = load_family(tmp_path, "sliding window", num_hidden_layers=1)
    pair = random_pairs(6, count=1, shared=60)[0]
    far = Encoded([95, *pair.tokens[1:]], pair.answer_length)
    # Only the first token differs, too far back for any answer token to see it in one layer.
    assert sketched(lm, [pair, far])[0, 1] == pytest.approx(1, abs=1e-6)
