"""What the page is told: about the task, about a run in any state, and about what went wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runs_made import run_of, scored_run
from starlette.testclient import TestClient

from labelcast.labels.page.app import build_app
from labelcast.labels.page.coslow_job import CoslowJob
from labelcast.labels.page.security import Keys
from labelcast.labels.session import LabelSession
from labelcast.runs.run import Run

KEYS = Keys(4711)
HOME = "http://127.0.0.1:4711"


def opened(run: Run) -> TestClient:
    client = TestClient(build_app(LabelSession(run), CoslowJob(run.path), KEYS), base_url=HOME)
    client.get(KEYS.link)
    return client


def post(client: TestClient, path: str, **body: Any) -> Any:
    return client.post(path, json=body, headers={"Origin": HOME})


def test_records_that_are_rendered_already(tmp_path: Path) -> None:
    """Without a task any text is an answer, kept as it was typed."""
    run = run_of(tmp_path, [{"input_text": f"p {n}"} for n in range(4)], 2, None)
    client = opened(run)
    task = client.get("/api/task").json()
    assert (task["fields"], task["answers"]) == (
        [{"name": "input_text", "label": "input_text"}],
        [],
    )
    first = client.get("/api/state").json()["first"]
    item = client.get("/api/example", params={"id": first}).json()
    assert item["fields"] == {"input_text": "p 0"}
    done = post(client, "/api/label", id=first, seen=item["version"], answer=" two\nlines ")
    assert done.json()["item"]["entry"]["answer"] == " two\nlines "
    assert run.rows("labels.jsonl")[0]["ground_truth"] == " two\nlines "
    assert post(client, "/api/label", id=first, seen="", answer="  ").status_code == 422


def test_a_change_tells_what_comes_next(tmp_path: Path) -> None:
    """The example as it is now, the next one, how far each set is, and the step to take back."""
    run = scored_run(tmp_path, ["a", "b", "c", "d"], 3)
    client = opened(run)
    one, two, _ = client.get("/api/state").json()["items"]
    done = post(client, "/api/label", id=one["id"], seen=one["version"], answer="yes", seconds=2)
    told = done.json()
    assert told["next"] == two["id"]
    assert told["sets"][0]["labelled"] == 1
    assert told["items"][0]["version"] == told["item"]["version"] != one["version"]
    back = post(client, "/api/undo", step=told["undo"]).json()
    assert back["item"]["entry"]["answer"] is None
    assert back["undo"] is None
    assert post(client, "/api/undo", step=told["undo"]).status_code == 409


def test_what_went_wrong_is_told(tmp_path: Path) -> None:
    """A forecast before CoS-Low, a damaged file."""
    run = scored_run(tmp_path, ["a", "b", "c"], 2)
    client = opened(run)
    answer = post(client, "/api/forecast")
    assert answer.status_code == 422
    run.file("remarks.jsonl").write_text("no\n")
    answer = client.get("/api/state")
    assert answer.status_code == 422
    assert "remarks.jsonl line 1: damaged" in answer.json()["message"]
