"""What the page may send: the form of each request's JSON body."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from labelcast.labels.session import LONGEST_LOOK


class Body(BaseModel):
    """Any body: nothing but what is named, and nothing of another type."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class OfExample(Body):
    """About one example: its id, and the version of its entry that the page showed."""

    id: str
    seen: str


class Looked(OfExample):
    """With the seconds that were spent looking."""

    seconds: float = Field(default=0.0, ge=0, le=LONGEST_LOOK, allow_inf_nan=False)


class Take(Looked):
    """An answer."""

    answer: str


class Unsure(OfExample):
    """In doubt or not."""

    unsure: bool


class Note(OfExample):
    """A note."""

    note: str


class Undo(Body):
    """The step that the page showed as the last."""

    step: str


class ModelAnswer(Body):
    """To see the model's own answer to an example."""

    id: str


class Ask(Body):
    """What the forecast is asked."""

    target: float = 0.9
    zero_shot: float | None = None
    ceiling: float | None = None
