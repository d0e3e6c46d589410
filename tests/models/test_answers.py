"""Answers to many prompts, one call after another."""

from __future__ import annotations

import pytest

from labelcast.models import answers
from labelcast.models.answers import LocalAnswers
from labelcast.models.encoding import encode_prompt
from labelcast.models.generation import Prefix, read_prefix
from labelcast.models.loading import LanguageModel


def prompts(lm: LanguageModel, beginning: str, *ends: str) -> list[list[int]]:
    return [encode_prompt(lm.tokenizer, f"{beginning}{end}") for end in ends]


def test_what_was_asked_before_changes_nothing(
    tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shared beginning is read anew only where it is another; the bits are the same."""
    read: list[int] = []

    def counted(lm: LanguageModel, asked: list[list[int]]) -> Prefix:
        found: Prefix = read_prefix(lm, asked)
        read.append(len(found.tokens))
        return found

    monkeypatch.setattr(answers, "read_prefix", counted)

    long = "an instruction that all begin with; "
    calls = [
        prompts(tiny, long, "one", "two", "three"),
        prompts(tiny, long, "four", "five", "zero"),
        prompts(tiny, long, "sex", "seven"),
        prompts(tiny, "", "x", "yz"),
        prompts(tiny, long, "alone"),
        prompts(tiny, long, "eight", "nine"),
    ]
    fresh = [LocalAnswers(tiny, 2).answer(call, 6) for call in calls]
    read.clear()
    one = LocalAnswers(tiny, 2)
    assert [one.answer(call, 6) for call in calls] == fresh
    length = len(encode_prompt(tiny.tokenizer, long))
    assert read == [length, length + 2, 0, 0, length]


def test_no_prompts_have_no_answers(tiny: LanguageModel) -> None:
    """A shard of which every prompt is too long comes to nothing."""
    assert LocalAnswers(tiny, 2).answer([], 3) == []
