"""Read and score a pool shard by shard, with the same result in any process."""

from __future__ import annotations

import hashlib
import os
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from labelcast.errors import InputError, LabelcastError, RunError, brief, is_out_of_memory
from labelcast.execution.workers import ReportProgress
from labelcast.tasks.prompts import Render, examples
from labelcast.tasks.sources import Source
from labelcast.tasks.task import Task

if TYPE_CHECKING:
    from labelcast.models.protocols import Predict, Progress
    from labelcast.tasks.prompts import Example

SCHEMA = pa.schema(
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
class ShardedPool:
    """A pool and how it is scored, without the model."""

    source: Source
    task: Task | None  # None if the records are already rendered
    size: int  # number of examples
    shard: int  # examples in a shard; the last one has the rest
    seals: Sequence[int] | Mapping[int, int]  # by shard, from the first reading
    duplicates: AbstractSet[int]  # positions of examples that occur earlier in the pool
    batch_size: int
    max_new_tokens: int

    @property
    def shards(self) -> int:
        """The number of shards."""
        return -(-self.size // self.shard)

    @property
    def allowed(self) -> tuple[str, ...]:
        """The allowed answers; none if any text is one."""
        return () if self.task is None else self.task.answers

    def rows(self, number: int) -> int:
        """The number of examples in a shard."""
        return min(self.shard, self.size - number * self.shard)

    def only(self, number: int) -> ShardedPool:
        """The same pool with the seal and duplicates of one shard only."""
        first = number * self.shard
        positions = range(first, first + self.rows(number))
        duplicates = frozenset(index for index in positions if index in self.duplicates)
        return replace(self, seals={number: self.seals[number]}, duplicates=duplicates)


def seal(rows: Iterable[tuple[str, str]]) -> int:
    """A 64-bit hash of the contents and ids of a shard's examples, in order."""
    digest = hashlib.blake2b(digest_size=8)
    for content, name in rows:
        digest.update(f"{content} {len(name)} {name}".encode())
    return int.from_bytes(digest.digest())


class ShardReader:
    """Reads shards by number, rendered for a model; rising numbers take one pass over the pool."""

    def __init__(self, render: Render):
        self.render = render
        self._stream: Iterator[Example] = iter(())
        self._first = 0
        self._at: float = np.inf

    def read(self, pool: ShardedPool, number: int) -> list[Example]:
        """The examples of a shard; refuses a pool that has changed since its first reading."""
        self._first = number * pool.shard
        if self._first < self._at:
            self._stream = examples(
                pool.source, pool.task, self.render, wanted=lambda index: index >= self._first
            )
        found = list(islice(self._stream, pool.rows(number)))
        self._at = self._first + len(found)
        if seal((example.content, example.id) for example in found) != pool.seals[number]:
            raise InputError(
                f"{pool.source.spec}: records {self._first + 1} to "
                f"{self._first + pool.rows(number)} have changed since the pool was first read. "
                "Do not change the file while it is scored; it must be the same on every machine."
            )
        return found


def score_shard(
    predict: Predict,
    shard: Sequence[Example],
    pool: ShardedPool,
    progress: Progress = lambda done: None,
) -> pa.Table:
    """The table of a shard, one row per example, in the columns of `SCHEMA`."""
    prompts = [example.prompt for example in shard]
    decoded = () if pool.task is None else pool.task.decoded
    scored = predict(prompts, pool.max_new_tokens, progress, decoded)
    rows = []
    for example, value in zip(shard, scored, strict=True):
        row = asdict(value) | {"id": example.id, "index": example.index}
        if example.index in pool.duplicates and not value.flag:
            row["flag"] = "duplicate"
        for name in ("confidence", "perplexity", "margin"):
            row[name] = None if np.isnan(row[name]) else row[name]
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=SCHEMA)


@dataclass(frozen=True)
class ShardModel:
    """The model that a worker loads, as `load_model` takes it."""

    name: str
    device: str
    dtype: str
    threads: int  # of torch on a CPU
    folder: str  # which relative paths refer to


@dataclass(frozen=True)
class ShardResult:
    """A scored shard (in the columns of `SCHEMA`), or why it could not be scored."""

    table: pa.Table | None = None
    refusal: LabelcastError | None = None  # another try would not help
    error: str = ""  # how the worker's process died


@dataclass(frozen=True)
class ShardJob:
    """A job that scores one shard (see `execution.workers.Job`)."""

    model: ShardModel
    pool: ShardedPool
    number: int

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without the other shards' seals, since a large pool has many."""
        return ShardJob, (self.model, self.pool.only(self.number), self.number)

    def run(self, report: ReportProgress) -> ShardResult:
        """Score the shard; the model stays loaded for the next one."""
        try:
            predict, reader = _ready(self.model, self.pool.batch_size, self.pool.allowed)
            shard = reader.read(self.pool, self.number)
            return ShardResult(score_shard(predict, shard, self.pool))
        except LabelcastError as error:
            return ShardResult(refusal=error)
        except Exception as error:
            traceback.print_exc()  # into the cluster's log
            text = f"a worker failed: {type(error).__name__}: {brief(error, 300)}"
            if is_out_of_memory(error):
                text = (
                    "a worker is out of memory. Try a smaller --batch-size, or fewer --workers on "
                    "a machine or a GPU."
                )
            return ShardResult(refusal=RunError(text))

    def died(self, fault: str, seconds: float) -> ShardResult:
        """The result if the worker's process dies."""
        return ShardResult(error=fault)

    def after_loss(self, losses: int) -> ShardJob:
        """The same job: it writes no files."""
        return self


@lru_cache(maxsize=1)
def _ready(
    model: ShardModel, batch_size: int, allowed: tuple[str, ...]
) -> tuple[Predict, ShardReader]:
    import torch

    from labelcast.models.loading import load_any

    with suppress(OSError):  # the paths may be absolute, and a remote node may lack the folder
        os.chdir(model.folder)
    if model.device == "cpu":
        torch.set_num_threads(model.threads)
    lm = load_any(model.name, device=model.device, dtype=model.dtype)
    return lm.for_answers(allowed).predictor(batch_size), ShardReader(lm.render)
