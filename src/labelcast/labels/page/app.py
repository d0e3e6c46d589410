"""The label page's web app: its pages and its JSON API."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Annotated, NamedTuple, cast

from jinja2 import Environment, FileSystemLoader, select_autoescape
from pydantic import ConfigDict, Field, ValidationError, validate_call
from pydantic_core import from_json, to_jsonable_python
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from labelcast.errors import InputError, LabelcastError
from labelcast.files.validation import faults
from labelcast.forecast import Forecast
from labelcast.forecast.options import RunOptions
from labelcast.labels.page.coslow_job import CoslowJob
from labelcast.labels.page.security import REPORT_POLICY, Keys, protected, refusal
from labelcast.labels.session import (
    ChangedMeanwhile,
    LabelItem,
    LabelSession,
    NoSuchExample,
    Snapshot,
)
from labelcast.runs.forecast import coslow_is_stale, forecast_run
from labelcast.runs.run import Run

Json = dict[str, object]
"""A JSON object; dataclasses and pydantic models in it are converted when it is sent."""

LARGEST_BODY = 64 * 1024
_HERE = Path(__file__).parent
Seconds = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]
"""The time of one look at an example: at most `LONGEST` of clock.js."""


class Views(NamedTuple):
    """Parts of the page that the report draws: a forecast's charts by name, and a run's report."""

    charts: Callable[[Forecast], dict[str, str]]
    report: Callable[[Run], str]


class _Api:
    """What the page can ask for and do."""

    def __init__(self, session: LabelSession, job: CoslowJob, views: Views) -> None:
        self._session, self._job, self._run = session, job, session.run
        self._views = views
        self._forecasting = Lock()
        self._forecast: Json | None = None
        self._made_from: object = None

    def task(self) -> Json:
        asked, task = self._session.task, self._run.task
        return {
            "instruction": asked.instruction,
            "fields": [{"name": name, "label": title} for name, title in asked.titles.items()],
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
            "forecast": self._current_forecast(),
        }

    def example(self, *, id: str) -> Json:
        return _details(self._session.snapshot().item(id))

    def label(self, *, id: str, seen: str, answer: str, seconds: Seconds = 0.0) -> Json:
        return _changed(self._session.label(id, answer, seen=seen, seconds=seconds), id)

    def skip(self, *, id: str, seen: str, seconds: Seconds = 0.0) -> Json:
        return _changed(self._session.skip(id, seen=seen, seconds=seconds), id)

    def unsure(self, *, id: str, seen: str, unsure: bool) -> Json:
        return _changed(self._session.set_unsure(id, unsure, seen=seen), id)

    def note(self, *, id: str, seen: str, note: str) -> Json:
        return _changed(self._session.set_note(id, note, seen=seen), id)

    def undo(self, *, step: str) -> Json:
        now, item = self._session.undo(step)
        return _overview(now) | {"item": _details(item) if item else None}

    def model(self, *, id: str) -> Json:
        return {"answer": self._session.show_model_answer(id)}

    def measure(self) -> Json:
        self._forecast = None
        return {"job": self._job.start()}

    def stop(self) -> Json:
        return {"job": self._job.stop()}

    def forecast(
        self,
        *,
        target: float | None = None,
        target_score: float | None = None,
        zero_shot: float | None = None,
        ceiling: float | None = None,
        scores: str = "",
        observe_size: int | None = None,
        budget: int | None = None,
    ) -> Json:
        """Forecast, and save the result in the run as `labelcast forecast` does.

        `scores` are measured ones, such as ``50=0.71, 200=0.79``.
        """
        given = {
            "target": 0.9 if target is None and target_score is None else target,
            "target_score": target_score,
            "zero_shot": zero_shot,
            "ceiling": ceiling,
            "observe_size": observe_size,
            "budget": budget,
        }
        asked = cast(
            "RunOptions", {name: value for name, value in given.items() if value is not None}
        )
        with self._forecasting:
            try:
                asked["observations"] = _observations(scores)
                measured = self._measured()
                answer, found = forecast_run(self._run, **asked)
            except InputError as error:
                raise InputError(in_page_words(str(error))) from None
            warnings = [in_page_words(text) for text in (*found, *answer.warnings)]
            self._forecast = answer.to_dict() | {
                "headline": answer.headline(),
                "details": [text for text in (answer.details(), answer.budget_sentence()) if text],
                "basis": answer.basis(),
                "warnings": warnings,
                "asked": given | {"scores": scores},
                "charts": self._views.charts(answer),
            }
            self._made_from = measured
            return {"forecast": self._forecast}

    def _current_forecast(self) -> Json | None:
        """The last forecast, None if CoS-Low or a score was measured again since."""
        made = self._forecast
        return made if made and self._made_from == self._measured() else None

    def _measured(self) -> object:
        """What the run gives a forecast: CoS-Low and the scores."""
        return self._run.coslow(), self._run.tuned_scores()

    def _coslow(self) -> Json | None:
        found = self._run.coslow()
        if found is None or not self._run.is_done("coslow"):
            return None
        shown = found.model_dump(include={"coslow", "low", "high", "examples"})
        return shown | {"stale": coslow_is_stale(self._run)}


_FIELDS = {
    "--target": "Target (share of gain)",
    "--target-score": "Target score",
    "--zero-shot": "Score without labels",
    "--ceiling": "Best possible score",
    "--observe": "Measured scores",
    "--observe-size": "Test examples",
    "--budget": "Budget to check",
}
"""The page's field for each option of `labelcast forecast`."""


