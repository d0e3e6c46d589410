"""Data Whisperer: batches, attention shares, scores."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from labelled_pools import WORDS, labelled, pool_of
from small_encoders import save_encoder

from labelcast.errors import InputError
from labelcast.models.attention import attention_given
from labelcast.models.loading import LanguageModel, load_encoder
from labelcast.selection.methods.data_whisperer import DataWhisperer
from labelcast.selection.selector import select
from labelcast.training.sequences import end_of_turn

ALLOWED = ("yes", "no")


def naive(lm: LanguageModel, pool: Any, method: DataWhisperer, seed: int, layer: int) -> Any:
    """One sequence at a time, with the attentions of every layer; answers by their likelihood."""
    model = copy.deepcopy(lm.model)
    model.set_attn_implementation("eager")

    def ids(text: str) -> list[int]:
        return list(lm.tokenizer.encode(text, add_special_tokens=False))

    values = np.zeros(pool.size)
    for batch in method.batches(pool.size, seed):
        parts = []
        for row in batch.demonstrations:
            example = pool.examples[row]
            parts.append(ids(example.prompt) + ids(str(example.answer)) + end_of_turn(lm))
        weights, score = np.zeros(len(parts)), 0.0
        for row in batch.questions:
            question = pool.examples[row]
            prompt = [token for part in parts for token in part] + ids(question.prompt)
            with torch.inference_mode():
                logits = model(torch.tensor([prompt])).logits[0, -1]
            # The two answers begin with different tokens.
            first = [float(logits[ids(text)[0]]) for text in ALLOWED]
            answer = ALLOWED[int(np.argmax(first))]
            score += answer == question.answer
            tokens = prompt + ids(answer)
            with torch.inference_mode():
                found = model(torch.tensor([tokens]), output_attentions=True).attentions[layer]
            rows = found[0].sum(0)[len(prompt) :].mean(0).numpy()
            start = 0
            for place, part in enumerate(parts):
                weights[place] += rows[start : start + len(part)].sum() / len(part)
                start += len(part)
        for place, row in enumerate(batch.demonstrations):
            share = weights[place] / weights.sum() if batch.questions else 0.0
            values[row] = share * score / max(1, len(batch.questions))
    return values


def test_values_are_those_of_the_formula(tiny: LanguageModel) -> None:
    """In the default layer, 1 of 3, and in another one."""
    pool = pool_of(tiny, labelled(WORDS), allowed=ALLOWED)
    for layer, given in ((1, None), (2, 2)):
        method = DataWhisperer(demonstrations=2, questions=2, layer=given)
        wanted = naive(tiny, pool, method, 3, layer)
        assert (wanted > 0).any()
        assert np.allclose(method.values(pool, 3), wanted, atol=1e-5)
        chosen = select(method, pool, 3, seed=3)
        assert np.allclose(chosen.values, np.sort(wanted)[::-1][:3], atol=1e-5)


def test_shares_of_a_batch_add_up_to_its_score(tiny: LanguageModel) -> None:
    pool = pool_of(tiny, labelled(WORDS), allowed=ALLOWED)
    method = DataWhisperer(demonstrations=3, questions=2)
    values = method.values(pool, 0)
    for batch in method.batches(pool.size, 0):
        total = float(values[batch.demonstrations].sum())
        assert np.isclose(total * len(batch.questions), round(total * len(batch.questions)))


@pytest.mark.parametrize("size", [1, 2, 7, 23])
def test_each_example_demonstrates_once_for_questions_of_the_other_fold(size: int) -> None:
    batches = DataWhisperer().batches(size, 1)
    counts = Counter(row for batch in batches for row in batch.demonstrations)
    assert counts == dict.fromkeys(range(size), 1)
    half = -(-size // 2)
    first = set(np.random.default_rng(1).permutation(size)[:half].tolist())
    for batch in batches:
        assert len(batch.demonstrations) <= 5
        assert len(batch.questions) <= 3
        inside = {row in first for row in batch.demonstrations}
        assert inside.isdisjoint({row in first for row in batch.questions})
        assert len(inside) == 1


def test_free_answers_are_scored_by_the_metric(tiny: LanguageModel) -> None:
    """An example whose gold answer is what the model says after the other one has all the value."""
    method = DataWhisperer(demonstrations=1, questions=1, max_new_tokens=4)
    first, second = labelled(WORDS[:2], ["yes", "?"])
    tokens = [
        *tiny.tokenizer.encode(first.prompt + "yes", add_special_tokens=False),
        *end_of_turn(tiny),
        *tiny.tokenizer.encode(second.prompt, add_special_tokens=False),
    ]
    for _ in range(4):
        with torch.inference_mode():
            tokens.append(int(tiny.model(torch.tensor([tokens])).logits[0, -1].argmax()))
    said = tiny.tokenizer.decode(tokens[-4:], skip_special_tokens=True).strip()
    assert said
    pool = pool_of(tiny, [first, replace(second, answer=said)])
    assert np.allclose(method.values(pool, 0), [1, 0])


def test_a_batch_that_does_not_fit_has_the_value_0(tiny: LanguageModel) -> None:
    """256 tokens hold one long text, not two."""
    texts = labelled(["xyz" * 45, "uvw" * 45, "rst" * 45, "qpq" * 45])
    method = DataWhisperer(demonstrations=2, questions=1)
    assert not method.values(pool_of(tiny, texts, allowed=ALLOWED), 0).any()


def test_a_signal_resumes_after_a_kill(
    tiny: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, calls = DataWhisperer._batch_values, []

    def values(self: Any, *given: Any) -> Any:
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return plain(self, *given)

    monkeypatch.setattr(DataWhisperer, "_batch_values", values)
    method = DataWhisperer(demonstrations=1, questions=1)
    with pytest.raises(KeyboardInterrupt):
        method.values(pool_of(tiny, labelled(WORDS), tmp_path, allowed=ALLOWED), 0)
    again = method.values(pool_of(tiny, labelled(WORDS), tmp_path, allowed=ALLOWED), 0)
    assert len(calls) == 6 + 5
    fresh = pool_of(tiny, labelled(WORDS), allowed=ALLOWED)
    assert np.allclose(again, method.values(fresh, 0), atol=1e-7)


def test_the_models_attention_function_is_restored(tiny: LanguageModel) -> None:
    """Rows of attention add up to the number of heads; the model runs as before."""
    before = tiny.model.config._attn_implementation
    # transformers leaves hooks of its own once another test has read hidden states.
    hooks = [len(m._forward_hooks) for m in tiny.model.modules()]
    found = attention_given(tiny, [5, 6, 7, 8, 9], 2, 0)
    assert found.shape == (2, 5)
    assert np.allclose(found.sum(1), 4, atol=1e-4)
    assert tiny.model.config._attn_implementation == before
    assert hooks == [len(m._forward_hooks) for m in tiny.model.modules()]
    with pytest.raises(InputError, match="attention of its layer 7 cannot be read"):
        attention_given(tiny, [5, 6], 1, 7)


def test_duplicates_and_one_row(tiny: LanguageModel) -> None:
    twice = pool_of(tiny, labelled(["ab"] * 4, ["yes"] * 4), allowed=ALLOWED)
    assert len(select(DataWhisperer(), twice, 4).positions) == 4
    one = pool_of(tiny, labelled(["ab"]), allowed=ALLOWED)
    assert select(DataWhisperer(), one, 1).positions.tolist() == [0]


def test_what_is_missing_is_refused_at_once(tiny: LanguageModel, tmp_path: Path) -> None:
    bare = labelled(["z"], [None])  # type: ignore[list-item]
    with pytest.raises(InputError, match="data-whisperer needs answers"):
        select(DataWhisperer(), pool_of(tiny, bare), 1)
    encoder = load_encoder(str(save_encoder(tmp_path)), device="cpu")
    with pytest.raises(InputError, match="data-whisperer needs a language model"):
        select(DataWhisperer(), pool_of(encoder, labelled(WORDS)), 1)
    with pytest.raises(InputError, match="not one of accuracy"):
        DataWhisperer(metric="bleu")
