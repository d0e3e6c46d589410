from pathlib import Path
from unittest.mock import patch

import numpy as np
import published
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_model import load_llama

from labelcast.models import generation, passes
from labelcast.models.encoding import encode_prompt
from labelcast.models.generation import (
    Generated,
    LocalAnswers,
    Prefix,
    batches,
    end_tokens,
    generate,
    read_prefix,
)
from labelcast.models.loading import LanguageModel

TIE = 1e-4


def random_prompts(seed: int, lengths: list[int], shared: int) -> list[list[int]]:
    """Random tokens, the first `shared` of them the same in every prompt."""
    rng = np.random.default_rng(seed)
    start = rng.integers(3, 90, size=shared).tolist()
    return [start + rng.integers(3, 90, size=length).tolist() for length in lengths]


def answers(
    lm: LanguageModel, prompts: list[list[int]], batch_size: int, new: int
) -> list[Generated]:
    """Every prompt's answer, in order."""
    found: dict[int, Generated] = {}
    prefix = read_prefix(lm, prompts)
    for batch in batches(lm, prompts, batch_size):
        made = generate(lm, [prompts[i] for i in batch], prefix, new)
        found.update(zip(batch, made, strict=True))
    return [found[i] for i in range(len(prompts))]


@settings(max_examples=12)
@given(
    seed=st.integers(0, 1000),
    lengths=st.lists(st.integers(1, 25), min_size=1, max_size=7),
    shared=st.sampled_from([0, 3, 12, 40]),
    batch_size=st.sampled_from([1, 3, 8]),
    at_once=st.sampled_from([1, 40, 512]),
)
def test_answers_equal_greedy_decoding_one_at_a_time(
    tiny: LanguageModel, seed: int, lengths: list[int], shared: int, batch_size: int, at_once: int
) -> None:
    """Tokens and probabilities equal the model's own generate and a second pass.

    Prompts of a batch are read in one pass or in several, and answered together.
    """
    prompts = random_prompts(seed, lengths, shared)
    with patch.object(passes, "_TOKENS_AT_ONCE", at_once):
        together = answers(tiny, prompts, batch_size, 8)
    for prompt, found in zip(prompts, together, strict=True):
        expected = published.confidence(tiny, prompt, 8)
        if expected.margin < TIE:
            continue
        assert found.tokens == expected.tokens
        assert found.margin == pytest.approx(expected.margin, abs=TIE)
        assert all(0 < p <= 1 + 1e-6 for p in found.probabilities)


def test_an_end_token_ends_each_row_on_its_own(tmp_path: Path) -> None:
    """With many end tokens rows stop at different steps, and each is as it would be alone."""
    lm = load_llama(tmp_path, seed=4)
    prompts = random_prompts(0, [4, 9, 2, 7, 11, 3, 5, 8], 16)
    lm.model.generation_config.eos_token_id = list(range(0, 104, 8))
    with patch.object(passes, "_TOKENS_AT_ONCE", 24):  # the prompts are read in four parts
        together = answers(lm, prompts, 8, 20)
    assert len({len(answer.tokens) for answer in together}) > 2, "the case must be mixed"
    ends = end_tokens(lm)
    for prompt, answer in zip(prompts, together, strict=True):
        alone = answers(lm, [prompt], 1, 20)[0]
        assert answer.tokens == alone.tokens
        assert answer.probabilities == pytest.approx(alone.probabilities, abs=TIE)
        assert not set(answer.tokens[:-1]) & ends
        assert len(answer.tokens) == 20 or answer.tokens[-1] in ends


@given(
    st.lists(st.integers(1, 40), max_size=30),
    st.integers(1, 8),
)
def test_batches_have_every_prompt_once_by_length(
    tiny: LanguageModel, lengths: list[int], size: int
) -> None:
    """Batches are no larger than asked for, longest first."""
    groups = batches(tiny, [[1] * length for length in lengths], size)
    flat = [i for group in groups for i in group]
    assert sorted(flat) == list(range(len(lengths)))
    assert all(len(group) <= size for group in groups)
    assert [lengths[i] for i in flat] == sorted(lengths, reverse=True)


