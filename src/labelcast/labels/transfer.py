"""Files that the drawn examples leave and come back by, for labelling in other tools."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from labelcast.errors import InputError
from labelcast.files.untrusted import refuse_target
from labelcast.labels import exchange
from labelcast.labels.store import SETS, export_rows, known_answers, read_answers
from labelcast.runs.run import Run
from labelcast.tasks.prompts import answer_name, input_names
from labelcast.tasks.sources import Record
from labelcast.tasks.task import Task


@dataclass(frozen=True)
class Exported:
    """How many examples were written, and the second file, where the form has one."""

    rows: int
    config: Path | None


def sheet(task: Task | None) -> exchange.Sheet:
    """What whoever labels is asked."""
    fields, answer = tuple(input_names(task)), answer_name(task)
    if task is None:
        return exchange.Sheet(f"Give {answer}.", fields, fields, answer)
    titles = tuple(item.label or item.field for item in task.inputs)
    return exchange.Sheet(task.instruction.strip(), fields, titles, answer, task.answers)


def read_file(run: Run, path: Path, form: str | None = None) -> Iterator[Record]:
    """The records of a label file, by the names of the run's fields, as `import_labels` takes them.

    Raises:
        InputError: the file is missing, broken, or of no known form.
    """
    return exchange.read(path, sheet(run.task), form)


def check_replaceable(run: Run, path: Path, form: str) -> None:
    """Refuse to replace a file that holds more than the run does.

    Raises:
        InputError: it holds answers that are not imported, or other records; the second file of
            the form is there and is another; or no file can be written there.
    """
    refuse_target(path)
    second = exchange.companion(path, form, sheet(run.task))
    if second is not None and second[0].exists() and second[0].read_bytes() != second[1].encode():
        raise InputError(f"{second[0]}: is there already and is another. Choose another name.")
    if not path.exists():
        return
    known = known_answers(run)
    try:
        answers, _, unmatched = read_answers(run, read_file(run, path, form))
    except InputError as error:
        raise InputError(
            f"{path}: is there already and cannot be compared with this run ({error}) "
            "Choose another name."
        ) from None
    new = sum(known.get(key) != answer for key, answer in answers.items())
    if unmatched:
        raise InputError(
            f"{path}: is there already and is no export of this run. Choose another name."
        )
    if new:
        raise InputError(
            f"{path}: holds {new} answers that are not imported yet. Import them first "
            f"(`labelcast label {run.path} --import {path}`), or choose another name."
        )


def write_export(run: Run, path: Path, form: str, only: Sequence[str] = SETS) -> Exported:
    """Write the drawn examples to a file to be labelled elsewhere.

    Args:
        run: the run.
        path: of the file.
        form: one of `exchange.FORMS`.
        only: which sets.

    Raises:
        InputError: nothing is drawn, the form cannot hold a text, or the file is there and
            replacing it would lose answers.
        RunError: the file cannot be written.
    """
    check_replaceable(run, path, form)
    rows = export_rows(run, only)
    if not rows:
        raise InputError(f"{run.path}: nothing has been drawn for {', '.join(only)}.")
    return Exported(len(rows), exchange.write(path, form, rows, sheet(run.task)))
