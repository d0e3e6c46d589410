"""Export the drawn examples to a file for another tool, and import the answers."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import RootModel

from labelcast.errors import InputError
from labelcast.files.atomic import make_folder
from labelcast.files.json_files import disk_faults, write_json, write_text
from labelcast.files.untrusted import refuse_run_file, refuse_target
from labelcast.labels import exchange
from labelcast.labels.gold import drop_gold
from labelcast.labels.label_task import LabelTask
from labelcast.runs import label_store as store
from labelcast.runs.label_store import DrawnExample
from labelcast.runs.records import parse_file
from labelcast.runs.run import Run
from labelcast.tasks.prompts import answer_name, flat_row, input_names, read_answer
from labelcast.tasks.sources import Record
from labelcast.tasks.task import Task
from labelcast.tasks.values import as_text, content_hash, field_or, need_field

_WRITTEN = "exports.json"
_Exports = RootModel[dict[str, list[str]]]


@dataclass(frozen=True)
class Imported:
    """What an import found.

    `taken` answers are new or changed (`changed` of them replaced another), the `same` were known
    already, `blank` records have none; `unmatched` has the places of those without an example.
    `lost` of these have an answer.
    """

    taken: int
    changed: int
    same: int
    blank: int
    unmatched: tuple[str, ...]
    lost: int


def read_file(run: Run, path: Path, file_format: str | None = None) -> Iterator[Record]:
    """The records of a label file, under the names of the run's fields."""
    return exchange.read(path, LabelTask.of(run.task), file_format)


def import_labels(run: Run, records: Iterable[Record]) -> Imported:
    """Save the answers of records, matched by the content of the input fields, else by id.

    Order, extra columns, missing rows, other white space and other Unicode normal forms do not
    matter. Nothing is saved if any answer is wrong.

    Raises:
        InputError: an answer is not allowed, or one example has two different answers.
    """
    task, known, name = run.task, store.known_answers(run), answer_name(run.task)
    matcher = _Matcher(store.read_draws(run), task)
    found: dict[str, tuple[str, str]] = {}
    unmatched: list[str] = []
    blank = lost = 0
    for record in records:
        drawn = matcher.find(record)
        if drawn is None:
            own = record.values.get("id")
            lost += not store.is_blank(field_or(record.values, name))
            unmatched.append(record.where + ("" if own is None else f" (id {str(own)[:40]})"))
            continue
        value = need_field(record.values, name, record.where)
        if store.is_blank(value):
            blank += 1
            continue
        answer = read_answer(value, task, f"{record.where}, field {name!r}")
        first, place = found.setdefault(drawn, (answer, record.where))
        if first != answer:
            raise InputError(
                f"{record.where}: the example {drawn} is labelled {answer!r} here and "
                f"{first!r} at {place}. Keep one of the two."
            )
    answers = {key: answer for key, (answer, _) in found.items()}
    changed = sum(known.get(key, answer) != answer for key, answer in answers.items())
    same = sum(known.get(key) == answer for key, answer in answers.items())
    if same < len(answers):
        store.save_labels(run, known | answers)
        drop_gold(run, {key for key, answer in answers.items() if known.get(key) != answer})
    return Imported(len(answers) - same, changed, same, blank, tuple(unmatched), lost)


def export_rows(
    run: Run, only: Collection[str] | None = None, *, named: bool = False
) -> list[dict[str, str]]:
    """The drawn examples as rows to fill in: id, set, input fields, answer (where known).

    An answer with a name is written as its value in the data, or as its name if `named`.
    """
    known, task = store.known_answers(run), run.task
    rows = []
    for draw in store.read_draws(run, only):
        answer = known.get(draw.id)
        row = {"id": draw.id, "set": draw.set, **flat_row(draw.fields, task, answer)}
        rows.append(row | ({answer_name(task): answer} if named and answer else {}))
    return rows


