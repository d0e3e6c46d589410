"""Take labels from answers that the pool's own records already have."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from labelcast.errors import InputError
from labelcast.labels.draw import open_pool
from labelcast.labels.store import DrawnExample, is_blank, known_answers, read_draws, save_labels
from labelcast.runs.run import Run
from labelcast.tasks.prompts import read_answer


@dataclass(frozen=True)
class Gold:
    """How many of the drawn examples were labelled.

    Attributes:
        taken: labelled with the answer of their record.
        kept: had a label already, which stays.
        blank: their record has no answer.
    """

    taken: int
    kept: int
    blank: int


def take_gold(run: Run, field: str, only: Collection[str] | None = None) -> Gold:
    """Label the drawn examples with the answers in one field of the pool's records.

    Existing labels stay. Nothing is written if any answer is wrong. The caller holds the run's
    lock.

    Args:
        run: whose pool is read again.
        field: of the records.
        only: names of sets; None for all.

    Raises:
        InputError: a record lacks the field, its answer is not allowed, or the pool has changed.
    """
    known = known_answers(run)
    draws = read_draws(run, only)
    found = _answers(run, field, [draw for draw in draws if draw.id not in known])
    if found:
        save_labels(run, known | found)
    kept = sum(draw.id in known for draw in draws)
    return Gold(len(found), kept, len(draws) - kept - len(found))


def check_gold(
    run: Run, field: str | None, new: Sequence[DrawnExample], only: Collection[str] | None = None
) -> None:
    """Refuse what `take_gold` would refuse once new draws are saved; nothing without a field.

    Raises:
        InputError: as `take_gold`.
    """
    if field is None:
        return
    known = known_answers(run)
    new = [draw for draw in new if only is None or draw.set in only]
    draws = [*read_draws(run, only), *new]
    _answers(run, field, [draw for draw in draws if draw.id not in known])


def _answers(run: Run, field: str, draws: Sequence[DrawnExample]) -> dict[str, str]:
    """The answers in the records of drawn examples, by id, without the blank ones."""
    task = run.task
    wanted = {draw.index: draw.id for draw in draws}
    found: dict[str, str] = {}
    for record in open_pool(run).records() if wanted else ():
        if record.index not in wanted:
            continue
        if field not in record.values:
            raise InputError(
                f"--gold {field}: {record.where} has no such field. It has: "
                f"{', '.join(list(record.values)[:12])}."
            )
        value = record.values[field]
        if not is_blank(value):
            where = f"{record.where}, field {field!r}"
            found[wanted[record.index]] = read_answer(value, task, where)
    return found
