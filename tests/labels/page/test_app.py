"""The JSON API of the label page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from coslow_runs import answered_run
from example_runs import run_of, scored_run
from label_pages import page_app
from starlette.testclient import TestClient

from labelcast.files.json_files import write_jsonl
from labelcast.labels.page.security import Keys
from labelcast.runs.run import Run

KEYS = Keys(4711)
HOME = "http://127.0.0.1:4711"


def opened(run: Run) -> TestClient:
    client = TestClient(page_app(run, KEYS), base_url=HOME)
    client.get(KEYS.link)
    return client


def post(client: TestClient, path: str, **body: Any) -> Any:
    return client.post(path, json=body, headers={"Origin": HOME})


def test_rendered_prompts(tmp_path: Path) -> None:
    """Without a task any text is an answer, saved as it was typed."""
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


def test_the_response_to_a_change(tmp_path: Path) -> None:
    """It has the changed example, the next one, the counts, and the change to undo."""
    run = scored_run(tmp_path, ["a", "b", "c", "d"], 3)
    client = opened(run)
    one, two, _ = client.get("/api/state").json()["items"]
    done = post(client, "/api/label", id=one["id"], seen=one["version"], answer="yes", seconds=2)
    changed = done.json()
    assert changed["next"] == two["id"]
    assert changed["sets"][0]["labelled"] == 1
    assert changed["items"][0]["version"] == changed["item"]["version"] != one["version"]
    back = post(client, "/api/undo", step=changed["undo"]).json()
    assert back["item"]["entry"]["answer"] is None
    assert back["undo"] is None
    assert post(client, "/api/undo", step=changed["undo"]).status_code == 409


def test_errors_have_a_message(tmp_path: Path) -> None:
    """A forecast before CoS-Low, a damaged file."""
    run = scored_run(tmp_path, ["a", "b", "c"], 2)
    client = opened(run)
    answer = post(client, "/api/forecast")
    assert answer.status_code == 422
    run.file("remarks.jsonl").write_text("no\n")
    answer = client.get("/api/state")
    assert answer.status_code == 422
    assert "remarks.jsonl line 1: damaged" in answer.json()["message"]


def test_a_forecast_with_everything_that_the_page_asks_for(tmp_path: Path) -> None:
    """Target score, measured scores, budget; the report's chart; the same options in the run."""
    client = opened(answered_run(tmp_path))
    asked = {"target_score": 0.8, "zero_shot": 0.5, "ceiling": 0.95, "budget": 300}
    done = post(client, "/api/forecast", scores="50 = 0.7, 200=0.75", observe_size=400, **asked)
    assert done.status_code == 200, done.text
    found = done.json()["forecast"]
    assert found["target"]["score"] == 0.8
    assert [(o["budget"], o["score"]) for o in found["observations"]] == [(50, 0.7), (200, 0.75)]
    assert found["headline"].endswith("to reach 0.8") and "With 300 labels" in found["details"][1]
    assert found["charts"]["curve_wide"].startswith("<svg")
    report = client.get("/report")
    assert found["headline"] in report.text
    assert "form-action 'none'" in report.headers["content-security-policy"]
    assert "script-src 'self'" not in report.headers["content-security-policy"]


def test_a_forecast_from_older_measurements_is_not_shown(tmp_path: Path) -> None:
    """A score that `labelcast tune` adds makes it one."""
    client = opened(answered_run(tmp_path))
    assert post(client, "/api/forecast", zero_shot=0.5).status_code == 200
    assert client.get("/api/state").json()["forecast"]
    folder = next(tmp_path.glob("*/coslow.json")).parent
    row = {"budget": 50, "score": 0.7, "test_size": 100, "recipe": "LoRA"}
    write_jsonl(folder / "observations.jsonl", [row])
    assert client.get("/api/state").json()["forecast"] is None


def test_coslow_that_is_gone_is_not_measured(tmp_path: Path) -> None:
    """Its manifest alone says nothing."""
    client = opened(answered_run(tmp_path))
    assert client.get("/api/state").json()["coslow"]
    next(tmp_path.glob("*/coslow.json")).unlink()
    assert client.get("/api/state").json()["coslow"] is None


def test_messages_are_in_the_pages_words(tmp_path: Path) -> None:
    """Errors and warnings name fields and buttons, and no option of the command line."""
    client = opened(answered_run(tmp_path))
    for body, says in (
        ({"target": 2}, "Target (share of gain)"),
        ({"zero_shot": 3.0}, "Score without labels"),
        ({"scores": "50:0.7"}, "Measured scores"),
        ({"scores": "50=7"}, "Measured scores"),
        ({"budget": -1}, "Budget to check"),
        ({"target_score": 0.9, "ceiling": 0.8}, "Best possible score"),
    ):
        done = post(client, "/api/forecast", **body)
        assert done.status_code == 422, body
        assert says in done.json()["message"], done.json()
        assert "--" not in done.json()["message"]
    done = post(client, "/api/forecast", scores="50=0.7", target_score=0.9)
    warnings = done.json()["forecast"]["warnings"]
    assert warnings and not any("--" in text or "labelcast " in text for text in warnings)