def test_a_short_beginning_is_not_worth_sharing(tiny: LanguageModel) -> None:
    """Few shared tokens, or one prompt alone, give an empty prefix."""
    assert read_prefix(tiny, random_prompts(0, [5, 6], 3)).layers == []
    assert read_prefix(tiny, random_prompts(0, [20], 0)).tokens == []
    shared = read_prefix(tiny, random_prompts(0, [5, 6], 20))
    assert len(shared.tokens) >= 20
    assert len(shared.layers) == 3


def test_identical_prompts_give_identical_answers(tiny: LanguageModel) -> None:
    """The shared prefix leaves the last token to each row."""
    prompts = random_prompts(1, [0, 0, 0], 30)
    found = answers(tiny, prompts, 2, 6)
    assert found[0].tokens == found[1].tokens == found[2].tokens
    assert found[0].tokens == published.confidence(tiny, prompts[0], 6).tokens


def test_the_tokenizers_end_token_ends_an_answer_too(tmp_path: Path) -> None:
    """Beside those of the generation config, since training adds it there."""
    lm = load_llama(tmp_path)
    lm.model.generation_config.eos_token_id = 7
    assert end_tokens(lm) == {7, lm.tokenizer.eos_token_id}
    lm.model.generation_config.eos_token_id = [7, 8]
    assert end_tokens(lm) == {7, 8, lm.tokenizer.eos_token_id}


def test_a_model_without_end_tokens_answers_in_full(tiny: LanguageModel) -> None:
    """Only the limit ends the answer."""
    config = tiny.model.generation_config
    before, eos = config.eos_token_id, tiny.tokenizer.eos_token
    config.eos_token_id = tiny.tokenizer.eos_token = None
    try:
        assert end_tokens(tiny) == frozenset()
        found = answers(tiny, random_prompts(2, [5, 9], 0), 2, 10)
        assert [len(answer.tokens) for answer in found] == [10, 10]
    finally:
        config.eos_token_id, tiny.tokenizer.eos_token = before, eos


def test_generation_builds_no_graph(tiny: LanguageModel) -> None:
    """No result requires a gradient."""
    prefix = read_prefix(tiny, random_prompts(0, [5, 6], 20))
    assert not any(states.requires_grad for layer in prefix.layers for states in layer)
    assert not torch.is_inference_mode_enabled()


def encoded(lm: LanguageModel, beginning: str, *ends: str) -> list[list[int]]:
    return [encode_prompt(lm.tokenizer, f"{beginning}{end}") for end in ends]


def test_earlier_calls_change_no_answer(
    tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shared tokens are run again only if they differ; the bits are the same."""
    read: list[int] = []

    def counted(lm: LanguageModel, asked: list[list[int]]) -> Prefix:
        found: Prefix = read_prefix(lm, asked)
        read.append(len(found.tokens))
        return found

    monkeypatch.setattr(generation, "read_prefix", counted)

    long = "an instruction that all begin with; "
    calls = [
        encoded(tiny, long, "one", "two", "three"),
        encoded(tiny, long, "four", "five", "zero"),
        encoded(tiny, long, "sex", "seven"),
        encoded(tiny, "", "x", "yz"),
        encoded(tiny, long, "alone"),
        encoded(tiny, long, "eight", "nine"),
    ]
    fresh = [LocalAnswers(tiny, 2).answer(call, 6) for call in calls]
    read.clear()
    one = LocalAnswers(tiny, 2)
    assert [one.answer(call, 6) for call in calls] == fresh
    length = len(encode_prompt(tiny.tokenizer, long))
    assert read == [length, length + 2, 0, 0, length]


def test_no_prompts_give_no_answers(tiny: LanguageModel) -> None:
    """A shard whose prompts are all too long."""
    assert LocalAnswers(tiny, 2).answer([], 3) == []
