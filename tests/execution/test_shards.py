"""Shards of a pool: the same in any order, and refused if the pool has changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_pools import TASK

from labelcast.errors import InputError
from labelcast.execution.shards import ShardedPool, ShardJob, ShardModel, ShardReader
from labelcast.runs import pool
from labelcast.tasks.sources import Record, Source


def words(*texts: str) -> Source:
    records = [Record(n, f"record {n + 1}", {"text": text}) for n, text in enumerate(texts)]
    return Source("memory", lambda: iter(records))


def sharded(source: Source, shard: int) -> ShardedPool:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "SHARD", shard)
        found = pool.survey(source, TASK)
    return ShardedPool(source, TASK, found.size, shard, found.seals, found.duplicates, 4, 3)


@settings(max_examples=60)
@given(st.integers(1, 40), st.integers(1, 12), st.data())
def test_any_order_reads_the_same(size: int, shard: int, data: st.DataObject) -> None:
    """Forward, backward, with gaps, repeated: shard n starts with example n*shard."""
    rendered = []

    def render(instruction: str, user: str) -> str:
        rendered.append(user)
        return user

    source = words(*(f"word {n}" for n in range(size)))
    made = sharded(source, shard)
    reader, shards = ShardReader(render), made.shards
    numbers = data.draw(st.lists(st.integers(0, shards - 1), max_size=6))
    for number in numbers:
        rendered.clear()
        found = reader.read(made, number)
        expected = list(range(size))[number * shard : (number + 1) * shard]
        assert [example.index for example in found] == expected
        assert rendered == [f"word {n}" for n in expected]
        assert len(found) == made.rows(number)


def test_rising_numbers_take_one_pass() -> None:
    """The pool is read once, however many shards are done already."""
    passes = 0

    def records() -> Iterator[Record]:
        nonlocal passes
        passes += 1
        for n in range(50):
            yield Record(n, "here", {"text": f"word {n}"})

    made = sharded(Source("memory", records), 10)
    reader = ShardReader(lambda instruction, user: user)
    passes = 0
    for number in (0, 1, 3, 4):
        reader.read(made, number)
    assert passes == 1
    reader.read(made, 2)
    assert passes == 2


@pytest.mark.parametrize(
    "later", [("a", "b", "c", "e"), ("a", "b", "d", "c"), ("a", "b", "c"), ("a", "b")]
)
def test_a_pool_that_changed_is_refused(later: tuple[str, ...]) -> None:
    """For another text, another order or fewer records, the error names the records."""
    before = sharded(words("a", "b", "c", "d"), 2)
    changed = replace(before, source=words(*later))
    reader = ShardReader(lambda instruction, user: user)
    reader.read(changed, 0)
    with pytest.raises(InputError, match="records 3 to 4 have changed"):
        reader.read(changed, 1)


def test_a_job_carries_what_concerns_its_own_shard() -> None:
    """Pickled, it has one seal and the duplicates of its shard, whatever the size of the pool."""
    made = sharded(words(*(f"word {n}" for n in range(40))), 10)
    made = replace(made, duplicates=frozenset({3, 12, 17, 39}))
    job = ShardJob(ShardModel("m", "cpu", "float32", 1, "."), made, 1)
    _, (_, sent, _) = job.__reduce__()
    assert sent.seals == {1: made.seals[1]}
    assert sent.duplicates == {12, 17}
