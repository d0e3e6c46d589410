"""A case of bad input: a command, its files and what the message must say."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from command_line import Models


def lines(*records: Any) -> str:
    """Records as JSON lines."""
    return "".join(json.dumps(record) + "\n" for record in records)


def parquet(**columns: Any) -> bytes:
    """Columns as the bytes of a Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def nested(depth: int) -> str:
    """Lists inside lists."""
    return "[" * depth + "]" * depth


WORDS = [{"text": f"word {number}"} for number in range(40)]
LABELLED = [{"text": f"word {n}", "label": "yes" if n % 2 else "no"} for n in range(8)]
TASK = "name: t\ninstruction: Say it.\ninputs: [text]\nanswer: label\nanswers: [yes, no]\n"
SCORE = "score FILE --task task.yaml --model TINY --out new --n-label 8 --max-new-tokens 4"
AGAIN = "score pool.jsonl --task task.yaml --model TINY --out run --n-label 8 --max-new-tokens 4"
COSLOW = "coslow FILE --task task.yaml --model TINY"
WITH_TASK = "score pool.jsonl --task FILE --model TINY --out new --n-label 8"
IMPORT = "label run --import FILE"
KNOWN = "forecast --coslow 0.4 --calibration pooled"
MODEL = "score pool.jsonl --task task.yaml --out new --n-label 8 --model"

# Items of Label Studio, Prodigy and Argilla.
STUDIO = {"data": {"text": "word 1"}, "annotations": [{"result": []}]}
CHOICE = {"text": "word 1", "options": [{"id": "yes", "text": "yes"}], "answer": "accept"}
RECORD = {"id": "1", "fields": {"text": "word 1"}, "responses": {"label": []}}


@dataclass(frozen=True)
class Case:
    """A command, the file it is about, and what its message must say.

    `FILE` in the command is replaced by the file's name; TINY, OTHER and PLAIN by model folders.
    """

    name: str
    command: str
    says: tuple[str, ...]
    file: str = ""
    content: str | bytes | None = None
    more: dict[str, str | bytes] = field(default_factory=dict)


def pool(name: str, file: str, content: str | bytes, *says: str) -> Case:
    return Case(f"pool: {name}", SCORE, says, file, content)


def labelled(name: str, content: str | bytes, *says: str, file: str = "l.jsonl") -> Case:
    return Case(f"labelled: {name}", COSLOW, says, file, content)


def task(name: str, content: str | bytes, *says: str) -> Case:
    return Case(f"task: {name}", WITH_TASK, ("bad.yaml", *says), "bad.yaml", content)


def foreign(name: str, record: Any, *says: str, form: str = "") -> Case:
    """A label file of another tool whose third record is wrong."""
    option = f" --format {form}" if form else ""
    good = STUDIO if "data" in record else CHOICE if "text" in record else RECORD
    content = json.dumps([good, good, record])
    return Case(f"import: {name}", IMPORT + option, ("a.json record 3", *says), "a.json", content)


def plain(name: str, command: str, *says: str, **more: str | bytes) -> Case:
    """A command; `more` are files by their paths, with `__` for `/` and `_dot_` for a dot."""
    files = {key.replace("__", "/").replace("_dot_", "."): value for key, value in more.items()}
    return Case(name, command, says, more=files)


def prepared(case: Case, models: Models) -> list[str]:
    """Write a case's files into the working folder; its command, split into words."""
    files = dict(case.more)
    if case.content is not None:
        files[case.file] = case.content
    for name, content in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    names = {"TINY": str(models.tiny), "OTHER": str(models.other), "PLAIN": str(models.plain)}
    words = (word.replace("FILE", case.file) for word in case.command.split())
    return [names.get(word, word) for word in words]
