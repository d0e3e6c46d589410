"""Access to the label page; a refused request changes no byte of the run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import snapshot
from example_runs import scored_run
from label_pages import page_app
from starlette.testclient import TestClient

from labelcast.labels.page.app import LARGEST_BODY
from labelcast.labels.page.security import HEADERS, Keys
from labelcast.labels.session import LabelEntry, LabelSession
from labelcast.runs.run import Run

KEYS = Keys(4711)
HOME = "http://127.0.0.1:4711"
BLANK = LabelEntry().version


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Four examples to label."""
    return scored_run(tmp_path, [f"text {n}" for n in range(6)], 4)


@pytest.fixture
def client(run: Run) -> Iterator[TestClient]:
    """A browser that has opened the link."""
    with TestClient(page_app(run, KEYS), base_url=HOME) as client:
        answer = client.get(KEYS.link, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        yield client


def first(run: Run) -> str:
    return LabelSession(run).snapshot().items[0].id


def body(run: Run, **changes: Any) -> dict[str, Any]:
    return {"id": first(run), "seen": BLANK, "answer": "yes"} | changes


def test_the_page_itself_may_label(client: TestClient, run: Run) -> None:
    """The answer is on disk."""
    done = client.post("/api/label", json=body(run), headers={"Origin": HOME})
    assert done.status_code == 200
    assert [row["label"] for row in run.rows("labels.jsonl")] == ["yes"]
    assert client.get("/").status_code == 200


def test_the_cookie(run: Run) -> None:
    """Scripts cannot read it, other sites do not send it, and its name has the port."""
    with TestClient(page_app(run, KEYS), base_url=HOME) as client:
        cookie = client.get(KEYS.link, follow_redirects=False).headers["set-cookie"].lower()
    assert cookie.startswith("labelcast-4711=")
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert KEYS.token.lower() not in cookie


def test_the_token_in_the_browsers_arguments_works_once(run: Run) -> None:
    """Whoever reads it later is locked out; the browser that used it may open the link again."""
    app = page_app(run, KEYS)
    link = KEYS.browser_link
    with TestClient(app, base_url=HOME) as one, TestClient(app, base_url=HOME) as two:
        looked = one.head(link, follow_redirects=False)
        assert looked.status_code == 403 and "set-cookie" not in looked.headers
        for _ in range(2):
            assert one.get(link).status_code == 200
        answer = two.get(link, follow_redirects=False)
        assert answer.status_code == 403 and "set-cookie" not in answer.headers
        assert two.get("/api/state").status_code == 403
        assert two.get(KEYS.link).status_code == 200


def test_cookies_of_other_programs_are_ignored(client: TestClient) -> None:
    """Ports share their cookies, and not all of them are well formed."""
    ours = client.cookies[KEYS.cookie]
    client.cookies.clear()
    cookie = f'odd[name]=1; _xsrf="a b"; =; bare; {KEYS.cookie}={ours}; {{}}=2'
    assert client.get("/api/state", headers={"Cookie": cookie}).status_code == 200


def test_every_response_has_the_policy(client: TestClient) -> None:
    """Pages, data, files, refusals and missing pages."""
    assert "unsafe" not in HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in HEADERS["Content-Security-Policy"]
    for path in ("/", "/api/state", "/static/main.js", "/nothing", "/api/example?id=x"):
        answer = client.get(path)
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
    assert client.get("/", headers={"Host": "evil.example"}).headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:4712"}, 403),
        ({"Origin": "https://127.0.0.1:4711"}, 403),
        ({}, 403),
        ({"Origin": HOME, "Host": "evil.example:4711"}, 400),
        ({"Origin": HOME, "Host": "127.0.0.1"}, 403),
        ({"Origin": HOME, "Host": ""}, 400),
        ({"Origin": HOME, "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": HOME, "Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": HOME, "Content-Type": "text/plain"}, 415),
        ({"Origin": HOME, "Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Origin": HOME, "Cookie": "labelcast-4711=guess"}, 403),
        ({"Origin": HOME, "Cookie": f"other={KEYS.session}"}, 403),
    ],
)
@pytest.mark.parametrize("path", ["/api/label", "/api/measure"])
def test_foreign_requests_change_nothing(
    client: TestClient, run: Run, headers: dict[str, str], status: int, path: str
) -> None:
    """From another host or origin, as a form, or with a guessed cookie."""
    before = snapshot(run.path)
    if "Cookie" in headers:
        client.cookies.clear()
    sent = {"Content-Type": "application/json"} | headers
    answer = client.post(path, json=body(run), headers=sent)
    assert answer.status_code == status
    assert snapshot(run.path) == before


