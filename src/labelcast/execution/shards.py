"""A pool in shards: reading any of them, scoring one, and the table that it becomes.

Here the same shard comes to the same table, whichever process scores it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from labelcast.errors import InputError
from labelcast.tasks.prompts import Example, Render, examples
from labelcast.tasks.sources import Source
from labelcast.tasks.task import Task

if TYPE_CHECKING:
    from labelcast.models.generation import Answers
    from labelcast.models.loading import LanguageModel

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
class Work:
    """What scoring any shard of a pool takes, beside a model.

    Attributes:
        source: the pool.
        task: how to read its records; None where they are already rendered.
        size: examples in the pool.
        shard: examples in a shard; the last one holds what is left.
        seals: what `seal` gave for each shard when the pool was first read.
        duplicates: positions whose content stood before them already.
        batch_size: prompts that run at once.
        max_new_tokens: where an answer is cut off.
    """

    source: Source
    task: Task | None
    size: int
    shard: int
    seals: Sequence[int]
    duplicates: AbstractSet[int]
    batch_size: int
    max_new_tokens: int

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return -(-self.size // self.shard)

    def rows(self, number: int) -> int:
        """How many examples shard `number` holds."""
        return min(self.shard, self.size - number * self.shard)


def seal(rows: Iterable[tuple[str, str]]) -> int:
    """64 bits for the contents and ids of a shard's examples, in order."""
    digest = hashlib.blake2b(digest_size=8)
    for content, name in rows:
        digest.update(f"{content} {len(name)} {name}".encode())
    return int.from_bytes(digest.digest())


class Reader:
    """Shards of a pool by their number, rendered for a model.

    Numbers that go up take one pass over the pool, in which what is not asked for is read past;
    a number that goes back begins another.
    """

    def __init__(self, work: Work, render: Render):
        self.work, self.render = work, render
        self._stream: Iterator[Example] = iter(())
        self._first = 0
        self._at = work.size + 1

    def read(self, number: int) -> list[Example]:
        """The examples of a shard.

        Raises:
            InputError: they are not those that were there when the pool was first read.
        """
        work = self.work
        self._first = number * work.shard
        if self._first < self._at:
            self._stream = examples(
                work.source, work.task, self.render, wanted=lambda index: index >= self._first
            )
        found = list(islice(self._stream, work.rows(number)))
        self._at = self._first + len(found)
        if seal((example.content, example.id) for example in found) != work.seals[number]:
            raise InputError(
                f"{work.source.spec}: records {self._first + 1} to "
                f"{self._first + work.rows(number)} are not those of the first reading. Keep the "
                "file as it is while it is scored, and the same on every machine."
            )
        return found


def tables(
    lm: LanguageModel,
    answers: Answers,
    work: Work,
    numbers: Iterable[int],
    progress: Callable[[int], None] = lambda done: None,
) -> Iterator[tuple[int, pa.Table]]:
    """Read and score shards in turn: each number, and its table of `SCHEMA`."""
    reader = Reader(work, lm.render)
    for number in numbers:
        yield number, score_shard(lm, answers, reader.read(number), work, progress)


def score_shard(
    lm: LanguageModel,
    answers: Answers,
    shard: Sequence[Example],
    work: Work,
    progress: Callable[[int], None] = lambda done: None,
) -> pa.Table:
    """The table of a shard, one row an example."""
    # Imported here because drawing and labelling do without torch.
    from labelcast.models.confidence import confidences

    prompts = [example.prompt for example in shard]
    scored = confidences(lm, answers, prompts, work.max_new_tokens, progress)
    rows = []
    for example, value in zip(shard, scored, strict=True):
        row = asdict(value) | {"id": example.id, "index": example.index}
        if example.index in work.duplicates and not value.flag:
            row["flag"] = "duplicate"
        for name in ("confidence", "perplexity", "margin"):
            row[name] = None if np.isnan(row[name]) else row[name]
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=SCHEMA)