def in_page_words(text: str) -> str:
    """A message of the command line, with the page's fields and buttons in place of options.

    >>> in_page_words("--zero-shot 2.0: must be at most 1")
    '“Score without labels” 2.0: must be at most 1'
    >>> in_page_words("run `labelcast label RUN --more 50`, or lower --budget")
    'run `labelcast label RUN --more 50`, or lower “Budget to check”'
    """
    text = text.replace(" or --observe-sd", "").replace("--observe N=SCORE", "--observe")
    text = re.sub(r"run `labelcast coslow [^`]*` again", "press “Measure again”", text)
    # Commands in backquotes stay as they are typed in a terminal.
    return re.sub(
        r"`[^`]*`|--[a-z][a-z-]*",
        lambda f: f[0] if f[0][0] == "`" else f"“{_FIELDS.get(f[0], f[0][2:])}”",
        text,
    )


def _observations(scores: str) -> list[tuple[int, float]]:
    """The scores that were typed in, as numbers of labels and scores."""
    found = []
    for part in filter(None, re.split(r"[,;\s]+", re.sub(r"\s*=\s*", "=", scores))):
        labels, _, score = part.partition("=")
        try:
            found.append((int(labels), float(score)))
        except ValueError:
            raise InputError(
                f"--observe {part[:40]}: write labels=score, such as 50=0.71, 200=0.79."
            ) from None
    return found


def build_app(session: LabelSession, job: CoslowJob, keys: Keys, views: Views) -> ASGIApp:
    """The app, protected by keys."""
    api = _Api(session, job, views)
    html = Environment(loader=FileSystemLoader(_HERE / "templates"), autoescape=select_autoescape())
    page = html.get_template("page.html").render(run=session.run.path.resolve().name)
    locked_out = html.get_template("locked_out.html").render()

    async def index(request: Request) -> Response:
        return HTMLResponse(page)

    async def report(request: Request) -> Response:
        try:
            made = await run_in_threadpool(views.report, session.run)
        except LabelcastError as error:
            return Response(in_page_words(str(error)), 422, media_type="text/plain")
        # The report brings the policy for its own style and script.
        return HTMLResponse(made, headers={"Content-Security-Policy": REPORT_POLICY})

    reads: list[Callable[..., Json]] = [api.task, api.state, api.example]
    acts: list[Callable[..., Json]] = [api.label, api.skip, api.unsure, api.note, api.undo]
    acts += [api.model, api.measure, api.stop, api.forecast]
    routes = [
        Route("/", index),
        Route("/report", report),
        *(_route("GET", act) for act in reads),
        *(_route("POST", act) for act in acts),
        Mount("/static", StaticFiles(directory=_HERE / "static")),
    ]
    return protected(Starlette(routes=routes), keys, locked_out)


def _route(method: str, act: Callable[..., Json]) -> Route:
    """A route for `act`: its arguments, each of its exact type, are the query or a JSON object."""
    checked = validate_call(config=ConfigDict(strict=True))(act)

    async def endpoint(request: Request) -> Response:
        try:
            given = await _body(request) if method == "POST" else dict(request.query_params)
            done = await run_in_threadpool(lambda: checked(**given))
            return JSONResponse(to_jsonable_python(done))
        except HTTPException as error:
            return refusal(error.detail, error.status_code)
        except ChangedMeanwhile as error:
            item = _details(error.item) if error.item else None
            return JSONResponse(to_jsonable_python({"message": str(error), "item": item}), 409)
        except ValidationError as error:
            return refusal(str(faults(error)[0]), 422)
        except LabelcastError as error:
            missing, wrong = isinstance(error, NoSuchExample), isinstance(error, InputError)
            return refusal(str(error), 404 if missing else 422 if wrong else 503)

    return Route(f"/api/{act.__name__}", endpoint, methods=[method])


async def _body(request: Request) -> Json:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > LARGEST_BODY:
            raise HTTPException(413, "That is too long.")
    try:
        body = from_json(content, allow_inf_nan=False)
    except ValueError as error:
        raise HTTPException(422, f"body: {error}") from None
    if not isinstance(body, dict):
        raise HTTPException(422, "body: must be a JSON object.")
    return body


def _changed(now: Snapshot, example: str) -> Json:
    following = now.next_after(example)
    return _overview(now) | {
        "item": _details(now.item(example)),
        "next": following.id if following else None,
        "step": now.made,
    }


def _overview(now: Snapshot) -> Json:
    items = [
        {"id": item.id, "set": item.set, "version": item.entry.version}
        | {"labelled": item.entry.answer is not None, "noted": bool(item.entry.note)}
        | {"skipped": item.entry.skipped, "unsure": item.entry.unsure}
        for item in now.items
    ]
    sets = [now.counts(one.name) for one in now.sets]
    return {"items": items, "sets": sets, "undo": now.undo.step if now.undo else None}


def _details(item: LabelItem) -> Json:
    return {**vars(item), "version": item.entry.version}
