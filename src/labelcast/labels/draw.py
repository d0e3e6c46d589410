"""Draw more examples of a run's pool, and take labels that the pool already has."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from labelcast.errors import InputError, LabelcastWarning
from labelcast.labels.gold import add_gold
from labelcast.runs import label_store as store
from labelcast.runs.label_store import DrawnExample, ExampleSet
from labelcast.runs.pool import fetch, open_pool, pickable
from labelcast.runs.run import Run
from labelcast.runs.select import Inputs, choose_more
from labelcast.selection.coslow_draws import draw_random
from labelcast.tasks.prompts import read_answer, usable_records
from labelcast.tasks.values import need_field


@dataclass(frozen=True)
class GoldCounts:
    """How many examples took their record's answer, kept their label, or have no answer."""

    taken: int
    kept: int
    blank: int


def left_to_draw(run: Run) -> int:
    """How many examples of the pool can still be drawn; duplicates and long prompts never are."""
    table, never = run.file("confidence.parquet"), 0
    if table.exists():
        with warnings.catch_warnings(action="ignore", category=LabelcastWarning):
            never = int(np.isnan(pickable(table)).sum())
    return run.facts.size - never - len(store.draws_so_far(run))


def draw_more(
    run: Run,
    counts: Mapping[str, int],
    *,
    gold: str | None = None,
    only: Collection[str] | None = None,
    inputs: Inputs | None = None,
) -> list[DrawnExample]:
    """Draw more examples, none of which was drawn before. All are drawn or none.

    `counts` has the number for each set, in the order of the draws: ``random`` and ``test`` are
    drawn at random, any other training set is chosen by the method it is named after, which may
    use `inputs`. With a field `gold`, nothing is drawn if `take_gold` would then fail.

    Raises:
        InputError: the pool is not scored yet, has too few examples left, or has changed; no such
            method, what it needs is missing, or the run has no test set yet.
    """
    before = store.read_draws(run)
    confidence = pickable(run.file("confidence.parquet"))
    taken = [*np.flatnonzero(np.isnan(confidence)).tolist(), *(draw.index for draw in before)]
    batch = max((draw.batch for draw in before), default=0)
    places: dict[int, tuple[str, int]] = {}
    for name, count in counts.items():
        batch += 1
        seed = run.question.seed + batch
        if ExampleSet.named(name) in store.SETS:
            positions = draw_random(len(confidence), count, taken=taken, seed=seed).tolist()
        else:
            tested = {draw.set for draw in before} | {drawn for drawn, _ in places.values()}
            if "test" not in tested:
                raise InputError(
                    f"{run.path}: a test set is drawn at random, before {name} chooses; "
                    "draw the test set first: --test N."
                )
            positions = choose_more(
                run,
                name,
                count,
                taken=taken,
                chosen=[draw.index for draw in before if draw.set == name],
                seed=seed,
                inputs=inputs or Inputs(),
            )
        places |= dict.fromkeys(positions, (name, batch))
        taken += positions
    found = fetch(open_pool(run), run.task, [*places])
    draws = [DrawnExample.of(example, *places[example.index]) for example in found]
    if gold is not None:
        _gold_answers(run, gold, [d for d in (*before, *draws) if only is None or d.set in only])
    store.save_draws(run, [*before, *draws])
    return draws


def take_gold(run: Run, field: str, only: Collection[str] | None = None) -> GoldCounts:
    """Label the drawn examples of some sets with the answers in a field of the pool's records.

    Existing labels stay. Nothing is written if any answer is wrong. The caller holds the lock.

    Raises:
        InputError: a record lacks the field, its answer is not allowed, or the pool has changed.
    """
    known, draws = store.known_answers(run), store.read_draws(run, only)
    found = _gold_answers(run, field, draws)
    if found:
        # First, so that no label of the pool is taken for a person's after a kill.
        add_gold(run, field, found)
        store.save_labels(run, known | found)
    kept = sum(draw.id in known for draw in draws)
    return GoldCounts(len(found), kept, len(draws) - kept - len(found))


def _gold_answers(run: Run, field: str, draws: Sequence[DrawnExample]) -> dict[str, str]:
    """The answers in the records of unlabelled examples, by id, without the blank ones."""
    known = store.known_answers(run)
    wanted = {draw.index: draw.id for draw in draws if draw.id not in known}
    found: dict[str, str] = {}
    for record in usable_records(open_pool(run), run.task):
        # The field is checked also if everything is labelled.
        if record.index not in wanted and record.index > 0:
            continue
        value = need_field(record.values, field, f"--gold: {record.where}")
        if not wanted:
            break
        if record.index in wanted and not store.is_blank(value):
            answer = read_answer(value, run.task, f"{record.where}, field {field!r}")
            found[wanted[record.index]] = answer
    return found
