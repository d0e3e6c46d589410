"""The label page's web app: its pages and its JSON API."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import TypeVar

from jinja2 import Environment, FileSystemLoader, select_autoescape
from pydantic import ValidationError
from pydantic_core import to_jsonable_python
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from labelcast.errors import InputError, LabelcastError, RunError
from labelcast.files.json_files import read_json
from labelcast.labels.page import requests
from labelcast.labels.page.coslow_job import CoslowJob
from labelcast.labels.page.security import Keys, protected, refusal
from labelcast.labels.session import (
    ChangedMeanwhile,
    LabelItem,
    LabelSession,
    NoSuchExample,
    Snapshot,
)
from labelcast.runs.forecast import coslow_is_stale, forecast_run

Json = dict[str, object]
"""A JSON object; dataclasses and pydantic models in it are converted when it is sent."""

LARGEST_BODY = 64 * 1024
_HERE = Path(__file__).parent
_Body = TypeVar("_Body", bound=requests.RequestBody)


class Api:
    """What the page can ask for and do."""

    def __init__(self, session: LabelSession, job: CoslowJob) -> None:
        """Serve one session, and CoS-Low of its run."""
        self._session, self._job, self._run = session, job, session.run
        self._forecasting = Lock()
        self._forecast: Json | None = None

    def task(self) -> Json:
        """What does not change during the session."""
        asked, task = self._session.task, self._run.task
        return {
            "instruction": asked.instruction,
            "fields": [{"name": name, "label": title} for name, title in asked.titled],
            "answer": asked.answer,
            "answers": asked.answers,
            "meanings": asked.meanings,
            "ceiling": task.ceiling.score if task and task.ceiling else None,
            # As it appears in the commands that the page shows.
            "run": shlex.quote(str(self._run.path)),
        }

    def state(self) -> Json:
        """How far labelling and measuring are."""
        now = self._session.snapshot()
        first = now.first_open()
        return _overview(now) | {
            "first": first.id if first else None,
            "job": self._job.status,
            "coslow": self._coslow(),
            "forecast": self._forecast,
        }

    def example(self, example: str) -> Json:
        """One example."""
        return _details(self._session.snapshot().item(example))

    def label(self, body: requests.LabelRequest) -> Json:
        """Label an example."""
        session = self._session
        return _changed(
            session.label(body.id, body.answer, seen=body.seen, seconds=body.seconds), body.id
        )

    def skip(self, body: requests.SkipRequest) -> Json:
        """Skip an example."""
        return _changed(self._session.skip(body.id, seen=body.seen, seconds=body.seconds), body.id)

    def unsure(self, body: requests.UnsureRequest) -> Json:
        """Mark an example as unsure, or not."""
        return _changed(self._session.set_unsure(body.id, body.unsure, seen=body.seen), body.id)

    def note(self, body: requests.NoteRequest) -> Json:
        """Set a note."""
        return _changed(self._session.set_note(body.id, body.note, seen=body.seen), body.id)

    def undo(self, body: requests.UndoRequest) -> Json:
        """Undo the last change."""
        now, item = self._session.undo(body.step)
        return _overview(now) | {"item": _details(item) if item else None}

    def model(self, body: requests.ModelAnswerRequest) -> Json:
        """The model's own answer."""
        return {"answer": self._session.show_model_answer(body.id)}

    def measure(self, body: requests.RequestBody) -> Json:
        """Start measuring CoS-Low."""
        self._forecast = None
        return {"job": self._job.start()}

    def stop(self, body: requests.RequestBody) -> Json:
        """Stop measuring CoS-Low."""
        return {"job": self._job.stop()}

    def forecast(self, body: requests.ForecastRequest) -> Json:
        """Forecast, and save the result in the run as `labelcast forecast` does."""
        with self._forecasting:
            answer, found = forecast_run(self._run, **body.model_dump())
            self._forecast = answer.to_dict() | {
                "sentence": answer.sentence(),
                "basis": answer.basis(),
                "warnings": [*found, *answer.warnings],
                "asked": body,
            }
            return {"forecast": self._forecast}

    def _coslow(self) -> Json | None:
        if not self._run.is_done("coslow"):
            return None
        saved = read_json(self._run.file("coslow.json"))
        shown = {key: saved[key] for key in ("coslow", "low", "high", "examples") if key in saved}
        return shown | {"stale": coslow_is_stale(self._run)}


