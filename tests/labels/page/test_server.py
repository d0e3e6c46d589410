"""When the server opens a browser."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from command_line import SOURCE
from example_runs import scored_run

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


def test_a_browser_that_stays_open_does_not_block_the_page(tmp_path: Path) -> None:
    """The page answers while it runs, and the token in its arguments is not the printed one."""
    run = scored_run(tmp_path, ["a", "b", "c"], 2)
    program, opened = tmp_path / "program", tmp_path / "opened"
    program.write_text(f'#!/bin/sh\necho "$1" > {opened}.part\nmv {opened}.part {opened}\ncat\n')
    program.chmod(0o755)
    environment = {"DISPLAY": ":0", "BROWSER": str(program), "PYTHONPATH": str(SOURCE)}
    process = subprocess.Popen(
        [sys.executable, "-m", "labelcast", "label", str(run.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "CI"} | environment,
    )
    assert process.stdout is not None
    try:
        link = process.stdout.readline().strip()
        with urllib.request.urlopen(link.partition("?")[0] + "static/page.css") as response:
            assert response.status == 200
        while not opened.exists():
            assert process.poll() is None
        assert opened.read_text().strip() != link
    finally:
        process.kill()
        process.communicate()
