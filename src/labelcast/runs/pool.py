"""Score a pool of any size into a run folder: in shards, resumable, in nearly constant memory."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from labelcast.errors import InputError, LabelcastWarning, brief, is_out_of_memory
from labelcast.execution.shards import SCHEMA, ShardedPool, seal
from labelcast.files.json_files import disk_faults, write_with
from labelcast.runs.run import Run
from labelcast.tasks.metrics import share_allowed
from labelcast.tasks.prompts import Example, content_id, examples
from labelcast.tasks.sources import Source, open_source
from labelcast.tasks.task import Task

if TYPE_CHECKING:
    from labelcast.execution.pool_engines import Engine

SHARD = 512
"""Examples that are scored together: eight batches of 64, sorted by length. A kill loses these."""
_GROUP = 64
"""Shards in a row group of the table: one group per shard would make the file's index large."""


@dataclass(frozen=True)
class Survey:
    """What the first reading of a pool found."""

    size: int
    digest: str  # of the contents and ids in order, independent of the file format
    duplicates: AbstractSet[int]  # positions of examples whose content occurs earlier in the pool
    seals: Sequence[int]  # 64 bits for the content of each shard


def survey(source: Source, task: Task | None) -> Survey:
    """Read a pool once, before a model runs, and find duplicates.

    Raises InputError for a broken record, or two records with the same id.
    """
    contents, ids, seals = array("Q"), array("Q"), array("Q")
    digest = hashlib.sha256()
    shard: list[tuple[str, str]] = []
    for content, own in content_id(source, task):
        contents.append(int(content, 16))
        digest.update(content.encode())
        if own is not None:
            digest.update(json.dumps(own).encode())
            ids.append(int.from_bytes(hashlib.blake2b(own.encode(), digest_size=8).digest()))
        shard.append((content, content if own is None else own))
        if len(shard) == SHARD:
            seals.append(seal(shard))
            shard.clear()
    if shard:
        seals.append(seal(shard))
    for position in _repeats(ids):
        first = ids.index(ids[position])
        raise InputError(
            f"{source.spec}: records {first + 1} and {position + 1} have the same id. "
            "Make the ids different, or drop the field."
        )
    return Survey(len(contents), digest.hexdigest()[:16], frozenset(_repeats(contents)), seals)


def _repeats(hashes: array[int]) -> list[int]:
    values = np.frombuffer(hashes, dtype=np.uint64)
    _, first = np.unique(values, return_index=True)
    return np.delete(np.arange(len(values)), first).tolist()


def score_pool(
    run: Run,
    engine: Engine,
    source: Source,
    found: Survey,
    task: Task | None,
    *,
    batch_size: int,
    max_new_tokens: int,
    progress: Callable[[int], None] = lambda done: None,
) -> Path:
    """Score every example of a pool into `RUN/confidence.parquet`; returns its path.

    After a kill the same call resumes at the first missing shard, and the file has the same bytes.
    """
    target, folder = run.file("confidence.parquet"), run.file("confidence")
    if _is_complete(target, found.size):
        progress(found.size)
    else:
        work = ShardedPool(
            *(source, task, found.size, SHARD, found.seals, found.duplicates),
            *(batch_size, max_new_tokens),
        )
        parts = [folder / f"part-{n:06d}.parquet" for n in range(work.shards)]
        missing = [n for n, part in enumerate(parts) if not _is_complete(part, work.rows(n))]
        progress(found.size - sum(map(work.rows, missing)))
        if missing:
            engine.score(work, missing, lambda n, table: _write(parts[n], [table]), progress)
        groups = (parts[n : n + _GROUP] for n in range(0, len(parts), _GROUP))
        _write(target, (pa.concat_tables(map(_read, group)) for group in groups))
    with disk_faults(folder):
        if folder.exists():
            shutil.rmtree(folder)
    return target


class ModelAnswer(NamedTuple):
    """The model's answer to an example and its confidence, each None if unknown."""

    answer: str | None
    confidence: float | None


def read_model_answers(path: Path, ids: Iterable[str]) -> dict[str, ModelAnswer]:
    """The model's answers to some examples of a scored pool, by id; unknown ids are left out."""
    wanted = pa.array(sorted(set(ids)), pa.string())
    table = _read(path, ["id", "answer", "confidence"])
    rows = table.filter(pc.is_in(table["id"], value_set=wanted)).to_pylist()
    return {row["id"]: ModelAnswer(row["answer"], row["confidence"]) for row in rows}


