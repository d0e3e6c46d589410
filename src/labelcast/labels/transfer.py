"""Export the drawn examples to a file for another tool, and import the answers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from labelcast.errors import InputError
from labelcast.files.untrusted import refuse_target
from labelcast.labels import exchange
from labelcast.labels.label_task import LabelTask
from labelcast.runs import label_store as store
from labelcast.runs.run import Run
from labelcast.tasks.prompts import answer_name, flat_row, input_names, read_answer
from labelcast.tasks.sources import Record
from labelcast.tasks.values import as_text, content_hash


@dataclass(frozen=True)
class Imported:
    """What an import found.

    `taken` answers are new or changed (`changed` of them replaced another), the `same` were known
    already, `blank` records have none; `unmatched` has the places of those without an example.
    """

    taken: int
    changed: int
    same: int
    blank: int
    unmatched: tuple[str, ...]


@dataclass(frozen=True)
class Exported:
    """How many examples were written, and the tool's configuration file, if it has one."""

    rows: int
    config: Path | None


def read_file(run: Run, path: Path, file_format: str | None = None) -> Iterator[Record]:
    """The records of a label file, under the names of the run's fields."""
    return exchange.read(path, LabelTask.of(run.task), file_format)


def import_labels(run: Run, records: Iterable[Record]) -> Imported:
    """Save the answers of records, matched by the content of the input fields, else by id.

    Order, extra columns and missing rows do not matter. Nothing is saved if any answer is wrong.

    Raises:
        InputError: an answer is not allowed, or one example has two different answers.
    """
    answers, done = match_answers(run, records)
    if done.taken:
        store.save_labels(run, store.known_answers(run) | answers)
    return done


def match_answers(run: Run, records: Iterable[Record]) -> tuple[dict[str, str], Imported]:
    """The answers of records by the id of their example, and what importing them would change."""
    task, draws, known = run.task, store.read_draws(run), store.known_answers(run)
    by_content = {content_hash(draw.fields): draw.id for draw in draws}
    ids, name = {draw.id for draw in draws}, answer_name(task)
    found: dict[str, tuple[str, str]] = {}
    unmatched: list[str] = []
    blank = 0
    for record in records:
        drawn = _match(record, input_names(task), by_content)
        if drawn not in ids:
            own = record.values.get("id")
            unmatched.append(record.where + ("" if own is None else f" (id {str(own)[:40]})"))
            continue
        if name not in record.values:
            raise InputError(
                f"{record.where}: no answer field {name!r}. It has: {', '.join(record.values)}."
            )
        if store.is_blank(record.values[name]):
            blank += 1
            continue
        answer = read_answer(record.values[name], task, f"{record.where}, field {name!r}")
        first, place = found.setdefault(drawn, (answer, record.where))
        if first != answer:
            raise InputError(
                f"{record.where}: the example {drawn} is labelled {answer!r} here and "
                f"{first!r} at {place}. Keep one of the two."
            )
    answers = {key: answer for key, (answer, _) in found.items()}
    changed = sum(known.get(key, answer) != answer for key, answer in answers.items())
    same = sum(known.get(key) == answer for key, answer in answers.items())
    return answers, Imported(len(answers) - same, changed, same, blank, tuple(unmatched))


def export_rows(run: Run, only: Collection[str] | None = None) -> list[dict[str, str]]:
    """The drawn examples as rows to fill in: id, set, input fields, answer (where known)."""
    known, task = store.known_answers(run), run.task
    return [
        {"id": draw.id, "set": draw.set, **flat_row(draw.fields, task, known.get(draw.id))}
        for draw in store.read_draws(run, only)
    ]


def write_export(
    run: Run, path: Path, file_format: str, only: Collection[str] | None = None
) -> Exported:
    """Write the drawn examples of some sets (None: all) in one of `exchange.FORMATS`.

    Raises:
        InputError: nothing is drawn, the format cannot hold a text, or the file exists and
            replacing it would lose answers.
        RunError: the file cannot be written.
    """
    check_replaceable(run, path, file_format)
    store.require_drawn(run, only)
    rows = export_rows(run, only)
    return Exported(len(rows), exchange.write(path, file_format, rows, LabelTask.of(run.task)))


def check_replaceable(run: Run, path: Path, file_format: str) -> None:
    """Refuse to overwrite a file with answers that the run lacks, or another configuration."""
    refuse_target(path)
    config = exchange.config_file(path, file_format, LabelTask.of(run.task))
    if config is not None and config[0].exists() and config[0].read_bytes() != config[1].encode():
        raise InputError(f"{config[0]}: already exists and differs. Choose another name.")
    if not path.exists():
        return
    try:
        _, found = match_answers(run, read_file(run, path, file_format))
    except InputError as error:
        raise InputError(
            f"{path}: already exists and cannot be compared with this run ({error}) "
            "Choose another name."
        ) from None
    if found.unmatched:
        raise InputError(
            f"{path}: already exists and is no export of this run. Choose another name."
        )
    if found.taken:
        raise InputError(
            f"{path}: has {found.taken} answers that are not imported yet. Import them first "
            f"(`labelcast label {run.path} --import {path}`), or choose another name."
        )


def _match(record: Record, names: Sequence[str], by_content: Mapping[str, str]) -> str | None:
    """The id of the example with a record's content, else the record's own id, if any."""
    values = record.values
    if all(values.get(name) is not None for name in names):
        fields = {name: as_text(values[name], f"{record.where}, field {name!r}") for name in names}
        # Other content under a known id is another example, not a relabelled one.
        return by_content.get(content_hash(fields))
    own = values.get("id")
    return None if own is None else as_text(own, f"{record.where}, field 'id'")
