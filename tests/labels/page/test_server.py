"""Serving: when a browser is opened, and what the page calls an answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from labelcast.labels.label_task import LabelTask
from labelcast.labels.page.server import has_browser
from labelcast.tasks.task import Task


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
def test_a_browser_is_opened_where_there_is_a_screen(
    monkeypatch: pytest.MonkeyPatch, system: str, environment: dict[str, str], opened: bool
) -> None:
    """And never by automation; without a screen one in the terminal would take it over."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "CI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", system)
    assert has_browser() == opened


def test_numbers_are_explained_where_the_instruction_does() -> None:
    """All 77 of banking77, and none where one is missing."""
    task = Task.load("banking77")
    found = LabelTask.of(task).meanings
    assert len(found) == 77
    assert found["11"] == "card has not arrived yet"
    assert replace(LabelTask.of(task), answers=(*task.answers, "77")).meanings == {}
