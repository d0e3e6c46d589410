"""The options of a forecast on the command line, made from `labelcast.forecast.options`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Annotated, Any, cast, get_args, get_type_hints

import typer

from labelcast.forecast.options import Options, RunOptions

_CALIBRATION = "A shipped card (labelcast calibrations) or a card's file."
_OBSERVE = "A measured score: N=SCORE. Any number of times, several per N (one per seed)."
_SCORES = (
    "Measured scores in a file, CSV with a header or JSON Lines: columns n, score, and "
    "optionally sd or size (of the test set)."
)


def _options() -> Iterator[tuple[str, object]]:
    """Yield the name and the annotated type of each option."""
    yield "calibration", Annotated[str | None, typer.Option(help=_CALIBRATION)]
    for name, hint in get_type_hints(Options, include_extras=True).items():
        if name == "observations":
            yield "observe", Annotated[list[str] | None, typer.Option(help=_OBSERVE)]
            yield "scores", Annotated[str | None, typer.Option(help=_SCORES)]
            continue
        kind, text = get_args(hint)
        if kind is bool:
            option = typer.Option(f"--{name.replace('_', '-')}", help=text)
        else:
            kind, option = (str if name == "metric" else kind) | None, typer.Option(help=text)
        yield name, Annotated[kind, option]


def takes_forecast_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a forecast in the place of its parameter `asked`.

    The command gets in `asked` what the user gave, as `labelcast.forecast` takes it.
    """
    options = {
        name: inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=False if get_args(annotation)[0] is bool else None,
            annotation=annotation,
        )
        for name, annotation in _options()
    }
    own = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for name, parameter in own.parameters.items():
        keyword = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        parameters += options.values() if name == "asked" else [keyword]

    @wraps(command)
    def with_options(**given: Any) -> None:
        said = {name: given.pop(name) for name in options}
        command(**given, asked=gathered(**said))

    with_options.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {p.name: p.annotation for p in parameters}
    return with_options


def gathered(**said: Any) -> RunOptions:
    """Return what was given, as `labelcast.forecast` takes it; options left out are not in it.

    Raises:
        InputError: an observed score is not written N=SCORE, or the file of scores is refused.
    """
    given = {k: v for k, v in said.items() if v is not None and v is not False and v != []}
    texts, path = given.pop("observe", []), given.pop("scores", None)
    observed: list[tuple[Any, ...]] = [_observation(text) for text in texts]
    if path is not None:
        from labelcast.forecast.given_scores import read_scores, scale_of

        scale = scale_of(cast("Options", given))
        observed += [_shortened(entry) for entry in read_scores(path, scale)]
    return cast("RunOptions", given | {"observations": observed} if observed else given)


def _observation(text: str) -> tuple[int, float]:
    from labelcast.errors import InputError

    budget, equals, score = text.partition("=")
    try:
        if not equals:
            raise ValueError
        return int(budget), float(score)
    except ValueError:
        raise InputError(f"--observe {text}: expected N=SCORE, such as 50=0.71.") from None


def _shortened(entry: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return an observed score without the parts at its end that are not known."""
    known = max(place for place, value in enumerate(entry) if value is not None)
    return tuple(entry[: known + 1])
