"""What a labeller is asked: the instruction, the input fields and the allowed answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from labelcast.tasks.prompts import ANSWER_FIELD, PROMPT_FIELD
from labelcast.tasks.task import Task


@dataclass(frozen=True)
class LabelTask:
    """What a labeller is asked.

    Attributes:
        instruction: empty for prompts that are already rendered.
        titles: the title of each input field, by its name.
        answer: the name of the answer field.
        answers: the allowed answers; empty if any text is allowed.
    """

    instruction: str
    titles: Mapping[str, str]
    answer: str
    answers: tuple[str, ...] = ()

    @classmethod
    def of(cls, task: Task | None) -> LabelTask:
        """The labelling task of a run's task; None for prompts that are already rendered."""
        if task is None:
            return cls("", {PROMPT_FIELD: PROMPT_FIELD}, ANSWER_FIELD)
        titles = {item.field: item.label or item.field for item in task.inputs}
        return cls(task.instruction.strip(), titles, task.answer, task.answers)

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the input fields, in order."""
        return tuple(self.titles)

    @property
    def names(self) -> list[str]:
        """The input fields and the answer field."""
        return [*self.fields, self.answer]

    @property
    def guidelines(self) -> str:
        """The instruction; without one, a sentence with the name of the answer field."""
        return self.instruction or f"Give {self.answer}."

    @cached_property
    def meanings(self) -> dict[str, str]:
        """What each answer means; empty unless the instruction has one line for every answer.

        The allowed answers of banking77 are numbers, and its instruction says ``11 card arrival``.
        """
        lines = [line.strip() for line in self.instruction.splitlines()]
        found = {}
        for answer in self.answers:
            line = re.compile(rf"{re.escape(answer)}\s*(?:[:.)=\-\u2013\u2014]\s*|\s)(\S.*)")
            matches = [match[1] for match in map(line.fullmatch, lines) if match]
            if len(matches) != 1:
                return {}
            found[answer] = matches[0]
        return found
