"""Pools of any size: read once, scored in shards, complete after any kill."""

from __future__ import annotations

import os
import stat
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from small_pools import SHARD, TASK, results, run_score, words

from labelcast.errors import InputError
from labelcast.models.loading import LanguageModel
from labelcast.runs import pool
from labelcast.runs.score import check_pool, score_run
from labelcast.tasks.sources import Record, Source
from labelcast.tasks.task import Task

pytestmark = pytest.mark.filterwarnings("ignore::labelcast.errors.LabelcastWarning")


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "SHARD", SHARD)


def test_a_survey_counts_and_finds_duplicates() -> None:
    """Duplicates are found by content, whatever their id; the first one is not a duplicate."""
    rows = [{"text": "a", "id": 1}, {"text": "b", "id": 2}, {"id": 3, "text": "a"}]
    source = Source("memory", lambda: (Record(n, f"row {n}", row) for n, row in enumerate(rows)))
    found = pool.survey(source, TASK)
    assert (found.size, found.duplicates) == (3, frozenset({2}))


def test_ids_are_part_of_a_pool() -> None:
    """The same content with other ids is another pool, since files name examples by their ids."""

    def digest(*ids: object) -> str:
        rows = [{"text": f"word {n}"} | ({} if i is None else {"id": i}) for n, i in enumerate(ids)]
        records = [Record(n, f"row {n}", row) for n, row in enumerate(rows)]
        return pool.survey(Source("memory", lambda: iter(records)), TASK).digest

    assert digest(1, 2) == digest("1", 2.0)
    assert len({digest(1, 2), digest(2, 1), digest(None, None), digest(1, 23), digest(12, 3)}) == 5


def test_a_survey_holds_no_records() -> None:
    """Memory grows by a few numbers per example only."""
    long = "x" * 1000

    def records() -> Iterator[Record]:
        for n in range(20_000):
            yield Record(n, "here", {"text": f"{n} {long}"})

    tracemalloc.start()
    found = pool.survey(Source("memory", records), TASK)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.size == 20_000
    assert peak < 100 * found.size


def test_scoring_holds_one_shard(tiny: LanguageModel, tmp_path: Path) -> None:
    """No more records are in memory at once than a shard has."""
    alive, most = 0, 0

    class Counted(dict[str, Any]):
        def __init__(self, **fields: Any) -> None:
            nonlocal alive, most
            super().__init__(**fields)
            alive += 1
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def records() -> Iterator[Record]:
        for n in range(60):
            yield Record(n, "here", Counted(text=f"word {n}"))

    source = Source("memory", records)
    score_run(source, tiny, tmp_path / "run", task=TASK, n_label=8, max_new_tokens=2)
    assert most <= pool.SHARD + 2


def files(out: Path) -> tuple[bytes, ...]:
    """All files of a scored run but its manifest."""
    return (*results(out), *((out / name).read_bytes() for name in ("draws.jsonl", "run.json")))


class Killed(BaseException):
    """In place of a kill: no handler of ours may catch it."""


def killed_at(
    count: int, monkeypatch: pytest.MonkeyPatch, work: Callable[[], object], *, tidy: bool
) -> bool:
    """Do some work, killed at its count-th file before that is renamed; returns whether it was.

    With `tidy` false the half-written file stays, as after SIGKILL.
    """
    seen = 0
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        nonlocal seen
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            seen += 1
            if seen == count:
                raise Killed
        sync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        if not tidy:
            patch.setattr(Path, "unlink", lambda path, missing_ok=False: None)
        try:
            work()
        except Killed:
            return True
    return False


@pytest.mark.parametrize("tidy", [True, False])
def test_killed_at_any_file_the_result_is_the_same(
    tidy: bool, tiny: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever file was being written, the same call ends with the same bytes."""
    run_score(tiny, tmp_path / "whole", words(40))
    whole = files(tmp_path / "whole")
    kills = 0
    for count in range(1, 30):
        out = tmp_path / f"run{count}"
        if not killed_at(count, monkeypatch, partial(run_score, tiny, out, words(40)), tidy=tidy):
            break
        kills += 1
        assert run_score(tiny, out, words(40)).reused is False
        assert files(out) == whole
        assert not (out / "confidence").exists()
        assert not list(out.rglob("*.part"))
    assert kills >= 8


def test_a_damaged_part_is_scored_again(
    tiny: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With flipped bytes, a cut-off part and an empty part the result is the same."""
    run_score(tiny, tmp_path / "whole", words(40))
    whole = files(tmp_path / "whole")
    out = tmp_path / "run"
    assert killed_at(5, monkeypatch, lambda: run_score(tiny, out, words(40)), tidy=True)
    parts = sorted((out / "confidence").iterdir())
    assert len(parts) == 3
    content = bytearray(parts[0].read_bytes())
    for position in range(40, 400, 7):
        content[position] ^= 0xFF
    parts[0].write_bytes(content)
    parts[1].write_bytes(parts[1].read_bytes()[:-20])
    parts[2].write_bytes(b"")
    run_score(tiny, out, words(40))
    assert files(out) == whole


def test_every_flipped_byte_is_found(tiny: LanguageModel, tmp_path: Path) -> None:
    """If any one byte of a table is flipped, that is found, or the table reads the same."""
    run_score(tiny, tmp_path / "run", words(9))
    path = tmp_path / "run/confidence.parquet"
    table, content = pq.read_table(path), path.read_bytes()
    flipped = tmp_path / "flipped.parquet"
    for position in range(0, len(content), 11):
        changed = bytearray(content)
        changed[position] ^= 0x55
        flipped.write_bytes(changed)
        if pool._is_complete(flipped, 9):
            assert pq.read_table(flipped).equals(table), position


def test_a_damaged_table_is_scored_again(tiny: LanguageModel, tmp_path: Path) -> None:
    """The draws stay as they are."""
    run_score(tiny, tmp_path / "run", words(40))
    whole = files(tmp_path / "run")
    (tmp_path / "run/confidence.parquet").write_bytes(b"")
    with pytest.raises(InputError, match="damaged"):
        pool.pickable(tmp_path / "run/confidence.parquet")
    run_score(tiny, tmp_path / "run", words(40))
    assert files(tmp_path / "run") == whole


def test_fetch_keeps_the_order() -> None:
    """Positions may come in any order; one beyond the end is named."""
    found = pool.fetch(words(9), TASK, [7, 0, 3])
    assert [example.fields["text"] for example in found] == [
        "word 7",
        "word 0",
        "word 3 and and and",
    ]
    with pytest.raises(InputError, match="record 10 is no longer there"):
        pool.fetch(words(9), TASK, [0, 9])


def test_field_names_of_a_run_are_refused() -> None:
    """A field with the name of a column of the run would be lost."""
    for name in ("id", "index", "set", "batch"):
        task = Task.build({"name": "t", "instruction": "x", "inputs": [name], "answer": "y"})
        with pytest.raises(InputError, match=f"field '{name}'"):
            check_pool(words(9), task, 2)
