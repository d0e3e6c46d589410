"""Fewer draws than a forecast takes: most tests here try the protocol, not its figures."""

import pytest

from labelcast.forecast import families, particles


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Take few draws, except in a slow test."""
    if "slow" not in request.keywords:
        monkeypatch.setattr(families, "DRAWS", 1024)
        monkeypatch.setattr(particles, "FEW", 20.0)
        monkeypatch.setattr(particles, "_AMPLE", 100.0)
