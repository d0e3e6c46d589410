"""The columns of a data file's first records: what kind of values each one has."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from labelcast.errors import InputError
from labelcast.tasks.conversations import PARTS, is_conversation, part
from labelcast.tasks.sources import Source
from labelcast.tasks.values import are_choices, as_text

MOST_ANSWERS = 200
_RECORDS = 5000
_SENTENCE = 6
"""Words from which the name of a column is a sentence."""
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_BINARY = ({"0", "1"}, {"true", "false"}, {"0", "1", "-1"})
_BETWEEN_LABELS = re.compile(r"\s*[|;,]\s*")


@dataclass
class Column:
    """The values of one field.

    `lists` counts lists and choices with their marks, `fault` says why a value is no text.
    """

    values: Counter[str] = field(default_factory=Counter)
    length: int = 0
    words: int = 0
    seen: int = 0
    lists: int = 0
    fault: InputError | None = None

    def add(self, text: str) -> None:
        """Count a value."""
        self.seen += 1
        self.length += len(text)
        self.words += len(text.split())
        if len(self.values) <= MOST_ANSWERS or text in self.values:
            self.values[text] += 1

    @property
    def mean_length(self) -> float:
        """Mean number of characters of a value."""
        return self.length / max(self.seen, 1)

    @property
    def mean_words(self) -> float:
        """Mean number of words of a value."""
        return self.words / max(self.seen, 1)

    @property
    def is_choice(self) -> bool:
        """Whether a few values repeat."""
        return 1 < len(self.values) <= min(MOST_ANSWERS, max(2, self.seen // 3))

    @property
    def is_number(self) -> bool:
        """Whether all values are numbers."""
        return bool(self.values) and all(map(_NUMBER.fullmatch, self.values))

    @property
    def is_measure(self) -> bool:
        """Whether they are numbers with fractions, most of them different."""
        return self.is_number and not self.is_choice and any("." in v for v in self.values)

    @property
    def is_binary(self) -> bool:
        """Whether they are zeros and ones, or true and false."""
        found = {value.casefold() for value in self.values}
        return bool(found) and any(found <= pair for pair in _BINARY)

    @property
    def is_joined(self) -> bool:
        """Whether some values join labels, such as ``joy|fear``: fewer labels than values."""
        split = {value: _BETWEEN_LABELS.split(value) for value in self.values}
        joined = [value for value, parts in split.items() if len(parts) > 1]
        labels = {label for parts in split.values() for label in parts}
        return len(joined) >= 0.2 * len(split) > 0 and len(labels) < len(split)


@dataclass
class Table:
    """The columns of the first records, these records as texts, and the first one as it is."""

    columns: dict[str, Column] = field(default_factory=dict)
    rows: list[dict[str, str]] = field(default_factory=list)
    first: dict[str, Any] = field(default_factory=dict)


def read_table(source: Source) -> Table:
    """The columns of the first 5,000 records."""
    table = Table()
    for record in islice(source.records(), _RECORDS):
        row: dict[str, str] = {}
        table.first = table.first or record.values
        for name, value in _flat(record.values):
            column = table.columns.setdefault(name, Column())
            if value is None or value != value:
                continue
            column.lists += isinstance(value, list) or are_choices(value)
            try:
                text = as_text(value, f"{record.where}, field {name!r}").strip()
            except InputError as error:
                column.fault = column.fault or error
                continue
            is_plain = isinstance(value, str | int | float) or is_conversation(value)
            if text and is_plain:
                row[name] = text
                column.add(text)
        table.rows.append(row)
    return table


def refuse_headerless(table: Table, spec: str) -> None:
    """Refuse a table whose first row is data, not a header.

    A name is then one of the few values of its column, or all names are sentences and numbers.
    """
    names = [*table.columns]
    is_value = any(name in c.values and c.is_choice for name, c in table.columns.items())
    sentences = [name for name in names if len(name.split()) >= _SENTENCE]
    others = [name for name in names if name not in sentences and not _NUMBER.fullmatch(name)]
    if is_value or (sentences and not others):
        shown = ", ".join(repr(name[:30]) for name in names[:3])
        raise InputError(
            f"{spec}: it seems to have no header: its first row ({shown}) looks like data. Add a "
            "first row with the names of the columns, such as text,label. If it is the header, "
            "name the fields with --input and --answer."
        )


def _flat(values: Mapping[str, Any], inside: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """The fields of a record; of an object or a conversation each part, by its dotted name."""
    for key, value in values.items():
        name = f"{inside}{key}"
        if is_conversation(value):
            yield from ((f"{name}.{one}", part(value, one)) for one in PARTS)
        elif isinstance(value, Mapping) and value and depth < 4 and not are_choices(value):
            yield from _flat({str(k): v for k, v in value.items()}, f"{name}.", depth + 1)
        elif inside and isinstance(value, list) and value and isinstance(value[0], str | int):
            yield f"{name}.0", value[0]
        else:
            yield name, value
