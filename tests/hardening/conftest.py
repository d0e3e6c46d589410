"""The bench on which every command is broken; a task, a pool, small models and a scored run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fault_bench import Bench, make_bench
from scored_place import models, place, scored

__all__ = ["bench", "models", "place", "scored"]


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Stages of a run, and a server that runs commands on copies of them."""
    with make_bench(tmp_path_factory.mktemp("bench")) as made:
        yield made
