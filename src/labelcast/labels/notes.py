"""What a person leaves beside the answers: notes, doubts, skipped examples, time, and the steps.

`RUN/remarks.jsonl` holds one row an example, `RUN/label_steps.jsonl` the last changes, newest last,
so that they can be taken back after a restart.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from labelcast.errors import InputError
from labelcast.files.json_files import write_jsonl
from labelcast.runs.run import Run

REMARKS, STEPS = "remarks.jsonl", "label_steps.jsonl"
KEPT_STEPS = 200


class Entry(BaseModel):
    """What is said of one example: its answer, and whether the person is unsure or skipped it."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    answer: str | None = None
    unsure: bool = False
    skipped: bool = False
    note: str = ""

    @property
    def version(self) -> str:
        """A short hash, to tell whether the entry is still the one that somebody saw."""
        return hashlib.sha256(json.dumps(self.model_dump()).encode()).hexdigest()[:12]


class Remark(BaseModel):
    """One row of `remarks.jsonl`: all but the answer.

    Attributes:
        id: of the example.
        note: in the person's words.
        unsure: whether the answer is in doubt.
        skipped: whether it was put off.
        seconds: spent on it.
        model_shown: whether the person asked to see the model's own answer.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    id: str
    note: str = ""
    unsure: bool = False
    skipped: bool = False
    seconds: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    model_shown: bool = False


class Step(BaseModel):
    """One change, as `label_steps.jsonl` keeps it: its name, the example, before and after."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    step: str = Field(default_factory=lambda: secrets.token_hex(8))
    id: str
    before: Entry
    after: Entry


def load_remarks(run: Run) -> dict[str, Remark]:
    """The remarks of a run by the id of their example.

    Raises:
        InputError: a row is damaged.
    """
    return {remark.id: remark for remark in _rows(run, REMARKS, Remark)}


def save_remarks(run: Run, remarks: Mapping[str, Remark]) -> None:
    """Write `remarks.jsonl`, whole or not at all."""
    write_jsonl(run.file(REMARKS), [remark.model_dump() for remark in remarks.values()])


def load_steps(run: Run) -> list[Step]:
    """The last changes of a run, newest last.

    Raises:
        InputError: a row is damaged.
    """
    return _rows(run, STEPS, Step)


def save_steps(run: Run, steps: Sequence[Step]) -> None:
    """Write `label_steps.jsonl`; of very many the newest are kept."""
    write_jsonl(run.file(STEPS), [step.model_dump() for step in steps[-KEPT_STEPS:]])


def _rows(run: Run, name: str, form: type[Any]) -> list[Any]:
    found = []
    for number, row in enumerate(run.rows(name), 1):
        try:
            found.append(form.model_validate(row))
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(map(str, problem["loc"]))
            raise InputError(
                f"{run.file(name)} line {number}: damaged ({where}: {problem['msg']}). "
                "Mend or remove that line."
            ) from None
    return found
