"""Helpers for tests of the label page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from browser import Heard
from example_runs import run_of
from starlette.types import ASGIApp

from labelcast.labels.page.app import Views, build_app
from labelcast.labels.page.coslow_job import CoslowJob
from labelcast.labels.page.security import Keys
from labelcast.labels.session import LabelSession
from labelcast.report.content import gather
from labelcast.report.page import render
from labelcast.report.page_charts import charts
from labelcast.runs.run import Run
from labelcast.tasks.task import Task

PLAIN = {
    **{"name": "tickets", "instruction": "Which team?", "inputs": ["text"], "answer": "team"},
    "answers": ["billing", "returns", "account"],
}


def plain_run(folder: Path, size: int = 32) -> Run:
    rows = [{"text": f"Where is my order {n}?"} for n in range(size + 8)]
    return run_of(folder, rows, size, Task.build(PLAIN), said="returns")


def page_app(run: Run, keys: Keys) -> ASGIApp:
    """The label page of a run, with the charts and the report of the command."""
    views = Views(lambda answer: charts(answer, None), lambda run: render(gather(run)))
    return build_app(LabelSession(run), CoslowJob(run.path), keys, views)


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
