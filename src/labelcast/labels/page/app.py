"""The label page's web app: its pages and its JSON API."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import TypeVar

from jinja2 import Environment, FileSystemLoader, select_autoescape
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_jsonable_python
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from labelcast.errors import InputError, LabelcastError
from labelcast.files.json_files import read_json
from labelcast.labels.page.coslow_job import CoslowJob
from labelcast.labels.page.security import Keys, protected, refusal
from labelcast.labels.session import (
    MAX_SECONDS,
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


class _Request(BaseModel):
    """The body of a request: only the named keys, each of its exact type."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class _Undo(_Request):
    step: str


class _ModelAnswer(_Request):
    id: str


class _Forecast(_Request):
    target: float = 0.9
    zero_shot: float | None = None
    ceiling: float | None = None


class _Change(_Request):
    """About one example, with the version of its entry that the page showed."""

    id: str
    seen: str


class _Unsure(_Change):
    unsure: bool


class _Note(_Change):
    note: str


class _Skip(_Change):
    seconds: float = Field(default=0.0, ge=0, le=MAX_SECONDS, allow_inf_nan=False)


class _Label(_Skip):
    answer: str


_Body = TypeVar("_Body", bound=_Request)


class _Api:
    """What the page can ask for and do."""

    def __init__(self, session: LabelSession, job: CoslowJob) -> None:
        self._session, self._job, self._run = session, job, session.run
        self._forecasting = Lock()
        self._forecast: Json | None = None

    def task(self) -> Json:
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
        now = self._session.snapshot()
        first = now.first_open()
        return _overview(now) | {
            "first": first.id if first else None,
            "job": self._job.status,
            "coslow": self._coslow(),
            "forecast": self._forecast,
        }

    def example(self, example: str) -> Json:
        return _details(self._session.snapshot().item(example))

    def label(self, body: _Label) -> Json:
        seen, seconds = body.seen, body.seconds
        now = self._session.label(body.id, body.answer, seen=seen, seconds=seconds)
        return _changed(now, body.id)

    def skip(self, body: _Skip) -> Json:
        return _changed(self._session.skip(body.id, seen=body.seen, seconds=body.seconds), body.id)

    def unsure(self, body: _Unsure) -> Json:
        return _changed(self._session.set_unsure(body.id, body.unsure, seen=body.seen), body.id)

    def note(self, body: _Note) -> Json:
        return _changed(self._session.set_note(body.id, body.note, seen=body.seen), body.id)

    def undo(self, body: _Undo) -> Json:
        now, item = self._session.undo(body.step)
        return _overview(now) | {"item": _details(item) if item else None}

    def model(self, body: _ModelAnswer) -> Json:
        return {"answer": self._session.show_model_answer(body.id)}

    def measure(self, body: _Request) -> Json:
        self._forecast = None
        return {"job": self._job.start()}

    def stop(self, body: _Request) -> Json:
        return {"job": self._job.stop()}

    def forecast(self, body: _Forecast) -> Json:
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
    api = _Api(session, job)
    html = Environment(loader=FileSystemLoader(_HERE / "templates"), autoescape=select_autoescape())
    page = html.get_template("page.html").render(run=session.run.path.resolve().name)
    locked_out = html.get_template("locked_out.html").render()

    async def index(request: Request) -> Response:
        return HTMLResponse(page)

    routes = [
        Route("/", index),
        _get("/api/task", lambda query: api.task()),
        _get("/api/state", lambda query: api.state()),
        _get("/api/example", lambda query: api.example(query.get("id", ""))),
        _post("/api/label", api.label, _Label),
        _post("/api/skip", api.skip, _Skip),
        _post("/api/unsure", api.unsure, _Unsure),
        _post("/api/note", api.note, _Note),
        _post("/api/undo", api.undo, _Undo),
        _post("/api/model", api.model, _ModelAnswer),
        _post("/api/measure", api.measure, _Request),
        _post("/api/stop", api.stop, _Request),
        _post("/api/forecast", api.forecast, _Forecast),
        Mount("/static", StaticFiles(directory=_HERE / "static")),
    ]
    return protected(Starlette(routes=routes), keys, locked_out)


def _get(path: str, act: Callable[[QueryParams], Json]) -> Route:
    async def endpoint(request: Request) -> Response:
        return await _respond(lambda: act(request.query_params))

    return Route(path, endpoint)


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
        missing, wrong = isinstance(error, NoSuchExample), isinstance(error, InputError)
        return refusal(str(error), 404 if missing else 422 if wrong else 503)


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
    return {**vars(item), "version": item.entry.version}
