"""A real browser for the tests: Debian's Chromium, driven by playwright, without a network.

`open_page` records the console and every request; `serious_faults` runs axe-core. Both skip the
test if the tool is not installed.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_AXE = Path(sys.prefix, "axe", "node_modules", "axe-core", "axe.min.js")
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
_FLAGS += ["--disable-component-update", "--disable-sync", "--no-first-run"]
_LOCAL = ("http://127.0.0.1:", "http://localhost:", "file://", "data:", "blob:", "about:")


@dataclass
class Heard:
    """The console and the requests of a page.

    Attributes:
        console: lines of every kind, and uncaught errors.
        requests: requested addresses.
    """

    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def outside(self) -> list[str]:
        """Requests that would leave this machine."""
        return [url for url in self.requests if not url.startswith(_LOCAL)]


@contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium; skips the test if there is none."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs Debian's chromium (make test tries to install it)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=_FLAGS)
        try:
            yield started
        finally:
            started.close()


@contextmanager
def open_page(started: Any, **context: Any) -> Iterator[tuple[Any, Heard]]:
    """A page in a fresh context (its own cookies), with its console and requests.

    Args:
        started: from `browser`.
        context: options of playwright's `new_context`: viewport, color_scheme, is_mobile, ...
    """
    heard = Heard()
    opened = started.new_context(**context)
    try:
        page = opened.new_page()
        page.on("console", lambda message: heard.console.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: heard.console.append(f"uncaught: {error}"))
        page.on("request", lambda request: heard.requests.append(request.url))
        yield page, heard
    finally:
        opened.close()


def serious_faults(page: Any) -> list[str]:
    """Violations on a page that axe-core calls serious or critical."""
    if not _AXE.exists():
        pytest.skip("needs axe-core from npm (make test tries to install it)")
    # Evaluated, not added as a script element: the page's security policy stays in force.
    page.evaluate(_AXE.read_text())
    found = page.evaluate("async () => (await axe.run()).violations")
    return [
        f"{fault['id']}: {fault['help']}: {fault['nodes'][0]['html'][:200]}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]
