"""Shared by the formats of other labelling tools: safe names, parsed records, one answer."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from labelcast.errors import InputError
from labelcast.files.validation import faults
from labelcast.labels.label_task import LabelTask
from labelcast.tasks.values import as_text

Row = Mapping[str, str]
JsonObject = dict[str, Any]
_ID = "labelcast_id"
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


def parse(model: type[Model], values: JsonObject, where: str) -> Model:
    """Parse a tool's record; a part of the wrong type is an error that names its place."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        fault = faults(error)[0]
        place = "".join(
            f" item {part + 1}" if isinstance(part, int) else f", field {part!r}"
            for part in fault.path
        )
        kind = _KINDS.get(fault.kind)
        found = type(fault.value).__name__
        message = f"must be {kind}, not {found}" if kind else fault.message
        raise InputError(f"{where}{place}: {message}.") from None


def own_key(key: str, task: LabelTask) -> str:
    """A key for labelcast's own data in a record, different from every field's name."""
    while key in task.names:
        key += "_"
    return key


def is_marked(values: object, task: LabelTask) -> bool:
    """Whether a part of a record has the key of the example's id, so labelcast exported it."""
    return isinstance(values, dict) and own_key(_ID, task) in values


@dataclass(frozen=True)
class Names:
    """How a tool's records name the fields of a task.

    Attributes:
        task: with the fields.
        safe: the name that the tool accepts for each of ours.
        id, set: keys of the example's id and set.
    """

    task: LabelTask
    safe: Mapping[str, str]
    id: str
    set: str

    @classmethod
    def of(cls, task: LabelTask, fits: re.Pattern[str], theirs: Collection[str]) -> Names:
        """The same names where they `fit` and are not `theirs`, else similar ones.

        Import and export get the same names.
        """
        own = own_key(_ID, task), own_key("labelcast_set", task)
        taken = {*own, *theirs}
        safe = {name: name for name in task.names if fits.fullmatch(name) and name not in taken}
        for name in task.names:
            if name not in safe:
                stem = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:60]
                stem = stem if stem[:1].isalpha() else f"field_{stem}".rstrip("_")
                new, number = stem, 2
                while new in taken or new in task.names or new in safe.values():
                    new, number = f"{stem}_{number}", number + 1
                safe[name] = new
        return cls(task, safe, *own)

    @property
    def answer(self) -> str:
        """The tool's name of the answer field."""
        return self.safe[self.task.answer]

    def inputs(self, row: Row) -> dict[str, str]:
        """The input fields of a row, under the tool's names."""
        return {self.safe[name]: row[name] for name in self.task.fields}

    def own(self, row: Row) -> dict[str, str]:
        """The id and the set of a row, under our keys."""
        return {self.id: row["id"], self.set: row["set"]}

    def unpacked(self, values: JsonObject, own: Any, answer: str | None) -> JsonObject:
        """The id `own`, the input fields among a record's values, and the answer."""
        keys = {name: self.safe[name] if self.safe[name] in values else name for name in self.safe}
        found = {name: values[keys[name]] for name in self.task.fields if keys[name] in values}
        return {"id": own, **found, self.task.answer: answer}


def one_answer(answers: Iterable[Any], where: str) -> str | None:
    """The one answer among several, or None; different answers are an error."""
    given = {as_text(answer, where) for answer in answers if answer is not None}
    found = sorted(text for text in given if text.strip())
    if len(found) > 1:
        shown = ", ".join(text[:60] for text in found[:4])
        raise InputError(f"{where}: several answers ({shown}). Keep one.")
    return found[0] if found else None
