"""Fewer draws than in a forecast: most tests here check the protocol, not its figures."""

import pytest

from labelcast.forecast import particles, prior_draws


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Use few draws, except in slow tests."""
    if "slow" not in request.keywords:
        monkeypatch.setattr(prior_draws, "DRAWS", 512)
        monkeypatch.setattr(particles, "FEW", 20.0)
        monkeypatch.setattr(particles, "_AMPLE", 100.0)
