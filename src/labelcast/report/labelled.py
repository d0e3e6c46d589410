"""The labelled examples of low confidence, as the report's table shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from labelcast.labels.notes import load_notes
from labelcast.labels.store import Label, read_draws, read_labels
from labelcast.report.confidence import scored_rows
from labelcast.report.formatting import Shown, seconds_of, shorten
from labelcast.runs.run import Run
from labelcast.tasks.prompts import input_names

MOST = 200
"""Examples that the table shows."""

TEXT, SHORT = 400, 80
"""Characters of a text and of an answer or id that are shown."""


@dataclass(frozen=True)
class LabelledExample:
    """One example.

    Attributes:
        number: its row, from 1.
        id: of the example.
        texts: of its input fields.
        answer: the label.
        said: what the model answered, None where unknown.
        confidence: of the model, None where unknown.
        mean_cosine: to the others, None where not measured.
        note: of the person who labelled, None without one.
        unsure: whether that person was.
    """

    number: int
    id: Shown
    texts: tuple[Shown, ...]
    answer: Shown
    said: Shown | None
    confidence: float | None
    mean_cosine: float | None
    note: Shown | None
    unsure: bool


@dataclass(frozen=True)
class Labelled:
    """The labelled examples.

    Attributes:
        fields: names of the input fields.
        rows: those that are shown.
        count: how many there are.
        drawn: how many were drawn to be labelled.
        skipped: drawn examples that the person skipped.
        seconds: median time for one label, None where unknown.
        numbers: row numbers by id.
    """

    fields: tuple[Shown, ...]
    rows: tuple[LabelledExample, ...]
    count: int
    drawn: int
    skipped: int
    seconds: float | None
    numbers: Mapping[str, int]


def read_labelled(run: Run, means: Mapping[str, float]) -> Labelled:
    """The labelled examples of low confidence of a run.

    Args:
        run: with labels or without.
        means: mean cosine to the others by id.

    Raises:
        InputError: a file is damaged.
    """
    task = run.task
    names = input_names(task)
    kept = [row for row in read_labels(run) if row.set == "low"]
    shown = kept[:MOST]
    scores = scored_rows(run, (row.id for row in shown)) if shown else {}
    remarks = {name: dict(remark) for name, remark in load_notes(run).items()}
    drawn = [draw.id for draw in read_draws(run, ["low"])]
    times = [_seconds(remarks[key]) for key in drawn if key in remarks]
    known = [time for time in times if time is not None]
    rows = tuple(
        _example(number, row, names, scores, remarks, means) for number, row in enumerate(shown, 1)
    )
    return Labelled(
        fields=tuple(shorten(name, SHORT) for name in names),
        rows=rows,
        count=len(kept),
        drawn=max(len(drawn), len(kept)),
        skipped=sum(bool(remarks.get(key, {}).get("skipped")) for key in drawn),
        seconds=median(known) if known else None,
        numbers={row.id: number for number, row in enumerate(shown, 1)},
    )


def _example(
    number: int,
    row: Label,
    names: list[str],
    scores: Mapping[str, dict[str, Any]],
    remarks: Mapping[str, dict[str, Any]],
    means: Mapping[str, float],
) -> LabelledExample:
    key = row.id
    score, remark = scores.get(key, {}), remarks.get(key, {})
    said, note = score.get("answer"), remark.get("note")
    return LabelledExample(
        number=number,
        id=shorten(key, SHORT),
        texts=tuple(shorten(row.fields[name], TEXT) for name in names),
        answer=shorten(row.answer, SHORT),
        said=None if said is None else shorten(str(said).strip(), SHORT),
        confidence=score.get("confidence"),
        mean_cosine=means.get(key),
        note=shorten(str(note), TEXT) if note else None,
        unsure=bool(remark.get("unsure")),
    )


def _seconds(remark: Mapping[str, Any]) -> float | None:
    return seconds_of(remark.get("seconds")) or None
