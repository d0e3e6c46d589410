"""Scoring a pool of any size into a run folder: in shards, resumable, in constant memory.

The pool is read once before the model runs, so that a broken record is found in seconds and not
after an hour. What is kept of each example meanwhile is a row of numbers.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from labelcast.errors import InputError, LabelcastWarning
from labelcast.runs.files import disk_faults, write_with
from labelcast.runs.run import Run
from labelcast.tasks.prompts import Example, content_id, examples
from labelcast.tasks.sources import Source
from labelcast.tasks.task import Task

if TYPE_CHECKING:
    from labelcast.models.loading import LanguageModel

SHARD = 512
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("index", pa.int64()),
        ("confidence", pa.float64()),
        ("perplexity", pa.float64()),
        ("answer", pa.string()),
        ("answer_tokens", pa.int32()),
        ("token_probabilities", pa.list_(pa.float32())),
        ("margin", pa.float32()),
        ("flag", pa.string()),
    ]
)


@dataclass(frozen=True)
class Survey:
    """What a first reading of a pool found.

    Attributes:
        size: number of examples.
        digest: hash of the contents and own ids in order, the same whatever the file format.
        duplicates: positions whose content stood before them already.
    """

    size: int
    digest: str
    duplicates: frozenset[int]


def survey(source: Source, task: Task | None) -> Survey:
    """Read a pool once: count it, check every record, find what stands there twice.

    Raises:
        InputError: a broken record, or two records with one id.
    """
    contents, ids = array("Q"), array("Q")
    digest = hashlib.sha256()
    has_ids = False
    for content, own in content_id(source, task):
        contents.append(int(content, 16))
        digest.update(content.encode())
        if own is not None:
            has_ids = True
            digest.update(json.dumps(own).encode())
            ids.append(int.from_bytes(hashlib.blake2b(own.encode(), digest_size=8).digest()))
    if has_ids:
        for position in _repeats(ids):
            first = ids.index(ids[position])
            raise InputError(
                f"{source.spec}: records {first + 1} and {position + 1} have the same id. "
                "Make the ids different, or drop the field."
            )
    repeats = _repeats(contents)
    return Survey(len(contents), digest.hexdigest()[:16], frozenset(repeats))


def _repeats(hashes: array[int]) -> list[int]:
    """Positions of values that stood before, in order."""
    values = np.frombuffer(hashes, dtype=np.uint64)
    _, first = np.unique(values, return_index=True)
    again = np.ones(len(values), dtype=bool)
    again[first] = False
    return [int(position) for position in np.flatnonzero(again)]


def score_pool(
    run: Run,
    lm: LanguageModel,
    source: Source,
    found: Survey,
    task: Task | None,
    *,
    batch_size: int,
    max_new_tokens: int,
    progress: Callable[[int], None] = lambda done: None,
) -> Path:
    """Score every example of a pool into `RUN/confidence.parquet`.

    Killed at any moment, the same call goes on after the last whole shard, and the file is the
    same byte for byte.

    Returns:
        The path of the table.
    """
    target = run.file("confidence.parquet")
    if _whole(target, found.size):
        progress(found.size)
        _remove_parts(run)
        return target
    parts: list[Path] = []
    stream = examples(source, task, lm.render)
    for number, shard in enumerate(_shards(stream)):
        part = run.file(f"confidence/part-{number:06d}.parquet")
        parts.append(part)
        if _whole(part, len(shard)):
            progress(len(shard))
            continue
        table = _score_shard(lm, shard, found, batch_size, max_new_tokens, progress)
        write_with(part, partial(_write, tables=[table]))
    write_with(target, lambda path: _write(path, (pq.read_table(part) for part in parts)))
    _remove_parts(run)
    return target


def _remove_parts(run: Run) -> None:
    folder = run.file("confidence")
    with disk_faults(folder):
        if folder.exists():
            shutil.rmtree(folder)


def read_column(path: Path, name: str) -> NDArray[Any]:
    """One column of a scored pool; missing numbers are NaN.

    Raises:
        InputError: the file is missing or damaged.
    """
    column: NDArray[Any] = _read(path, [name])[name].to_numpy()
    return column


def read_rows(path: Path, ids: Iterable[str], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Some columns of a scored pool by the ids of some examples; unknown ids are left out.

    Raises:
        InputError: the file is missing or damaged.
    """
    wanted = pa.array(sorted(set(ids)), pa.string())
    table = _read(path, ["id", *names])
    rows = table.filter(pc.is_in(table["id"], value_set=wanted)).to_pylist()
    return {str(row["id"]): row for row in rows}


