"""The page's app: the run as JSON, the changes a person makes, CoS-Low and the forecast."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any

from jinja2 import Environment, FileSystemLoader, select_autoescape
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from labelcast.errors import InputError, LabelcastError, RunError
from labelcast.files.json_files import read_json
from labelcast.labels.page import request_bodies
from labelcast.labels.page.answer_names import answer_names
from labelcast.labels.page.coslow_job import Job
from labelcast.labels.page.security import Guard, Keys
from labelcast.labels.session import ChangedMeanwhile, Desk, Item, NoSuchExample, View
from labelcast.runs.forecast import coslow_is_stale, forecast_run
from labelcast.tasks.prompts import answer_name, input_names

_HERE = Path(__file__).parent


class Page:
    """What the page can ask for and do. Each method answers with what becomes JSON."""

    def __init__(self, desk: Desk, job: Job) -> None:
        """Serve one desk; the job is CoS-Low of its run."""
        self._desk, self._job = desk, job
        self._asking = Lock()
        self._forecast: dict[str, Any] | None = None

    def task(self) -> dict[str, Any]:
        """What does not change: the instruction, the fields, the allowed answers."""
        task = self._desk.run.task
        labels = {} if task is None else {item.field: item.label for item in task.inputs}
        answers = [] if task is None else list(task.answers)
        instruction = "" if task is None else task.instruction.strip()
        ceiling = None if task is None or task.ceiling is None else task.ceiling.score
        return {
            "name": "" if task is None else task.name,
            "instruction": instruction,
            "fields": [{"name": n, "label": labels.get(n) or n} for n in input_names(task)],
            "answer": answer_name(task),
            "answers": answers,
            "glosses": answer_names(instruction, answers),
            "ceiling": ceiling,
            # As it stands in the commands that the page names.
            "run": shlex.quote(str(self._desk.run.path)),
        }

    def state(self) -> dict[str, Any]:
        """How far labelling and measuring are."""
        view = self._desk.look()
        first = view.first_open()
        return _of_view(view) | {
            "first": None if first is None else first.id,
            "job": asdict(self._job.status),
            "coslow": self._coslow(),
            "forecast": self._forecast,
        }

    def example(self, example: str) -> dict[str, Any]:
        """One example whole."""
        return _of_item(self._desk.look().item(example))

    def take(self, body: request_bodies.Take) -> dict[str, Any]:
        """Take an answer."""
        view = self._desk.take(body.id, body.answer, seen=body.seen, seconds=body.seconds)
        return _changed(view, body.id)

    def skip(self, body: request_bodies.Looked) -> dict[str, Any]:
        """Put an example off."""
        return _changed(self._desk.skip(body.id, seen=body.seen, seconds=body.seconds), body.id)

    def unsure(self, body: request_bodies.Unsure) -> dict[str, Any]:
        """Mark an example as in doubt, or no longer so."""
        return _changed(self._desk.unsure(body.id, body.unsure, seen=body.seen), body.id)

    def note(self, body: request_bodies.Note) -> dict[str, Any]:
        """Leave a note."""
        return _changed(self._desk.note(body.id, body.note, seen=body.seen), body.id)

    def undo(self, body: request_bodies.Undo) -> dict[str, Any]:
        """Take back the last change."""
        view, item = self._desk.undo(body.step)
        return _of_view(view) | {"item": None if item is None else _of_item(item)}

    def model(self, body: request_bodies.ModelAnswer) -> dict[str, Any]:
        """The model's own answer, for one who asks."""
        return {"answer": self._desk.show_model(body.id)}

    def measure(self, body: request_bodies.Body) -> dict[str, Any]:
        """Start CoS-Low."""
        self._forecast = None
        return {"job": asdict(self._job.start())}

    def stop(self, body: request_bodies.Body) -> dict[str, Any]:
        """Stop CoS-Low."""
        return {"job": asdict(self._job.stop())}

    def forecast(self, body: request_bodies.Ask) -> dict[str, Any]:
        """Ask the forecast, and keep its answer in the run as `labelcast forecast` does."""
        with self._asking:
            answer, found = forecast_run(self._desk.run, **body.model_dump())
            self._forecast = answer.to_dict() | {
                "sentence": answer.sentence(),
                "basis": answer.basis(),
                "warnings": [*found, *answer.warnings],
                "asked": body.model_dump(),
            }
            return {"forecast": self._forecast}

    def _coslow(self) -> dict[str, Any] | None:
        run = self._desk.run
        if not run.is_done("coslow"):
            return None
        kept = read_json(run.file("coslow.json"))
        shown = {key: kept[key] for key in ("coslow", "low", "high", "examples") if key in kept}
        return shown | {"stale": coslow_is_stale(run)}


