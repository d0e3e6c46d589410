"""Label files of other tools: JSONL, CSV and Label Studio's JSON, out and in.

Knows the forms of files; knows no run and no task.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from labelcast.errors import InputError
from labelcast.runs.files import write_jsonl, write_text
from labelcast.tasks.sources import Record, open_source, parse_json
from labelcast.tasks.values import as_text

FORMS = ("jsonl", "csv", "label-studio")
_ENDINGS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".json": "label-studio"}


def form_of(path: Path, wanted: str | None) -> str:
    """The form that is meant: the one named, else by the file's ending.

    Raises:
        InputError: an unknown form or ending.
    """
    form = wanted or _ENDINGS.get(path.suffix.lower())
    if form not in FORMS:
        raise InputError(
            f"{path}: in which form? Give --format {', '.join(FORMS)}, "
            f"or a name that ends in {', '.join(_ENDINGS)}."
        )
    return form


def write(path: Path, form: str, rows: Sequence[dict[str, str]], answer: str) -> None:
    """Write rows (id, set, input fields, answer) in a form of `FORMS`."""
    if form == "csv":
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, fieldnames=list(rows[0]))
        table.writeheader()
        table.writerows(rows)
        # With a byte order mark, spreadsheets read it as UTF-8.
        write_text(path, "\ufeff" + text.getvalue())
    elif form == "label-studio":
        tasks = [_studio_task(row, answer) for row in rows]
        write_text(path, json.dumps(tasks, ensure_ascii=False, indent=1) + "\n")
    else:
        write_jsonl(path, rows)


def read(path: Path, answer: str) -> Iterator[Record]:
    """The records of a label file; Label Studio's nesting is undone.

    Raises:
        InputError: the file is missing, broken, or of no known form.
    """
    if path.suffix.lower() == ".json" and path.is_file():
        yield from _read_json(path, answer)
    else:
        yield from open_source(path).records()


def _studio_task(row: dict[str, str], answer: str) -> dict[str, Any]:
    data = {key: value for key, value in row.items() if key != answer}
    task: dict[str, Any] = {"data": data}
    if row[answer]:
        value = {"choices": [row[answer]]}
        result = {"from_name": answer, "to_name": "text", "type": "choices", "value": value}
        task["annotations"] = [{"result": [result]}]
    return task


def _read_json(path: Path, answer: str) -> Iterator[Record]:
    try:
        content = parse_json(path.read_bytes().removeprefix(b"\xef\xbb\xbf"), path.name)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error.reason}).") from None
    if not isinstance(content, list):
        raise InputError(f"{path}: a label file in JSON is an array of records.")
    if not content:
        raise InputError(f"{path}: no records in it.")
    for index, item in enumerate(content):
        where = f"{path.name} record {index + 1}"
        if not isinstance(item, dict):
            raise InputError(f"{where}: a record must be an object with named fields.")
        values = item
        if isinstance(item.get("data"), dict):
            values = dict(item["data"]) | {answer: _studio_answer(item, where)}
        yield Record(index, where, values)


def _studio_answer(item: dict[str, Any], where: str) -> str | None:
    """The answer in a Label Studio task: a choice, or the text of a text area; None if none.

    Raises:
        InputError: people gave different answers.
    """
    answers: list[str] = []
    for annotation in _list(item.get("annotations") or item.get("completions")):
        if not isinstance(annotation, dict) or annotation.get("was_cancelled"):
            continue
        for result in _list(annotation.get("result")):
            value = result.get("value") if isinstance(result, dict) else None
            if isinstance(value, dict):
                for key in ("choices", "text", "number"):
                    answers += [as_text(entry, where) for entry in _list(value.get(key))]
    if len(set(answers)) > 1:
        raise InputError(
            f"{where}: several answers ({', '.join(sorted(set(answers))[:4])}). Keep one."
        )
    return answers[0] if answers else None


def _list(value: Any) -> list[Any]:
    """The value as a list: one thing is a list of it, nothing an empty one."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
