"""What pydantic found wrong in a file or a record, in words."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        path: the keys and positions that lead to it.
        kind: pydantic's name for this kind of error.
        message: what is wrong with the value there.
        value: the value.
    """

    path: tuple[int | str, ...]
    kind: str
    message: str
    value: object

    @property
    def key(self) -> str:
        """The path with dots."""
        return ".".join(map(str, self.path))

    @property
    def is_unknown(self) -> bool:
        """Whether there is no such key."""
        return self.kind in ("extra_forbidden", "unexpected_keyword_argument")

    def __str__(self) -> str:
        if self.is_unknown:
            return f"unknown key {self.key!r}"
        if self.kind == "missing":
            return f"the key {self.key!r} is missing"
        return f"{self.key}: {self.message}" if self.path else self.message


def faults(error: ValidationError) -> list[Fault]:
    """Everything that is wrong; unknown keys first, since another key may be misspelt."""
    found = []
    for one in error.errors():
        message = one["msg"].removeprefix("Value error, ").rstrip(".")
        found.append(Fault(one["loc"], one["type"], message, one["input"]))
    return sorted(found, key=lambda fault: not fault.is_unknown)
