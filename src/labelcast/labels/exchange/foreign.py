"""Shared by the formats of other labelling tools: safe names, parsed records, one answer."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from labelcast.errors import InputError
from labelcast.labels.label_task import LabelTask
from labelcast.tasks.values import as_text

Row = Mapping[str, str]
JsonObject = dict[str, Any]
_KINDS = {"list_type": "a list", "dict_type": "an object", "model_type": "an object"}


class ForeignRecord(BaseModel):
    """A part of a tool's record. Keys that are not read are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


Model = TypeVar("Model", bound=ForeignRecord)


class ForeignFormat(Protocol):
    """One tool's format: its records are nested, our rows are flat."""

    def pack(self, rows: Sequence[Row], task: LabelTask) -> list[JsonObject]:
        """Records for the tool to import; known answers come as finished annotations."""

    def unpack(self, values: JsonObject, task: LabelTask, where: str) -> JsonObject:
        """Id, input fields and answer of a record; the answer is None if it is blank."""

    def is_ours(self, values: JsonObject, task: LabelTask) -> bool:
        """Whether a record was exported by labelcast."""

    def is_theirs(self, values: JsonObject) -> bool:
        """Whether a record looks like one of the tool's."""


def parse(model: type[Model], values: JsonObject, where: str) -> Model:
    """Parse a tool's record; a part of the wrong type is an error that names its place."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        place = "".join(
            f" item {part + 1}" if isinstance(part, int) else f", field {part!r}"
            for part in problem["loc"]
        )
        kind = _KINDS.get(problem["type"])
        found = type(problem["input"]).__name__
        message = f"must be {kind}, not {found}" if kind else problem["msg"]
        raise InputError(f"{where}{place}: {message}.") from None


def own_key(key: str, task: LabelTask) -> str:
    """A key for labelcast's own data in a record, different from every field's name."""
    while key in task.names:
        key += "_"
    return key


def own_keys(task: LabelTask) -> tuple[str, str]:
    """The keys of the example's id and set; they mark a record that labelcast exported."""
    return own_key("labelcast_id", task), own_key("labelcast_set", task)


def safe_names(
    names: Sequence[str], fits: re.Pattern[str], taken: Collection[str]
) -> dict[str, str]:
    """A name that the tool accepts for each of ours: the same if it `fits`, else a similar one.

    The tool uses the names in `taken` itself. Import and export get the same names.
    """
    safe = {name: name for name in names if fits.fullmatch(name) and name not in taken}
    for name in names:
        if name not in safe:
            stem = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:60]
            stem = stem if stem[:1].isalpha() else f"field_{stem}".rstrip("_")
            new, number = stem, 2
            while new in taken or new in names or new in safe.values():
                new, number = f"{stem}_{number}", number + 1
            safe[name] = new
    return safe


def renamed(values: JsonObject, task: LabelTask, safe: Mapping[str, str]) -> JsonObject:
    """The input fields that a record has, under our names."""
    keys = {name: safe[name] if safe[name] in values else name for name in task.fields}
    return {name: values[key] for name, key in keys.items() if key in values}


def one_answer(answers: Iterable[Any], where: str) -> str | None:
    """The one answer among several, or None; different answers are an error."""
    given = {as_text(answer, where) for answer in answers if answer is not None}
    found = sorted(text for text in given if text.strip())
    if len(found) > 1:
        shown = ", ".join(text[:60] for text in found[:4])
        raise InputError(f"{where}: several answers ({shown}). Keep one.")
    return found[0] if found else None