def build_app(session: LabelSession, job: CoslowJob, keys: Keys) -> ASGIApp:
    """The app, protected by keys."""
    api = Api(session, job)
    html = Environment(loader=FileSystemLoader(_HERE / "templates"), autoescape=select_autoescape())
    page = html.get_template("page.html").render(run=session.run.path.resolve().name)
    locked_out = html.get_template("locked_out.html").render()

    async def index(request: Request) -> Response:
        return HTMLResponse(page)

    async def example(request: Request) -> Response:
        return await _respond(lambda: api.example(request.query_params.get("id", "")))

    async def state(request: Request) -> Response:
        return await _respond(api.state)

    async def task(request: Request) -> Response:
        return await _respond(api.task)

    routes = [
        Route("/", index),
        Route("/api/task", task),
        Route("/api/state", state),
        Route("/api/example", example),
        _post("/api/label", api.label, requests.LabelRequest),
        _post("/api/skip", api.skip, requests.SkipRequest),
        _post("/api/unsure", api.unsure, requests.UnsureRequest),
        _post("/api/note", api.note, requests.NoteRequest),
        _post("/api/undo", api.undo, requests.UndoRequest),
        _post("/api/model", api.model, requests.ModelAnswerRequest),
        _post("/api/measure", api.measure, requests.RequestBody),
        _post("/api/stop", api.stop, requests.RequestBody),
        _post("/api/forecast", api.forecast, requests.ForecastRequest),
        Mount("/static", StaticFiles(directory=_HERE / "static")),
    ]
    return protected(Starlette(routes=routes), keys, locked_out)


def _post(path: str, act: Callable[[_Body], Json], model: type[_Body]) -> Route:
    """A route that parses a request's body and acts on it."""

    async def endpoint(request: Request) -> Response:
        content = bytearray()
        async for chunk in request.stream():
            content += chunk
            if len(content) > LARGEST_BODY:
                return refusal("That is too long.", 413)
        try:
            body = model.model_validate_json(content)
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(map(str, problem["loc"])) or "body"
            return refusal(f"{where}: {problem['msg']}", 422)
        return await _respond(lambda: act(body))

    return Route(path, endpoint, methods=["POST"])


async def _respond(act: Callable[[], Json]) -> Response:
    """The result of an action, or the message of its error."""
    try:
        return JSONResponse(to_jsonable_python(await run_in_threadpool(act)))
    except ChangedMeanwhile as error:
        item = _details(error.item) if error.item else None
        return JSONResponse(to_jsonable_python({"message": str(error), "item": item}), 409)
    except LabelcastError as error:
        return refusal(str(error), _status(error))


def _status(error: LabelcastError) -> int:
    if isinstance(error, NoSuchExample):
        return 404
    if isinstance(error, InputError):
        return 422
    return 503 if isinstance(error, RunError) else 500


def _changed(now: Snapshot, example: str) -> Json:
    following = now.next_after(example)
    return _overview(now) | {
        "item": _details(now.item(example)),
        "next": following.id if following else None,
    }


def _overview(now: Snapshot) -> Json:
    items = [
        {
            "id": item.id,
            "set": item.set,
            "version": item.entry.version,
            "labelled": item.entry.answer is not None,
            "skipped": item.entry.skipped,
            "unsure": item.entry.unsure,
            "noted": bool(item.entry.note),
        }
        for item in now.items
    ]
    sets = [now.counts(one.name) for one in now.sets]
    return {"items": items, "sets": sets, "undo": now.undo.step if now.undo else None}


def _details(item: LabelItem) -> Json:
    return {
        "id": item.id,
        "set": item.set,
        "fields": item.fields,
        "entry": item.entry,
        "version": item.entry.version,
    }
