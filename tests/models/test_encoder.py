"""Encoders: vectors, zero-shot answers from names, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from small_encoders import FAMILIES, save_encoder
from tiny_model import save_llama
from transformers import AutoModel, BertConfig, BertLMHeadModel

from labelcast.errors import InputError
from labelcast.models.encoder import Encoder
from labelcast.models.loading import describe, load_any, load_encoder, load_model

TEXTS = ["a cat", "dogs bark at the old cat and at each other", "b", "the end"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_vector_is_the_mean_of_the_tokens_states(tmp_path: Path, family: str) -> None:
    """In any batch, for every family; padding changes nothing."""
    folder = save_encoder(tmp_path / "model", family)
    lm = load_any(str(folder), device="cpu")
    assert isinstance(lm, Encoder)
    found = lm.embed(TEXTS, batch_size=4)
    plain = AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        for text, vector in zip(TEXTS, found, strict=True):
            ids = torch.tensor([lm.tokenizer.encode(text)])
            mask = torch.ones_like(ids)
            states = plain(input_ids=ids, attention_mask=mask).last_hidden_state
            assert np.allclose(vector, states[0].mean(0), atol=1e-5)
    assert np.allclose(found, lm.embed(TEXTS, batch_size=1), atol=1e-5)


def test_pooling_follows_a_sentence_transformers_folder(tmp_path: Path) -> None:
    """The first token's vector, the largest values, length 1, and the longest text."""
    folder = save_encoder(tmp_path / "model", sentence=True)
    unit = load_encoder(str(folder), device="cpu").embed(TEXTS)
    assert np.allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-5)
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 3}')
    for mode in ("cls", "max"):
        (folder / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode": mode}))
        lm = load_encoder(str(folder), device="cpu")
        assert (lm.pooling.mode, lm.context) == (mode, 3)
        one, two, other = lm.embed(["xyzabc", "xyzuvw", "xywuvw"])
        assert np.allclose(one, two, atol=1e-5)
        assert not np.allclose(two, other, atol=1e-2)


def test_zero_shot_is_the_cosine_with_the_names(tmp_path: Path) -> None:
    """The softmax of 20 times the cosine; the confidence is its largest value."""
    lm = load_encoder(str(save_encoder(tmp_path / "model", sentence=True)), device="cpu")
    names = ["yes", "no", "perhaps"]
    cosines = lm.embed(TEXTS) @ lm.embed(names).T
    wanted = torch.as_tensor(20 * cosines).double().softmax(-1).numpy()
    found = lm.for_answers(names).predictor(2)(TEXTS, 1, lambda done: None)
    assert [one.answer for one in found] == [names[k] for k in wanted.argmax(1)]
    assert np.allclose([one.confidence for one in found], wanted.max(1), atol=1e-5)
    two = np.sort(wanted, axis=1)[:, -2:]
    assert np.allclose([one.margin for one in found], two[:, 1] - two[:, 0], atol=1e-5)


def test_other_encoders_have_no_zero_shot_answer(tmp_path: Path) -> None:
    """Every answer is equally probable."""
    lm = load_encoder(str(save_encoder(tmp_path / "model")), device="cpu").for_answers(["a", "b"])
    assert not lm.guesses
    assert {one.confidence for one in lm.predictor(1)(TEXTS, 1, lambda done: None)} == {0.5}


def test_minilm_tells_sentiment_from_names() -> None:
    """The embedded model, without training."""
    lm = load_encoder("minilm", device="cpu").for_answers(["negative", "positive"])
    texts = ["a wonderful, moving film", "dull, boring and far too long"]
    found = lm.predictor(None)(texts, 1, lambda done: None)
    assert [one.answer for one in found] == ["positive", "negative"]
    assert describe("minilm")[1] == 22_713_216
    assert lm.identity.hub_id == "minilm"


def test_the_config_says_what_a_model_is(tmp_path: Path) -> None:
    """A decoder of BERT's architecture is a language model; each loader refuses the other kind."""
    words = {"vocab_size": 120, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    config = BertConfig(num_attention_heads=4, is_decoder=True, **words)
    BertLMHeadModel(config).save_pretrained(tmp_path / "decoder")
    encoder, causal = str(save_encoder(tmp_path / "encoder")), str(save_llama(tmp_path / "causal"))
    with pytest.raises(InputError, match=r"an encoder\. CoS-Low .* is not defined.*--more 50"):
        load_model(encoder, device="cpu")
    with pytest.raises(InputError, match="a language model, and not an encoder"):
        load_encoder(causal, device="cpu")
    with pytest.raises(InputError, match=r"and not an encoder|tokenizer"):
        load_encoder(str(tmp_path / "decoder"), device="cpu")


def test_an_encoder_is_not_spread(tmp_path: Path) -> None:
    """The message says what to use instead."""
    with pytest.raises(InputError, match=r"an encoder runs on one device\. Use --device auto"):
        load_any(str(save_encoder(tmp_path / "model")), device="spread")


def test_an_encoder_needs_allowed_answers(tmp_path: Path) -> None:
    """The message says how to add them."""
    lm = load_encoder(str(save_encoder(tmp_path / "model")), device="cpu")
    with pytest.raises(InputError, match=r"Add `answers: \[\.\.\.\]`"):
        lm.for_answers([])


def test_an_unknown_module_is_refused(tmp_path: Path) -> None:
    """A folder with a dense layer would give other vectors than its authors mean."""
    folder = save_encoder(tmp_path / "model", sentence=True)
    modules = [{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(InputError, match=r"modules\.json has Dense"):
        load_encoder(str(folder), device="cpu")