def read_share_allowed(path: Path, task: Task | None) -> float | None:
    """How often the model's free answer is an allowed one, in [0, 1].

    None if any text is allowed, or if the model could not answer freely.
    """
    if task is None or not task.answers or task.constrain:
        return None
    table = _read(path, ["answer", "flag"])
    kept = table.filter(pc.not_equal(table["flag"], "too_long"))
    return share_allowed(kept["answer"].to_pylist(), task.answers)


def read_column(path: Path, name: str) -> NDArray[Any]:
    """One column of a scored pool; missing numbers are NaN."""
    column: NDArray[Any] = _read(path, [name])[name].to_numpy()
    return column


def _read(path: Path, names: Sequence[str] = SCHEMA.names) -> pa.Table:
    """Some columns of a table; raises InputError if it is missing or damaged."""
    with _opened(path) as file:
        found = file.schema_arrow
        if any(n not in found.names or found.field(n) != SCHEMA.field(n) for n in names):
            raise pa.ArrowInvalid("it does not have the expected columns")
        # In this thread: if memory is short, Arrow cannot start threads of its own and hangs.
        return file.read(columns=list(names), use_threads=False)


def pickable(path: Path) -> NDArray[np.float64]:
    """Confidence by position, [N]; NaN for examples that must not be picked."""
    table = _read(path, ["confidence", "flag"])
    confidence: NDArray[np.float64] = table["confidence"].to_numpy().astype(np.float64)
    never = pc.is_in(table["flag"], value_set=pa.array(["too_long", "duplicate"]))
    confidence[never.to_numpy()] = np.nan
    skipped = pc.sum(pc.equal(table["flag"], "too_long")).as_py()
    if skipped:
        warnings.warn(
            f"{skipped} prompts do not fit the model's context; they are flagged and not picked.",
            LabelcastWarning,
            stacklevel=2,
        )
    return confidence


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        # Absolute: Arrow takes a colon in a relative path for the end of a scheme, as in `s3:`.
        with pq.ParquetFile(path.absolute(), page_checksum_verification=True) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        if is_out_of_memory(error):
            raise MemoryError from None
        raise InputError(
            f"{path}: damaged or missing ({brief(error, 120)}). Run the same `labelcast score` "
            "again."
        ) from None


def open_pool(run: Run) -> Source:
    """The pool of a run; raises InputError if it is gone or has changed since it was scored."""
    pool = Path(run.facts.pool)
    kept = run.file(pool.name)  # standard input, in a run that may have moved
    try:
        source = open_source(kept if kept.is_file() and not pool.exists() else run.facts.pool)
    except InputError as error:
        if not pool.is_absolute():  # data of a hub
            raise
        raise InputError(
            f"{error} If the pool has moved, run its `labelcast score` again with the new path."
        ) from None
    if survey(source, run.task).digest != run.question.pool_digest:
        raise InputError(
            f"{source.spec}: the pool has changed since it was scored. Restore the file (if it "
            "has moved, run its `labelcast score` again), or score the new one into a new run."
        )
    return source


def fetch(source: Source, task: Task | None, positions: Sequence[int]) -> list[Example]:
    """The examples at some positions of a source, not rendered, in the order of `positions`."""
    wanted = set(positions)
    chosen = examples(source, task, lambda instruction, user: "", wanted=wanted.__contains__)
    found = {example.index: example for example in islice(chosen, len(wanted))}
    missing = wanted - found.keys()
    if missing:
        raise InputError(f"{source.spec}: record {min(missing) + 1} is no longer there.")
    return [found[position] for position in positions]


def _write(path: Path, tables: Iterable[pa.Table]) -> None:
    def write(part: Path) -> None:
        with pq.ParquetWriter(part.absolute(), SCHEMA, write_page_checksum=True) as writer:
            for table in tables:
                writer.write_table(table)

    write_with(path, write)


def _is_complete(path: Path, rows: int) -> bool:
    """Whether a file exists, is undamaged and has that many rows."""
    if not path.exists():
        return False
    try:
        with _opened(path) as table:
            found = sum(batch.num_rows for batch in table.iter_batches())
            return bool(table.schema_arrow.equals(SCHEMA)) and found == rows
    except InputError:
        return False
