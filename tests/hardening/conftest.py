"""The harness that breaks commands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fault_harness import Harness, make_harness


@pytest.fixture(scope="session")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """Stages of a run, and a server that runs commands on copies of them."""
    with make_harness(tmp_path_factory.mktemp("harness")) as made:
        yield made
