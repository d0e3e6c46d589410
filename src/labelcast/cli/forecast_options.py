"""The options of a forecast on the command line, made from `labelcast.forecast.options`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, cast, get_args, get_type_hints

import typer

from labelcast.errors import InputError
from labelcast.forecast.options import Options, RunOptions

_CALIBRATION = "A shipped card (labelcast calibrations) or a card's file."
_OBSERVE = "A measured score: N=SCORE. Any number of times, several per N (one per seed)."
_SCORES = (
    "Measured scores in a file; repeatable. CSV with a header, Excel or JSON Lines: columns n, "
    "score, and optionally sd, standard_error or size (of the test set). With --at also a log of "
    "lm-evaluation-harness, Inspect or Every Eval Ever."
)
_AT = "Labels behind each evaluation log of --scores, in order; repeatable."
_WHICH = (
    "The score to take from a file with several: a column, a value of metric, task, dataset or "
    "split, or both (VALUE/COLUMN); in an evaluation log TASK, METRIC or TASK/METRIC."
)


def _options() -> Iterator[inspect.Parameter]:
    yield _option("calibration", str | None, typer.Option(help=_CALIBRATION))
    for name, hint in get_type_hints(Options, include_extras=True).items():
        if name == "observations":
            yield _option("observe", list[str] | None, typer.Option(help=_OBSERVE))
            yield _option("scores", list[str] | None, typer.Option(help=_SCORES))
            yield _option("at", list[int] | None, typer.Option(help=_AT))
            yield _option("which", str | None, typer.Option(help=_WHICH))
            continue
        kind, text = get_args(hint)
        if kind is bool:  # named, so that typer adds no second name that turns it off
            yield _option(name, bool, typer.Option(f"--{name.replace('_', '-')}", help=text))
        else:
            kind = str if name == "metric" else kind
            yield _option(name, kind | None, typer.Option(help=text))


def _option(name: str, kind: Any, option: Any) -> inspect.Parameter:
    default = False if kind is bool else None
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, keyword, default=default, annotation=Annotated[kind, option])


def takes_forecast_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a forecast in place of its parameter `asked`.

    The command gets in `asked` what the user gave, as `labelcast.forecast` takes it.
    """
    options = list(_options())
    own = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for name, parameter in own.parameters.items():
        keyword = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        parameters += options if name == "asked" else [keyword]

    @wraps(command)
    def with_options(**given: Any) -> None:
        said = {option.name: given.pop(option.name) for option in options}
        command(**given, asked=_gathered(said))

    with_options.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {p.name: p.annotation for p in parameters}
    return with_options


def _gathered(said: dict[str, Any]) -> RunOptions:
    """What was given, as `labelcast.forecast` takes it; options left out are not in it."""
    given = {k: v for k, v in said.items() if v is not None and v is not False}
    texts, paths = given.pop("observe", []), given.pop("scores", [])
    at, which = given.pop("at", []), given.pop("which", None)
    observed: list[tuple[Any, ...]] = [_observation(text) for text in texts]
    if which and not paths:
        raise InputError("--which: needs --scores FILE.")
    if paths or at:
        from labelcast.forecast.given_scores import scale_of
        from labelcast.forecast.score_files import is_log, read_files

        scale = scale_of(cast("Options", given))
        places = [Path(path).resolve() for path in paths]
        for path, place in zip(paths, places, strict=True):
            if places.count(place) > 1:
                raise InputError(f"--scores {path}: the file is given twice.")
        logs = [path for path in paths if is_log(path)]
        if len(logs) != len(at):
            raise InputError(
                f"--at: {len(at)} given for {len(logs)} evaluation logs among --scores. Give each "
                "log its number of labels, in order."
            )
        budgets = iter(at)
        files = [(path, next(budgets) if path in logs else None) for path in paths]
        observed += map(_shortened, read_files(files, scale, which))
    return cast("RunOptions", given | {"observations": observed} if observed else given)


def _observation(text: str) -> tuple[int, float]:
    budget, _, score = text.partition("=")
    try:
        return int(budget), float(score)
    except ValueError:
        raise InputError(f"--observe {text}: expected N=SCORE, such as 50=0.71.") from None


def _shortened(entry: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return an observed score without the parts at its end that are not known."""
    known = max(place for place, value in enumerate(entry) if value is not None)
    return tuple(entry[: known + 1])
