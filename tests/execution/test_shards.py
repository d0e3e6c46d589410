"""Shards of a pool: read in any order, always the same, and never others than were surveyed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcast.errors import InputError
from labelcast.execution.shards import Reader, Work
from labelcast.runs import pool
from labelcast.tasks.sources import Record, Source
from labelcast.tasks.task import Task

TASK = Task.parse("{name: t, instruction: Say it., inputs: [text], answer: y}")


def words(*texts: str) -> Source:
    records = [Record(n, f"record {n + 1}", {"text": text}) for n, text in enumerate(texts)]
    return Source("memory", lambda: iter(records))


def work(source: Source, shard: int) -> Work:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "SHARD", shard)
        found = pool.survey(source, TASK)
    return Work(source, TASK, found.size, shard, found.seals, found.duplicates, 4, 3)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.data())
def test_any_order_reads_the_same(size: int, shard: int, data: st.DataObject) -> None:
    """Forward, backward, with gaps and again: shard n holds the examples n*shard and on."""
    rendered = []

    def render(instruction: str, user: str) -> str:
        rendered.append(user)
        return user

    source = words(*(f"word {n}" for n in range(size)))
    reader = Reader(work(source, shard), render)
    shards = reader.work.shards
    numbers = data.draw(st.lists(st.integers(0, shards - 1), max_size=6))
    for number in numbers:
        rendered.clear()
        found = reader.read(number)
        expected = list(range(size))[number * shard : (number + 1) * shard]
        assert [example.index for example in found] == expected
        assert rendered == [f"word {n}" for n in expected]
        assert len(found) == reader.work.rows(number)


def test_rising_numbers_take_one_pass() -> None:
    """However many shards are done already."""
    passes = 0

    def records() -> Iterator[Record]:
        nonlocal passes
        passes += 1
        for n in range(50):
            yield Record(n, "here", {"text": f"word {n}"})

    reader = Reader(work(Source("memory", records), 10), lambda instruction, user: user)
    passes = 0
    for number in (0, 1, 3, 4):
        reader.read(number)
    assert passes == 1
    reader.read(2)
    assert passes == 2


@pytest.mark.parametrize(
    "later", [("a", "b", "c", "e"), ("a", "b", "d", "c"), ("a", "b", "c"), ("a", "b")]
)
def test_a_pool_that_changed_is_refused(later: tuple[str, ...]) -> None:
    """Another text, another order, fewer records: the shard and its records are named."""
    before = work(words("a", "b", "c", "d"), 2)
    changed = Work(words(*later), *list(vars(before).values())[1:])
    reader = Reader(changed, lambda instruction, user: user)
    reader.read(0)
    with pytest.raises(InputError, match="records 3 to 4 are not those of the first reading"):
        reader.read(1)
