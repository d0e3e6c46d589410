"""Decoding along the allowed answers equals a greedy walk one prompt at a time."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcast.models import passes
from labelcast.models.confidence import score_confidence
from labelcast.models.constrained import AnswerTrie
from labelcast.models.encoding import encode_pair, encode_prompt
from labelcast.models.generation import end_tokens
from labelcast.models.loading import LanguageModel
from labelcast.tasks.task import Task

TIE = 1e-4
SETS = [
    ["yes", "no"],
    ["a", "ab", "abc"],  # "ab" is one token, and "a" the beginning of no other path
    ["x", "xy", "xyz", "q"],  # each but the last is the beginning of the next
    ["the same start 1", "the same start 2", "the other"],
    ["no", "no answer", "None"],
]


def walked(lm: LanguageModel, prompt: str, answers: list[str]) -> tuple[str, list[float], float]:
    """Answer, probabilities where there was a choice (without ends), and the smallest margin."""
    start = encode_prompt(lm.tokenizer, prompt)
    ends = end_tokens(lm)
    paths = {a: encode_pair(lm.tokenizer, prompt, a).tokens[len(start) :] for a in answers}
    said: list[int] = []
    found: list[float] = []
    margin = 1.0
    while True:
        left = [a for a in answers if paths[a][: len(said)] == said]
        if len(left) == 1:
            return left[0], found, margin
        options: dict[int, None] = {}
        for answer in left:
            longer = paths[answer][len(said) : len(said) + 1]
            options |= dict.fromkeys(longer or ends)
        tokens = list(options)
        with torch.inference_mode():
            logits = lm.model(torch.tensor([start + said])).logits[0, -1, tokens].float()
        chances = torch.softmax(logits, -1).sort(descending=True)
        token = tokens[int(chances.indices[0])]
        if len(tokens) > 1:
            margin = min(margin, float(chances.values[0] - chances.values[1]))
            found += [] if token in ends else [float(chances.values[0])]
        if token in ends:
            return next(a for a in left if paths[a] == said), found, margin
        said.append(token)


@settings(max_examples=12)
@given(
    prompts=st.lists(st.text("abcdeth: 1", min_size=1, max_size=25), min_size=1, max_size=6),
    shared=st.sampled_from(["", "a shared beginning of all prompts: "]),
    answers=st.sampled_from(SETS),
    batch_size=st.sampled_from([1, 4]),
)
def test_it_equals_a_walk_one_prompt_at_a_time(
    tiny: LanguageModel, prompts: list[str], shared: str, answers: list[str], batch_size: int
) -> None:
    """Answer and probabilities, in batches, with a shared prefix, with answers within others."""
    prompts = [tiny.render("I", shared + prompt) for prompt in prompts]
    with patch.object(passes, "_TOKENS_AT_ONCE", 40):
        found = score_confidence(tiny, prompts, batch_size=batch_size, allowed=answers)
    for prompt, one in zip(prompts, found, strict=True):
        answer, chances, margin = walked(tiny, prompt, answers)
        if margin < TIE:
            continue
        assert one.answer == answer
        assert one.margin == pytest.approx(margin, abs=1e-5)
        if chances:
            assert one.token_probabilities == pytest.approx(chances, abs=1e-5)
            assert one.confidence == pytest.approx(sum(chances) / len(chances), abs=1e-5)
        else:
            assert one.flag == "no_counted_token"


def test_an_answer_ends_where_it_is_the_only_one_left() -> None:
    """The most tokens until then; an answer within another one needs its end."""
    ends = frozenset({0})
    assert AnswerTrie({"a": [1, 2, 3], "b": [4, 5]}, ends).steps == 1
    assert AnswerTrie({"a": [1, 2, 3], "b": [1, 2, 5, 6, 7]}, ends).steps == 3
    assert AnswerTrie({"a": [1], "b": [1, 2]}, ends).steps == 2


def test_a_model_runs_less_often_than_with_free_decoding(
    smollm2: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the embedded model: once per token in question, and every answer is an allowed one."""
    calls = 0
    forward = smollm2.model.forward

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        return forward(*args, **options)

    monkeypatch.setattr(smollm2.model, "forward", counted)
    texts = ("I love it", "It broke at once", "What a waste of money", "Best day ever")
    prompts = [smollm2.render("Is this good or bad news? Answer good or bad.", t) for t in texts]
    free = score_confidence(smollm2, prompts, max_new_tokens=12)
    free_calls, calls = calls, 0
    found = score_confidence(smollm2, prompts, allowed=["good", "bad"])
    assert {one.answer for one in found} <= {"good", "bad"}
    assert not {one.answer for one in free} <= {"good", "bad"}
    assert calls == 2 < free_calls  # the tokens that all prompts share, and one batch
    assert all(0.5 <= one.confidence <= 1 and one.answer_tokens == 1 for one in found)


def test_a_task_says_so() -> None:
    """`constrain: true` needs answers; without it the written task has no such key."""
    text = "{name: t, instruction: I., inputs: [text], answer: y, answers: [a, b]}"
    task = Task.parse(text[:-1] + ", constrain: true}")
    assert task.decoded == ("a", "b")
    assert task.model_dump(mode="json")["constrain"] is True
    assert Task.parse(text).decoded == ()
    assert "constrain" not in Task.parse(text).model_dump(mode="json")
    with pytest.raises(ValueError, match="'constrain' needs two allowed answers"):
        Task.parse("{name: t, instruction: I., inputs: [text], answer: y, constrain: true}")
