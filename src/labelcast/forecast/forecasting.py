"""From a question to a forecast: draws of curves, weighed by all that is known."""

from __future__ import annotations

import inspect
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING

from labelcast.errors import InputError
from labelcast.forecast.answer import Forecast
from labelcast.forecast.calibration import Calibration
from labelcast.forecast.cards import POOLED, by_name
from labelcast.forecast.options import DEFAULT_LEVEL, Options
from labelcast.forecast.posterior import posterior
from labelcast.forecast.question import Question
from labelcast.forecast.reading import Evidence, forecast_from

if TYPE_CHECKING:
    from typing_extensions import Unpack


def forecast(
    coslow: float | None = None,
    calibration: Calibration | str | Path | None = None,
    **options: Unpack[Options],
) -> Forecast:
    """Forecast how many labels a task needs.

    Args:
        coslow: CoS-Low of the task, -1 to 1; None answers from the observed scores alone.
        calibration: a card, the name of a shipped one, or the path of one; None takes the pooled
            card with a warning.
        options: target, observed scores, zero-shot, ceiling, horizon, costs and more: the keys of
            `labelcast.forecast.options.Options`, each by keyword.

    Raises:
        InputError: an option is out of range or contradicts another; the message names it.

    Source: Je and Raffel (2025) for the AUC and the power law; the rest is ours.

    Examples:
        >>> answer = forecast(coslow=0.65, calibration="llama-3.1-8b-instruct", target=0.9)
        >>> round(answer.auc.mean, 3), answer.power_law.labels_needed
        (0.664, 1007)
    """
    return answer(Question.of(**options), coslow, calibration)


def _signature() -> inspect.Signature:
    """Return the signature of `forecast` with every option named, as an editor shows it."""
    named = list(inspect.signature(forecast).parameters.values())[:2]
    defaults = {"observations": (), "level": DEFAULT_LEVEL, "lower_is_better": False}
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(name))
        for name in Options.__annotations__
    ]
    return inspect.Signature([*named, *options], return_annotation=Forecast)


forecast.__signature__ = _signature()  # type: ignore[attr-defined]
if forecast.__doc__ and Options.__doc__:  # `python -OO` has none
    forecast.__doc__ += "\n    Options:" + Options.__doc__.partition("Attributes:")[2]


def answer(
    question: Question,
    coslow: float | None = None,
    calibration: Calibration | str | Path | None = None,
) -> Forecast:
    """Answer a question; the other arguments and the errors are those of `forecast`."""
    evidence, warnings = _evidence(coslow, calibration, question.recipe, question.level)
    if evidence is None and not question.scores.all and not question.met_by_zero_shot:
        raise InputError("nothing to forecast from: give --coslow, or --observe N=SCORE, or both")
    known = posterior(question, evidence.estimate if evidence else None)
    return forecast_from(question, known, evidence, warnings)


def _evidence(
    coslow: float | None,
    calibration: Calibration | str | Path | None,
    recipe: str | None,
    level: float,
) -> tuple[Evidence | None, tuple[str, ...]]:
    """Return the evidence from CoS-Low, None without it, and the warnings."""
    if coslow is None and calibration is None:
        return None, ()
    card = calibration if isinstance(calibration, Calibration) else by_name(calibration or POOLED)
    if coslow is None:
        return None, (f"the calibration {card.name} is not used, because no CoS-Low is given",)
    if isinstance(coslow, bool) or not isinstance(coslow, Real):
        raise InputError(f"--coslow: expected a number within -1 to 1, not {coslow!r}")
    estimate = card.predict(float(coslow), level)
    warnings = list(estimate.warnings)
    if calibration is None:
        warnings.insert(0, "no calibration is named: the pooled card of all models is used")
    if recipe is not None and recipe.strip().casefold() != card.recipe.casefold():
        warnings.append(
            f"the card {card.name} was measured with {card.recipe}, not {recipe}: curves of "
            "another recipe may rise sooner or later"
        )
    return Evidence(card, estimate), tuple(warnings)
