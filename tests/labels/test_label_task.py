"""What a labeller is asked."""

from __future__ import annotations

from dataclasses import replace

from labelcast.labels.label_task import LabelTask
from labelcast.tasks.task import Task


def test_meanings_are_read_from_the_instruction() -> None:
    """All 77 of banking77, but none if one is missing."""
    asked = LabelTask.of(Task.load("banking77"))
    assert len(asked.meanings) == 77
    assert asked.meanings["11"] == "card has not arrived yet"
    assert replace(asked, answers=(*asked.answers, "77")).meanings == {}


def test_without_a_task_the_prompt_is_the_only_field() -> None:
    """The prompts contain the instruction, and any answer is allowed."""
    asked = LabelTask.of(None)
    assert (asked.instruction, asked.fields, asked.answers) == ("", ("input_text",), ())
    assert asked.guidelines == "Give ground_truth."
