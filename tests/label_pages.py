"""Helpers for tests of the label page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from browser import Heard
from example_runs import run_of

from labelcast.runs.run import Run
from labelcast.tasks.task import Task

PLAIN = {
    **{"name": "tickets", "instruction": "Which team?", "inputs": ["text"], "answer": "team"},
    "answers": ["billing", "returns", "account"],
}


def plain_run(folder: Path, size: int = 32) -> Run:
    rows = [{"text": f"Where is my order {n}?"} for n in range(size + 8)]
    return run_of(folder, rows, size, Task.build(PLAIN), said="returns")


def on_disk(run: Run) -> list[str]:
    name = "team" if run.task is None else run.task.answer
    return [row[name] for row in run.rows("labels.jsonl")]


def title(page: Any) -> str:
    return str(page.text_content("#example-title"))


def press(page: Any, key: str) -> None:
    """Press a key and wait for another example, or the result."""
    before = title(page)
    page.keyboard.press(key)
    page.wait_for_function(
        "before => !document.getElementById('result').hidden"
        " || document.getElementById('example-title').textContent !== before",
        arg=before,
    )


def started(page: Any, link: str) -> None:
    page.goto(link)
    page.wait_for_selector("#answers > *")


def quiet(heard: Heard) -> bool:
    """No console messages, no requests to other machines, no token after the first request."""
    tokens = [url for url in heard.requests if "token=" in url]
    return heard.console == [] and heard.outside == [] and len(tokens) <= 1
