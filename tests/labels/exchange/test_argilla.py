"""Argilla: records and settings, checked with its own library."""

from __future__ import annotations

import json
import re
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import argilla as rg
import pytest
from argilla.records._io import GenericIO, JsonIO
from hypothesis import given, settings
from random_label_tasks import comes_back, filled, write

from labelcast.errors import InputError
from labelcast.labels import exchange
from labelcast.labels.exchange import argilla
from labelcast.labels.label_task import LabelTask

TASK = LabelTask("Say it.", {"Text": "Text:", "text": "T"}, "Label", ("yes", "no"))
USERS = [f"00000000-0000-0000-0000-00000000000{number}" for number in range(3)]


class _Greeting(BaseHTTPRequestHandler):
    """Answers the one request of a client that only makes settings: who am I."""

    def do_GET(self) -> None:
        body = json.dumps({"id": USERS[1], "username": "me", "role": "owner"}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def client() -> Iterator[rg.Argilla]:
    """A client of the real library, which settings need."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Greeting)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield rg.Argilla(api_url=f"http://127.0.0.1:{server.server_port}", api_key="k")
    server.shutdown()
    thread.join()
    server.server_close()


def read(path: Path, content: Any, task: LabelTask = TASK) -> list[dict[str, Any]]:
    path.write_text(json.dumps(content))
    return [record.values for record in exchange.read(path, task)]


@settings(max_examples=40)
@given(made=filled())
def test_through_its_own_library(made: tuple[LabelTask, list[dict[str, str]]]) -> None:
    """Records that the library reads and writes, nested (`to_json`) or flat, are read back."""
    task, rows = made
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.json"
        write(path, "argilla", rows, task)
        records = JsonIO._records_from_json(path)
        nested = JsonIO.to_json(records, path.with_suffix(".again.json"))
        comes_back([r.values for r in exchange.read(nested, task)], rows, task)
        flat = GenericIO.to_list(records, flatten=True)
        comes_back(read(path, flat, task), rows, task)


@settings(max_examples=30)
@given(made=filled())
def test_its_library_accepts_the_settings(
    client: rg.Argilla, made: tuple[LabelTask, list[dict[str, str]]]
) -> None:
    """Every name is valid on the server, and each record fits the settings."""
    task, rows = made
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.json"
        made_settings = write(path, "argilla", rows, task)
        assert made_settings is not None
        loaded = rg.Settings.from_json(made_settings)
        loaded.validate()
        fields, questions = (
            {item.name for item in part} for part in (loaded.fields, loaded.questions)
        )
        assert all(re.fullmatch(r"(?=.*[a-z0-9])[a-z0-9_-]+", name) for name in fields | questions)
        (question,) = loaded.questions
        if isinstance(question, rg.LabelQuestion):
            assert question.labels == list(task.answers)
        for record in JsonIO._records_from_json(path):
            assert set(record.fields) == fields
            assert {response.question_name for response in record.responses} <= questions
            assert all(r.status == rg.ResponseStatus.submitted for r in record.responses)


def test_settings(client: rg.Argilla, tmp_path: Path) -> None:
    """Fields with titles, a label question, the instruction as guidelines."""
    path = tmp_path / "a.settings.json"
    path.write_text(argilla.settings(TASK))
    loaded = rg.Settings.from_json(path)
    assert [(field.name, field.title) for field in loaded.fields] == [
        ("text_2", "Text:"),
        ("text", "T"),
    ]
    (question,) = loaded.questions
    assert (question.name, question.title, question.labels) == ("label", "Label", ["yes", "no"])
    assert loaded.guidelines == "Say it." and loaded.allow_extra_metadata


@pytest.mark.parametrize("answers", [(), ("yes",), ("a" * 201, "b"), tuple(map(str, range(501)))])
def test_labels_that_it_does_not_accept(answers: tuple[str, ...]) -> None:
    """A single one, too many or too long ones become a text question."""
    task = LabelTask("", {"text": "T"}, "label", answers)
    assert json.loads(argilla.settings(task))["questions"][0]["settings"]["type"] == "text"


def record(*responses: dict[str, Any], **keys: Any) -> dict[str, Any]:
    fields = {"text": "b", "text_2": "a"}
    return {
        "id": "1",
        "fields": fields,
        "metadata": {},
        "responses": {"label": [*responses]},
    } | keys


@pytest.mark.parametrize(
    ("made", "answer"),
    [
        (record({"value": "yes", "status": "submitted"}), "yes"),
        (record({"value": "yes", "status": "draft"}), None),
        (record({"value": "yes", "status": "discarded"}), None),
        (record({"value": None, "status": "discarded"}), None),
        (record({"value": "yes"}, status="completed", _server_id="s"), "yes"),
        (record({"value": "yes"}, status="pending", _server_id="s"), None),
        (record({"value": "yes"}, {"value": "yes"}), "yes"),
        (record({"value": "yes"}, suggestions={"label": {"value": "no"}}), "yes"),
        (record(suggestions={"label": {"value": "no"}}), None),
        (record() | {"responses": {}}, None),
        (record() | {"responses": None}, None),
    ],
)
def test_answers(made: dict[str, Any], answer: str | None, tmp_path: Path) -> None:
    """Submitted responses count; drafts, discarded ones and suggestions do not."""
    (values,) = read(tmp_path / "a.json", [made])
    assert values == {"id": "1", "Text": "a", "text": "b", "Label": answer}


def test_statuses_of_flat_records(tmp_path: Path) -> None:
    """Flat records have a status for each response."""
    made = rg.Record(
        id="1",
        fields={"text": "b", "text_2": "a"},
        responses=[
            rg.Response("label", "no", USERS[1], status="draft"),
            rg.Response("label", "yes", USERS[2], status="submitted"),
        ],
    )
    (values,) = read(tmp_path / "a.json", GenericIO.to_list([made], flatten=True))
    assert values == {"id": "1", "Text": "a", "text": "b", "Label": "yes"}


def test_users_who_disagree(tmp_path: Path) -> None:
    """The error names the record and both answers."""
    made = record({"value": "yes", "user_id": USERS[0]}, {"value": "no", "user_id": USERS[1]})
    with pytest.raises(InputError, match=r"record 2, .*'label': several answers \(no, yes\)"):
        read(tmp_path / "a.json", [record(), made])


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (record() | {"responses": []}, "field 'responses': must be an object"),
        (record() | {"responses": {"label": "yes"}}, "field 'label': must be a list"),
        (record() | {"responses": {"label": ["yes"]}}, "field 'label' item 1: must be an object"),
        (record({"value": ["yes"]}), None),
        (record({"value": {"a": 1}}), "record 1, response to 'label': .*dict"),
        (record() | {"metadata": 3}, "field 'metadata': must be an object"),
        (
            record() | {"fields": 3, "metadata": {"labelcast_id": "1"}},
            "field 'fields': must be an object",
        ),
        (
            {"_server_id": None, "status": "", "label.responses": ["a"]},
            "'label.responses': 1 values and 0 statuses",
        ),
    ],
)
def test_wrong_shapes(made: dict[str, Any], says: str | None, tmp_path: Path) -> None:
    """The error names the record and the field; a list of one is accepted."""
    if says is None:
        assert read(tmp_path / "a.json", [made])[0]["Label"] == "yes"
        return
    with pytest.raises(InputError, match=says):
        read(tmp_path / "a.json", [made])
