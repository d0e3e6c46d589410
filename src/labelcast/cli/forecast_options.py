"""The options of a forecast, listed once for every command that makes one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer


class Options:
    """What a forecast can be asked; `labelcast.forecast` says what each option means.

    All but `calibration`, `recipe`, `observe` and `scores` are arguments of `Question.of`.
    """

    calibration: Annotated[
        str | None, typer.Option(help="A shipped card (labelcast calibrations) or a card's file.")
    ] = None
    target: Annotated[
        float | None,
        typer.Option(help="Fraction of the gain from zero-shot to the ceiling.  [default: 0.9]"),
    ] = None
    target_score: Annotated[
        float | None, typer.Option(help="The target as a score, instead of --target.")
    ] = None
    zero_shot: Annotated[
        float | None, typer.Option(help="Score without labels; may be unknown.")
    ] = None
    ceiling: Annotated[
        float | None,
        typer.Option(
            help="Best score that can be hoped for; in a run, the task's. May be unknown."
        ),
    ] = None
    observe: Annotated[
        list[str] | None,
        typer.Option(
            help="A measured score: N=SCORE. Any number of times, several per N (one per seed)."
        ),
    ] = None
    scores: Annotated[
        str | None,
        typer.Option(
            help="Measured scores in a file, CSV with a header or JSON Lines: columns n, score, "
            "and where known sd or size (of the test set)."
        ),
    ] = None
    observe_size: Annotated[int | None, typer.Option(help="Test examples behind each score.")] = (
        None
    )
    observe_sd: Annotated[
        float | None,
        typer.Option(
            help="Noise sd of each score from its test set (say, by bootstrap), where the metric "
            "is no mean; instead of --observe-size."
        ),
    ] = None
    scale: Annotated[
        float | None,
        typer.Option(help="Largest value of a score, such as 100.  [default: 1]"),
    ] = None
    lower_is_better: Annotated[
        bool,
        typer.Option("--lower-is-better", help="Scores are losses, or with --scale error rates."),
    ] = False
    metric: Annotated[
        str | None,
        typer.Option(help="score, error or loss, where --lower-is-better does not say enough."),
    ] = None
    level: Annotated[float, typer.Option(help="Confidence level of the intervals.")] = 0.9
    budget: Annotated[
        int | None, typer.Option(help="Ask the reverse: the score with this many labels.")
    ] = None
    horizon: Annotated[
        int | None,
        typer.Option(
            help="Most labels to look at, up to 1,000,000.  [default: 5,000; the size of a run's "
            "pool, or four times 5,000 and more labels that have a score, where that is more]"
        ),
    ] = None
    label_cost: Annotated[
        float | None, typer.Option(help="What a label costs, to choose the next budget.")
    ] = None
    run_cost: Annotated[float | None, typer.Option(help="What a training run costs.")] = None
    value: Annotated[float | None, typer.Option(help="What meeting the target is worth.")] = None
    recipe: Annotated[
        str | None, typer.Option(help="The fine-tuning that is meant, such as LoRA.")
    ] = None


def takes_forecast_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a forecast in the place of its parameter `asked`.

    The command gets in `asked` what the user gave, as `labelcast.forecast` takes it.
    """
    options = {
        name: inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=getattr(Options, name),
            annotation=annotation,
        )
        for name, annotation in get_type_hints(Options, include_extras=True).items()
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


def gathered(**said: Any) -> dict[str, Any]:
    """Return what was given, as `labelcast.forecast` takes it; options left out are not in it.

    Raises:
        InputError: an observed score is not written N=SCORE, or the file of scores is refused.
    """
    given = {name: value for name, value in said.items() if value != getattr(Options, name)}
    texts, path = given.pop("observe", []), given.pop("scores", None)
    observed: list[tuple[Any, ...]] = [_observation(text) for text in texts]
    if path is not None:
        from labelcast.forecast.scale import scale_of
        from labelcast.forecast.score_files import read_scores

        kind = {
            name: given[name] for name in ("scale", "lower_is_better", "metric") if name in given
        }
        observed += [_shortened(entry) for entry in read_scores(path, scale_of(**kind))]
    return given | {"observations": observed} if observed else given


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
