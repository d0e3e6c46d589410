"""`gold.json` of a run: which labels are the pool's own, not a person's."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Annotated

from pydantic import Strict

from labelcast.files.json_files import write_json
from labelcast.runs.records import Form, parse_file
from labelcast.runs.run import Run

_GOLD = "gold.json"


class GoldFile(Form):
    """`gold.json`: the field of the pool that labels were taken from, and their examples."""

    field: str = ""
    ids: Annotated[tuple[str, ...], Strict(False)] = ()


def read_gold(run: Run) -> GoldFile:
    """Which labels `take_gold` took, and from which field. Raises InputError if it is damaged."""
    path = run.file(_GOLD)
    return parse_file(GoldFile, path, "Delete that file.") if path.exists() else GoldFile()


def add_gold(run: Run, field: str, ids: Iterable[str]) -> None:
    """Record examples whose label is from a field of the pool."""
    known = read_gold(run).ids
    write_json(run.file(_GOLD), {"field": field, "ids": [*dict.fromkeys([*known, *ids])]})


def drop_gold(run: Run, ids: Collection[str]) -> None:
    """Record that a person changed the labels of some examples."""
    known = read_gold(run)
    left = [key for key in known.ids if key not in ids]
    if len(left) < len(known.ids):
        write_json(run.file(_GOLD), {"field": known.field, "ids": left})
