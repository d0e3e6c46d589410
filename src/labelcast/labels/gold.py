"""Known answers of a pool's own records as labels, for simulations and for pools that have some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labelcast.errors import InputError
from labelcast.labels.store import SETS, drawn_rows, known_answers, pool_of, save_labels
from labelcast.runs.run import Run
from labelcast.tasks.prompts import read_answer
from labelcast.tasks.sources import Record


@dataclass(frozen=True)
class Gold:
    """What became of the drawn examples.

    Attributes:
        taken: labelled with the known answer.
        kept: had a label already, which stays whatever the record says.
        blank: their record has no answer; they stay open.
    """

    taken: int
    kept: int
    blank: int


def take_gold(run: Run, field: str, sets: Sequence[str] = SETS) -> Gold:
    """Label the drawn examples with the answers in a field of the pool's records.

    Nothing is taken if any answer is wrong. The caller holds the run's lock.

    Args:
        run: whose pool is read again.
        field: of the records.
        sets: which of the drawn sets.

    Raises:
        InputError: a record lacks the field or its answer is not allowed; the pool has changed.
    """
    known = known_answers(run)
    rows = [row for row in drawn_rows(run) if row["set"] in sets]
    found = _answers(run, field, [row for row in rows if row["id"] not in known])
    if found:
        save_labels(run, known | found)
    kept = sum(row["id"] in known for row in rows)
    return Gold(len(found), kept, len(rows) - kept - len(found))


def check_gold(
    run: Run, field: str, rows: Sequence[Mapping[str, Any]], sets: Sequence[str] = SETS
) -> None:
    """Refuse what `take_gold` would refuse once these rows are drawn too, before they are.

    Raises:
        InputError: a record lacks the field or its answer is not allowed; the pool has changed.
    """
    known = known_answers(run)
    drawn = [row for row in (*drawn_rows(run), *rows) if row["set"] in sets]
    _answers(run, field, [row for row in drawn if row["id"] not in known])


def _answers(run: Run, field: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The answers in the records of drawn rows, by the example's id; blank ones are left out."""
    task = run.task
    wanted = {row["index"]: row["id"] for row in rows}
    found: dict[str, str] = {}
    for record in pool_of(run).records() if wanted else ():
        if record.index in wanted:
            value = _value(record, field)
            if not _is_blank(value):
                where = f"{record.where}, field {field!r}"
                found[wanted[record.index]] = read_answer(value, task, where)
    return found


def _value(record: Record, field: str) -> object:
    if field not in record.values:
        raise InputError(
            f"--gold {field}: {record.where} has no such field. It has: "
            f"{', '.join(list(record.values)[:12])}."
        )
    return record.values[field]


def _is_blank(value: object) -> bool:
    """Whether a record leaves its answer open: None, NaN, or text of blanks."""
    return value is None or value != value or (isinstance(value, str) and not value.strip())