@pytest.mark.parametrize("path", ["/", "/api/state", "/api/task", "/api/example", "/?token=", "/x"])
def test_nothing_is_shown_without_the_token(client: TestClient, run: Run, path: str) -> None:
    """No data; the page says what to do."""
    client.cookies.clear()
    answer = client.get(path, follow_redirects=False)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert "link from the terminal" in answer.text
    assert "text 0" not in answer.text


@pytest.mark.parametrize(
    ("path", "sent", "status"),
    [
        ("/api/label", {"id": "made up"}, 404),
        ("/api/skip", {"id": "../../etc/passwd"}, 404),
        ("/api/label", {"answer": "perhaps"}, 422),
        ("/api/label", {"answer": ""}, 422),
        ("/api/label", {"answer": 1}, 422),
        ("/api/label", {"more": "yes"}, 422),
        ("/api/label", {"seconds": -1}, 422),
        ("/api/label", {"seconds": 1e300}, 422),
        ("/api/label", {"seen": "another"}, 409),
        ("/api/label", {"answer": "x" * LARGEST_BODY}, 413),
    ],
)
def test_invalid_requests_change_nothing(
    client: TestClient, run: Run, path: str, sent: dict[str, Any], status: int
) -> None:
    """Unknown ids, answers that are not allowed, wrong bodies."""
    before = snapshot(run.path)
    content = body(run, **sent)
    if path == "/api/skip":
        del content["answer"]
    answer = client.post(path, json=content, headers={"Origin": HOME})
    assert answer.status_code == status
    assert "message" in answer.json()
    assert snapshot(run.path) == before


@pytest.mark.parametrize("content", [b"", b"[", b"[]", b"null", b"\xff\xfe", b'{"id": "\\ud800"}'])
def test_bodies_that_are_not_json(client: TestClient, run: Run, content: bytes) -> None:
    """They are refused."""
    headers = {"Origin": HOME, "Content-Type": "application/json"}
    assert client.post("/api/label", content=content, headers=headers).status_code == 422


@pytest.mark.parametrize("with_length", [True, False])
def test_ten_megabytes(client: TestClient, run: Run, with_length: bool) -> None:
    """Refused with or without a content length."""
    before = snapshot(run.path)
    whole = b'{"id": "' + b"x" * 10_000_000 + b'"}'
    parts = iter([whole[n : n + 65_536] for n in range(0, len(whole), 65_536)])
    headers = {"Origin": HOME, "Content-Type": "application/json"}
    answer = client.post("/api/label", content=whole if with_length else parts, headers=headers)
    assert answer.status_code == 413
    assert snapshot(run.path) == before


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd"]
)
def test_only_static_files_are_served(client: TestClient, path: str) -> None:
    """No path leads out of their folder."""
    assert client.get(path).status_code in (403, 404)


def test_other_methods(client: TestClient, run: Run) -> None:
    """GET reads, POST changes, and other methods are refused."""
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = client.request(method, "/api/label", json=body(run), headers={"Origin": HOME})
        assert answer.status_code == 405
    assert client.get("/api/label").status_code == 405


def test_two_servers_have_two_cookies() -> None:
    """And different secrets."""
    one, two = Keys(1), Keys(2)
    assert one.cookie != two.cookie
    assert len({one.token, one.session, two.token, two.session}) == 4
