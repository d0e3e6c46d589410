"""What a labeller is asked, and what every form of label file needs: names, shapes, one answer."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labelcast.errors import InputError
from labelcast.tasks.values import as_text

Row = Mapping[str, str]
_KINDS: dict[type, str] = {list: "a list", dict: "an object"}


@dataclass(frozen=True)
class Sheet:
    """What is asked of whoever labels.

    Attributes:
        instruction: what to do.
        fields: the names of the input fields, in order.
        titles: what stands before each of them.
        answer: the name of the answer field.
        answers: the allowed answers; empty where any text may be one.
    """

    instruction: str
    fields: tuple[str, ...]
    titles: tuple[str, ...]
    answer: str
    answers: tuple[str, ...] = ()

    @property
    def titled(self) -> list[tuple[str, str]]:
        """Each input field with its title."""
        return list(zip(self.fields, self.titles, strict=True))

    @property
    def names(self) -> list[str]:
        """The input fields and the answer field."""
        return [*self.fields, self.answer]


def own_key(key: str, sheet: Sheet) -> str:
    """The key of something of ours beside the fields: one that no field has."""
    while key in sheet.names:
        key += "_"
    return key


def safe_names(
    names: Sequence[str], fits: re.Pattern[str], taken: Collection[str]
) -> dict[str, str]:
    """A name that another tool takes for each of ours: itself where it fits, else one like it.

    The same names always give the same ones, so that an import finds its way back.

    Args:
        names: ours, all different.
        fits: what a name of the tool looks like; letters, digits and ``_`` must be allowed.
        taken: names that the tool uses itself.
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


def renamed(values: Mapping[str, Any], sheet: Sheet, safe: Mapping[str, str]) -> dict[str, Any]:
    """The input fields that are there, by our names, whether they came by ours or by safe ones."""
    found = {}
    for name in sheet.fields:
        key = safe[name] if safe[name] in values else name
        if key in values:
            found[name] = values[key]
    return found


def expect(values: Mapping[str, Any], key: str, kind: type, where: str) -> Any:
    """A list or object of a record; an empty one where it is absent or null.

    Raises:
        InputError: it is something else; names the record and the field.
    """
    value = values.get(key)
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise wrong(value, kind, f"{where}, field {key!r}")
    return value


def objects(values: Mapping[str, Any], key: str, where: str) -> list[tuple[str, dict[str, Any]]]:
    """The objects of a list in a record, each with its place.

    Raises:
        InputError: it is no list, or holds something that is no object.
    """
    found = []
    for number, item in enumerate(expect(values, key, list, where), 1):
        place = f"{where}, field {key!r} item {number}"
        if not isinstance(item, dict):
            raise wrong(item, dict, place)
        found.append((place, item))
    return found


def wrong(value: Any, kind: type, where: str) -> InputError:
    """The error of a value that is not of the kind that must stand there."""
    found = "dict" if isinstance(value, dict) else type(value).__name__
    return InputError(f"{where}: {_KINDS[kind]} must stand here, not {found}.")


def one_answer(answers: Iterable[Any], where: str) -> str | None:
    """The one answer that is given, None where none is.

    Raises:
        InputError: there are several, or one is no text.
    """
    texts = {as_text(answer, where) for answer in answers}
    given = sorted(text for text in texts if text.strip())
    if len(given) > 1:
        shown = ", ".join(text[:60] for text in given[:4])
        raise InputError(f"{where}: several answers ({shown}). Keep one.")
    return given[0] if given else None


def texts(rows: Iterable[Row], sheet: Sheet) -> Iterator[tuple[str, str]]:
    """Every text that goes out, with its place."""
    yield "instruction", sheet.instruction
    for name, text in (*sheet.titled, *((sheet.answer, answer) for answer in sheet.answers)):
        yield f"task, field {name!r}", text
    for row in rows:
        for name, text in row.items():
            yield f"example {row['id']}, field {name!r}", text


def refuse_nul(rows: Iterable[Row], sheet: Sheet, tool: str) -> None:
    """Refuse null characters, which the databases of label tools cannot hold.

    Raises:
        InputError: names the example and the field.
    """
    for place, text in texts(rows, sheet):
        if "\0" in text:
            raise InputError(
                f"{place}: holds a null character, which {tool} cannot take. Export as jsonl."
            )
