"""What is saved beside the labels: notes, marks, time spent, and the undo history.

`RUN/remarks.jsonl` has one row per example; `RUN/label_steps.jsonl` has the last changes, newest
last.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field

from labelcast.files.json_files import read_jsonl, write_jsonl
from labelcast.runs.records import parse_rows
from labelcast.runs.run import Run

NOTES, CHANGES = "remarks.jsonl", "label_steps.jsonl"
KEPT_CHANGES = 200


class LabelEntry(BaseModel):
    """Everything that a labeller can change about one example."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    answer: str | None = None
    unsure: bool = False
    skipped: bool = False
    note: str = ""

    @property
    def version(self) -> str:
        """A short hash that shows whether the entry has changed since somebody saw it."""
        return hashlib.sha256(json.dumps(self.model_dump()).encode()).hexdigest()[:12]


class ExampleNotes(BaseModel):
    """One row of `remarks.jsonl`; `model_shown`: the labeller looked at the model's answer."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    id: str
    note: str = ""
    unsure: bool = False
    skipped: bool = False
    seconds: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    model_shown: bool = False


class LabelChange(BaseModel):
    """One row of `label_steps.jsonl`: an example before and after a change."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    step: str = Field(default_factory=lambda: secrets.token_hex(8))
    id: str
    before: LabelEntry
    after: LabelEntry


def load_notes(run: Run) -> dict[str, ExampleNotes]:
    """The notes of a run by the id of their example."""
    path = run.file(NOTES)
    return {notes.id: notes for notes in parse_rows(ExampleNotes, read_jsonl(path), path)}


def save_notes(run: Run, notes: Mapping[str, ExampleNotes]) -> None:
    """Write `remarks.jsonl`."""
    write_jsonl(run.file(NOTES), [one.model_dump() for one in notes.values()])


def load_changes(run: Run) -> list[LabelChange]:
    """The last changes of a run, newest last."""
    path = run.file(CHANGES)
    return parse_rows(LabelChange, read_jsonl(path), path)


def save_changes(run: Run, changes: Sequence[LabelChange]) -> None:
    """Write the newest changes to `label_steps.jsonl`."""
    write_jsonl(run.file(CHANGES), [change.model_dump() for change in changes[-KEPT_CHANGES:]])
