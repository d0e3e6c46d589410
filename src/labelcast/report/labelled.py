"""The labelled low-confidence examples, as the report's table shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from labelcast.labels.notes import ExampleNotes, load_notes
from labelcast.report.formatting import Shown, shorten
from labelcast.runs.label_store import read_draws, read_labels
from labelcast.runs.pool import ModelAnswer, read_model_answers
from labelcast.runs.run import Run
from labelcast.tasks.prompts import input_names

MOST = 200
"""Examples in the table."""

TEXT, SHORT = 400, 80
"""Characters shown of a text, and of an answer or id."""


@dataclass(frozen=True)
class LabelledExample:
    """A row of the table; None if unknown. `mean_cosine` is over the other examples."""

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
    """The labelled examples: `rows` are those in the table, with their `numbers` by id.

    `count` examples are labelled of those `drawn`, and the labeller skipped some; `seconds` is the
    median time per label.
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
    names = input_names(run.task)
    labels = [label for label in read_labels(run) if label.set == "low"]
    table, rows, notes = run.file("confidence.parquet"), [], load_notes(run)
    numbers = {label.id: number for number, label in enumerate(labels[:MOST], 1)}
    answers = read_model_answers(table, numbers) if table.exists() else {}
    for label in labels[:MOST]:
        model = answers.get(label.id, ModelAnswer(None, None))
        own = notes.get(label.id, ExampleNotes(id=label.id))
        rows.append(
            LabelledExample(
                number=numbers[label.id],
                id=shorten(label.id, SHORT),
                texts=tuple(shorten(label.fields[name], TEXT) for name in names),
                answer=shorten(label.answer, SHORT),
                model_answer=None if model.answer is None else shorten(model.answer.strip(), SHORT),
                confidence=model.confidence,
                mean_cosine=mean_cosines.get(label.id),
                note=shorten(own.note, TEXT) if own.note else None,
                unsure=own.unsure,
            )
        )
    drawn = [draw.id for draw in read_draws(run, ["low"])]
    of_drawn = [notes[key] for key in drawn if key in notes]
    times = [one.seconds for one in of_drawn if one.seconds]
    return LabelledExamples(
        fields=tuple(shorten(name, SHORT) for name in names),
        rows=tuple(rows),
        count=len(labels),
        drawn=max(len(drawn), len(labels)),
        skipped=sum(one.skipped for one in of_drawn),
        seconds=median(times) if times else None,
        numbers=numbers,
    )
