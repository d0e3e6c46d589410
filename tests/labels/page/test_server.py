"""When the server opens a browser."""

from __future__ import annotations

import pytest

from labelcast.labels.page.server import has_browser


@pytest.mark.parametrize(
    ("system", "environment", "opened"),
    [
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "w"}, True),
        ("linux", {}, False),
        ("linux", {"DISPLAY": ":0", "CI": "true"}, False),
        ("darwin", {}, True),
    ],
)
def test_a_browser_needs_a_screen(
    monkeypatch: pytest.MonkeyPatch, system: str, environment: dict[str, str], opened: bool
) -> None:
    """Without one, a text browser would take over the terminal; CI opens none."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "CI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", system)
    assert has_browser() == opened
