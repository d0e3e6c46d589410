"""A browser for the tests of the label page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from browser import browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless Chromium; closed after each module, since two cannot be controlled at once."""
    with browser() as started:
        yield started
