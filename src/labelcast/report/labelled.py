"""The labelled low-confidence examples, as the report's table shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from labelcast.labels.notes import Remark, load_remarks
from labelcast.labels.store import drawn_rows, label_rows
from labelcast.report.formatting import Shown, shorten
from labelcast.runs.run import Run
from labelcast.tasks.prompts import answer_name, input_names

MOST = 200
"""Examples in the table."""

TEXT, SHORT = 400, 80
"""Characters shown of a text, and of an answer or id."""


@dataclass(frozen=True)
class LabelledExample:
    """A row of the table; None if unknown. `mean_cosine` is that to the other examples."""

    number: int
    id: Shown
    texts: tuple[Shown, ...]
    answer: Shown
    model_answer: Shown | None
    confidence: float | None
    mean_cosine: float | None
    note: Shown | None
    unsure: bool


@dataclass(frozen=True)
class LabelledExamples:
    """The labelled examples.

    Attributes:
        fields: names of the input fields.
        rows: those in the table.
        count, drawn, skipped: how many are labelled, were drawn for it, were skipped by the person.
        seconds: median time per label, None if unknown.
        numbers: row numbers by id.
    """

    fields: tuple[Shown, ...]
    rows: tuple[LabelledExample, ...]
    count: int
    drawn: int
    skipped: int
    seconds: float | None
    numbers: Mapping[str, int]


def read_labelled(run: Run, mean_cosines: Mapping[str, float]) -> LabelledExamples:
    """The labelled low-confidence examples of a run; `mean_cosines` is by id."""
    names, answer = input_names(run.task), answer_name(run.task)
    labels = [row for row in label_rows(run) if row["set"] == "low"]
    table, rows = run.file("confidence.parquet"), []
    answers = {}
    if table.exists():
        from labelcast.runs.pool import read_model_answers

        answers = read_model_answers(table, [row["id"] for row in labels[:MOST]])
    remarks = load_remarks(run)
    for number, row in enumerate(labels[:MOST], 1):
        model, remark = answers.get(row["id"]), remarks.get(row["id"], Remark(id=row["id"]))
        said = None if model is None else model.answer
        rows.append(
            LabelledExample(
                number=number,
                id=shorten(row["id"], SHORT),
                texts=tuple(shorten(str(row.get(name, "")), TEXT) for name in names),
                answer=shorten(row[answer], SHORT),
                model_answer=None if said is None else shorten(said.strip(), SHORT),
                confidence=None if model is None else model.confidence,
                mean_cosine=mean_cosines.get(row["id"]),
                note=shorten(remark.note, TEXT) if remark.note else None,
                unsure=remark.unsure,
            )
        )
    drawn = [row["id"] for row in drawn_rows(run) if row["set"] == "low"]
    of_drawn = [remarks[key] for key in drawn if key in remarks]
    times = [remark.seconds for remark in of_drawn if remark.seconds]
    return LabelledExamples(
        fields=tuple(shorten(name, SHORT) for name in names),
        rows=tuple(rows),
        count=len(labels),
        drawn=max(len(drawn), len(labels)),
        skipped=sum(remark.skipped for remark in of_drawn),
        seconds=median(times) if times else None,
        numbers={row["id"]: number for number, row in enumerate(labels[:MOST], 1)},
    )