def _read(path: Path, names: list[str]) -> pa.Table:
    fault = "other columns than it should have"
    try:
        table = pq.read_table(path, columns=names, page_checksum_verification=True)
        if table.schema.equals(pa.schema([_SCHEMA.field(name) for name in names])):
            return table
    except (pa.ArrowException, OSError) as error:
        fault = " ".join(str(error).split())[:120]
    raise InputError(f"{path}: damaged or missing ({fault}). Run the same `labelcast score` again.")


def pickable(path: Path) -> NDArray[np.float64]:
    """Confidence by position, NaN for what must never be picked."""
    confidence = read_column(path, "confidence").astype(np.float64)
    flags = read_column(path, "flag")
    skipped = int(np.sum(flags == "too_long"))
    if skipped:
        warnings.warn(
            f"{skipped} prompts do not fit the model's context; they are flagged and not picked.",
            LabelcastWarning,
            stacklevel=2,
        )
    confidence[(flags == "duplicate") | (flags == "too_long")] = np.nan
    return confidence


def fetch(
    source: Source, task: Task | None, positions: Sequence[int], render: Any = None
) -> list[Example]:
    """The examples at some positions of a source, in the order of `positions`."""
    wanted = {int(position) for position in positions}
    render = render or (lambda instruction, user: user)
    found: dict[int, Example] = {}
    for example in examples(source, task, render):
        if example.index in wanted:
            found[example.index] = example
            if len(found) == len(wanted):
                break
    missing = wanted - found.keys()
    if missing:
        raise InputError(f"{source.spec}: record {min(missing) + 1} is no longer there.")
    return [found[int(position)] for position in positions]


def _shards(stream: Iterator[Example]) -> Iterator[list[Example]]:
    while shard := list(islice(stream, SHARD)):
        yield shard


def _score_shard(
    lm: LanguageModel,
    shard: Sequence[Example],
    found: Survey,
    batch_size: int,
    max_new_tokens: int,
    progress: Callable[[int], None],
) -> pa.Table:
    # Imported here because drawing and labelling do without torch.
    from labelcast.probe.confidence import score_confidence

    scored = score_confidence(
        lm,
        [example.prompt for example in shard],
        batch_size=batch_size,
        max_new_tokens=max_new_tokens,
        progress=progress,
    )
    rows = []
    for example, value in zip(shard, scored, strict=True):
        row = asdict(value) | {"id": example.id, "index": example.index}
        if example.index in found.duplicates and not value.flag:
            row["flag"] = "duplicate"
        for name in ("confidence", "perplexity", "margin"):
            row[name] = None if np.isnan(row[name]) else row[name]
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def _write(path: Path, tables: Any) -> None:
    with pq.ParquetWriter(path, _SCHEMA, write_page_checksum=True) as writer:
        for table in tables:
            writer.write_table(table)


def _whole(path: Path, rows: int) -> bool:
    """Whether a file is there, undamaged, with that many rows."""
    if not path.exists():
        return False
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as table:
            found = sum(batch.num_rows for batch in table.iter_batches())
            return bool(table.schema_arrow.equals(_SCHEMA)) and found == rows
    except (pa.ArrowException, OSError):
        return False