def build_app(desk: Desk, job: Job, keys: Keys) -> ASGIApp:
    """The app behind its guard."""
    page = Page(desk, job)
    html = Environment(loader=FileSystemLoader(_HERE / "templates"), autoescape=select_autoescape())
    whole = html.get_template("page.html").render(run=desk.run.path.resolve().name)
    locked_out = html.get_template("locked_out.html").render()

    async def index(request: Request) -> Response:
        return HTMLResponse(whole)

    async def example(request: Request) -> Response:
        return await _answer(lambda: page.example(request.query_params.get("id", "")))

    async def state(request: Request) -> Response:
        return await _answer(page.state)

    async def task(request: Request) -> Response:
        return await _answer(page.task)

    routes = [
        Route("/", index),
        Route("/api/task", task),
        Route("/api/state", state),
        Route("/api/example", example),
        _post("/api/take", page.take, request_bodies.Take),
        _post("/api/skip", page.skip, request_bodies.Looked),
        _post("/api/unsure", page.unsure, request_bodies.Unsure),
        _post("/api/note", page.note, request_bodies.Note),
        _post("/api/undo", page.undo, request_bodies.Undo),
        _post("/api/model", page.model, request_bodies.ModelAnswer),
        _post("/api/measure", page.measure, request_bodies.Body),
        _post("/api/stop", page.stop, request_bodies.Body),
        _post("/api/forecast", page.forecast, request_bodies.Ask),
        Mount("/static", StaticFiles(directory=_HERE / "static")),
    ]
    return Guard(Starlette(routes=routes), keys, locked_out)


def _post(
    path: str, act: Callable[[Any], dict[str, Any]], form: type[request_bodies.Body]
) -> Route:
    """A route that reads a body of a form and does something with it."""

    async def endpoint(request: Request) -> Response:
        try:
            body = form.model_validate_json(await request.body())
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(map(str, problem["loc"])) or "body"
            return JSONResponse({"message": f"{where}: {problem['msg']}"}, 422)
        return await _answer(lambda: act(body))

    return Route(path, endpoint, methods=["POST"])


async def _answer(act: Callable[[], dict[str, Any]]) -> Response:
    """What a method answers as JSON; what a user did wrong as a message with its status."""
    try:
        return JSONResponse(await run_in_threadpool(act))
    except ChangedMeanwhile as error:
        item = None if error.item is None else _of_item(error.item)
        return JSONResponse({"message": str(error), "item": item}, 409)
    except LabelcastError as error:
        return JSONResponse({"message": str(error)}, _status(error))


def _status(error: LabelcastError) -> int:
    if isinstance(error, NoSuchExample):
        return 404
    if isinstance(error, InputError):
        return 422
    return 503 if isinstance(error, RunError) else 500


def _changed(view: View, example: str) -> dict[str, Any]:
    following = view.next_after(example)
    return _of_view(view) | {
        "item": _of_item(view.item(example)),
        "next": None if following is None else following.id,
    }


def _of_view(view: View) -> dict[str, Any]:
    return {
        "items": [
            {
                "id": item.id,
                "set": item.set,
                "version": item.entry.version,
                "labelled": item.entry.answer is not None,
                "skipped": item.entry.skipped,
                "unsure": item.entry.unsure,
                "noted": bool(item.entry.note),
            }
            for item in view.items
        ],
        "sets": [{"name": name, **asdict(view.tally(name))} for name in view.sets],
        "undo": None if view.undo is None else view.undo.step,
    }


def _of_item(item: Item) -> dict[str, Any]:
    return {
        "id": item.id,
        "set": item.set,
        "fields": item.fields,
        "entry": item.entry.model_dump(),
        "version": item.entry.version,
    }
