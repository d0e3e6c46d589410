"""The JSON bodies that the label page sends."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from labelcast.labels.session import MAX_SECONDS


class RequestBody(BaseModel):
    """Any request: only the named keys, each of its exact type."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


Body = TypeVar("Body", bound=RequestBody)


class ExampleRequest(RequestBody):
    """About one example, with the version of its entry that the page showed."""

    id: str
    seen: str


class SkipRequest(ExampleRequest):
    """Skip an example after some seconds."""

    seconds: float = Field(default=0.0, ge=0, le=MAX_SECONDS, allow_inf_nan=False)


class LabelRequest(SkipRequest):
    """Label an example after some seconds."""

    answer: str


class UnsureRequest(ExampleRequest):
    """Mark an example as unsure, or not."""

    unsure: bool


class NoteRequest(ExampleRequest):
    """Set the note of an example; an empty one removes it."""

    note: str


class UndoRequest(RequestBody):
    """Undo the change that the page showed as the last."""

    step: str


class ModelAnswerRequest(RequestBody):
    """Show the model's own answer to an example."""

    id: str


class ForecastRequest(RequestBody):
    """Options of a forecast."""

    target: float = 0.9
    zero_shot: float | None = None
    ceiling: float | None = None
