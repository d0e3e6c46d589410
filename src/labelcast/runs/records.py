"""Schemas of a run folder's JSON files: an untrusted file is refused with a clear message.

Other fields of a file are ignored.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from labelcast.errors import InputError

Natural = Annotated[int, Field(ge=0, lt=2**63)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class Form(BaseModel):
    """What must hold of an object; keys that are not named may be anything."""

    model_config = ConfigDict(strict=True, extra="ignore", protected_namespaces=())


class ModelPart(Form):
    """What a run or a sweep says of its model."""

    name: str
    hub_id: str | None = None
    fingerprint: str
    architecture: dict[str, Any] | None = None


class RunQuestion(Form):
    """The question of `run.json`."""

    task: dict[str, Any] | None = None
    pool_digest: str = ""
    n_label: Natural = 0
    seed: Natural = 0
    max_new_tokens: Natural = 0


class Facts(Form):
    """The facts of `run.json`; what they say of the model is looked at when it is needed."""

    pool: str = ""
    size: Natural = 0
    device: str = ""
    batch_size: Natural | None = None


class Drawn(Form):
    """A row of `draws.jsonl`, but for the task's own fields."""

    id: str
    index: Natural
    set: str
    batch: Natural


class Labelled(Form):
    """A row of `labels.jsonl`, but for the task's own fields."""

    id: str
    index: Natural = 0
    set: str


class Observation(Form):
    """A row of `observations.jsonl`."""

    budget: Natural
    score: Share
    test_size: Annotated[int, Field(ge=1, lt=2**63)]
    recipe: str
    metric: str = ""
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class Asked(Form):
    """What the last forecast was asked; `Question.of` checks its other options."""

    calibration: str | None = None
    recipe: str | None = None


def check(form: type[Form], content: Any, where: str, way_out: str) -> None:
    """Refuse what is not of a form.

    Args:
        form: of the content.
        content: as JSON gives it.
        where: the file, and the line where it has several.
        way_out: what to do about it, a sentence.

    Raises:
        InputError: names the place, the key and what is wrong with it.
    """
    try:
        form.model_validate(content)
    except (ValidationError, RecursionError) as error:
        if isinstance(error, RecursionError):
            raise InputError(f"{where}: damaged (nested too deep). {way_out}") from None
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"])) or "it"
        raise InputError(f"{where}: damaged ({key}: {problem['msg']}). {way_out}") from None