def write_export(
    run: Run,
    path: Path,
    file_format: str,
    only: Collection[str] | None = None,
    *,
    force: bool = False,
) -> int:
    """Write the drawn examples of some sets (None: all) in one of `exchange.FORMATS`.

    Returns:
        The number of examples.

    Raises:
        InputError: nothing is drawn, the format cannot hold a text, or a file is in the way (see
            `check_replaceable`; `force` replaces it).
        RunError: the file cannot be written.
    """
    check_replaceable(run, path, file_format, force=force)
    store.require_drawn(run, only)
    # The tools offer the names as choices.
    rows = export_rows(run, only, named=file_format not in ("jsonl", "csv"))
    texts = exchange.texts(path, file_format, rows, LabelTask.of(run.task))
    with disk_faults(path):
        make_folder(path.parent)
    known = _written(run)
    for file, text in texts.items():
        # The old digest stays, in case of a kill before the file is replaced.
        name = _name(run, file)
        known[name] = [*dict.fromkeys([*known.get(name, []), _digest(text.encode())])][-2:]
    write_json(run.file(_WRITTEN), known)
    for file, text in texts.items():
        write_text(file, text)
    return len(rows)


def check_replaceable(run: Run, path: Path, file_format: str, *, force: bool = False) -> None:
    """Refuse to overwrite a file that is not an export of this run, or was edited since.

    `exports.json` in the run keeps the digests of what was written, by path.
    """
    refuse_target(path)
    config, known = exchange.config_path(path, file_format), _written(run)
    if force:
        return
    for file in (path, config) if config else (path,):
        name = _name(run, file)
        if not file.exists():
            refuse_run_file(file)
        elif name not in known:
            raise InputError(
                f"{file}: already exists and is not an export of this run. Choose another name, or "
                "replace it with --force."
            )
        elif _digest(file.read_bytes()) not in known[name]:
            raise InputError(
                f"{file}: was edited since it was exported. Import its answers "
                f"(`labelcast label {run.path} --import {file}`). Then choose another name, or "
                "replace it with --force."
            )


def _written(run: Run) -> dict[str, list[str]]:
    path = run.file(_WRITTEN)
    return parse_file(_Exports, path, "Delete that file.").root if path.exists() else {}


def _name(run: Run, file: Path) -> str:
    """A path as the run keeps it: relative, so that both can move together."""
    return os.path.relpath(file.resolve(), run.path.resolve())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


class _Matcher:
    """Finds the drawn example that a record is about."""

    def __init__(self, draws: Sequence[DrawnExample], task: Task | None):
        inputs = task.inputs if task else ()
        self._names = input_names(task)
        self._optional = {item.field for item in inputs if item.optional}
        self._marks = {item.field: item.items for item in inputs}
        self._ids = {draw.id for draw in draws}
        self._by_content = {content_hash(draw.fields): draw.id for draw in draws}
        self._by_words: dict[str, list[str]] = {}
        for draw in draws:
            self._by_words.setdefault(_words_hash(draw.fields), []).append(draw.id)

    def find(self, record: Record) -> str | None:
        """The id of the example with a record's content, else with the record's own id.

        White space and Unicode normal forms, which spreadsheets change, may differ. Other content
        under a known id is another example, not a relabelled one.
        """
        own = record.values.get("id")
        own = None if own is None else as_text(own, f"{record.where}, field 'id'")
        values = {name: field_or(record.values, name) for name in self._names}
        missing = {name for name, value in values.items() if value is None}
        by_id = own if missing and own in self._ids else None
        if missing - self._optional or len(missing) == len(values):
            return by_id
        values |= dict.fromkeys(missing, "")
        fields = {
            name: as_text(value, f"{record.where}, field {name!r}", self._marks.get(name))
            for name, value in values.items()
        }
        exact = self._by_content.get(content_hash(fields))
        alike = self._by_words.get(_words_hash(fields), [])
        if exact is not None:
            return exact
        if own in alike:
            return own
        return alike[0] if len(alike) == 1 else by_id


def _words_hash(fields: Mapping[str, str]) -> str:
    """A content hash that is the same with other white space or in another normal form."""
    words = {
        name: " ".join(unicodedata.normalize("NFKC", text).split()) for name, text in fields.items()
    }
    return content_hash(words)
