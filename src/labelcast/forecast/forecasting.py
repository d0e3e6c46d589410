"""From a question to a forecast: draws of curves, weighed by all that is known."""

from collections.abc import Iterable
from numbers import Real
from pathlib import Path

from labelcast.errors import InputError
from labelcast.forecast.answer import Forecast
from labelcast.forecast.calibration import Calibration
from labelcast.forecast.cards import POOLED, by_name
from labelcast.forecast.posterior import posterior
from labelcast.forecast.question import Question
from labelcast.forecast.reading import Evidence, answer_given
from labelcast.forecast.scale import Metric, Observed


def forecast(
    coslow: float | None = None,
    calibration: Calibration | str | Path | None = None,
    *,
    target: float | None = None,
    target_score: float | None = None,
    zero_shot: float | None = None,
    ceiling: float | None = None,
    observations: Iterable[Observed] = (),
    observe_size: int | None = None,
    observe_sd: float | None = None,
    level: float = 0.9,
    budget: int | None = None,
    horizon: int | None = None,
    recipe: str | None = None,
    scale: float | None = None,
    lower_is_better: bool = False,
    metric: Metric | None = None,
    label_cost: float | None = None,
    run_cost: float | None = None,
    value: float | None = None,
) -> Forecast:
    """Forecast how many labels a task needs.

    Args:
        coslow: CoS-Low of the task, -1 to 1; None answers from the observed scores alone.
        calibration: a card, the name of a shipped one, or the path of one; None takes the pooled
            card with a warning.
        target: fraction of the gain from zero-shot to the ceiling, above 0, at most 1; 0.9 where
            neither target is given.
        target_score: the target as a score instead.
        zero_shot: the score without labels; None: estimated from other tasks.
        ceiling: the best score that can be hoped for; None: estimated from other tasks.
        observations: (budget, score) of models fine-tuned already, any number of them; budget 0
            gives zero_shot. A third number is the sd of all of that score's noise, a fourth the
            size of its test set; None where unknown.
        observe_size: test examples behind each score and zero-shot; 500 where nothing is said.
        observe_sd: noise sd that the test set gives a score, where the metric is no mean (say, by
            bootstrap), instead of observe_size. The noise of the training seed is added.
        level: of the intervals, 0.001 to 0.999.
        budget: asks the reverse: what is reached with so many labels.
        horizon: the most labels to look at, up to 1,000,000; 5,000 where nothing is said.
        recipe: the fine-tuning meant; a card of another recipe gives a warning.
        scale: the largest value that a score can take, such as 100; 1 where nothing is said.
        lower_is_better: the score is a loss, or with `scale` an error rate.
        metric: "score", "error" or "loss", where that is not what the two above say.
        label_cost: of one label, in money; with the next two it decides the next budget.
        run_cost: of one training run.
        value: of meeting the target.

    Raises:
        InputError: an option is out of range or contradicts another; the message names it.

    Source: Je and Raffel (2025) for the AUC and the power law; the rest is ours.

    Examples:
        >>> answer = forecast(coslow=0.65, calibration="llama-3.1-8b-instruct", target=0.9)
        >>> round(answer.auc.mean, 3), answer.power_law.labels_needed
        (0.664, 1007)
    """
    question = Question.of(
        target=target,
        target_score=target_score,
        zero_shot=zero_shot,
        ceiling=ceiling,
        observations=observations,
        observe_size=observe_size,
        observe_sd=observe_sd,
        level=level,
        budget=budget,
        horizon=horizon,
        scale=scale,
        lower_is_better=lower_is_better,
        metric=metric,
        label_cost=label_cost,
        run_cost=run_cost,
        value=value,
    )
    return answer(question, coslow, calibration, recipe)


def answer(
    question: Question,
    coslow: float | None = None,
    calibration: Calibration | str | Path | None = None,
    recipe: str | None = None,
) -> Forecast:
    """Answer a question; the arguments and errors are those of `forecast`."""
    evidence, warnings = _evidence(coslow, calibration, recipe, question.level)
    if evidence is None and not question.scores.all and not question.met_by_zero_shot:
        raise InputError("nothing to forecast from: give --coslow, or --observe N=SCORE, or both")
    known = posterior(question, evidence.estimate if evidence else None)
    return answer_given(question, known, evidence, warnings)


def _evidence(
    coslow: float | None,
    calibration: Calibration | str | Path | None,
    recipe: str | None,
    level: float,
) -> tuple[Evidence | None, tuple[str, ...]]:
    """Return what CoS-Low says, None without it, and the warnings."""
    if coslow is None and calibration is None:
        return None, ()
    card = calibration if isinstance(calibration, Calibration) else by_name(calibration or POOLED)
    if coslow is None:
        return None, (f"the calibration {card.name} is not used, for no CoS-Low is given",)
    if isinstance(coslow, bool) or not isinstance(coslow, Real):
        raise InputError(f"--coslow: expected a number within -1 to 1, not {coslow!r}")
    estimate = card.predict(float(coslow), level)
    warnings = list(estimate.warnings)
    if calibration is None:
        warnings.insert(0, "no calibration is named: the pooled card of all models is used")
    if recipe is not None and recipe.strip().casefold() != card.recipe.casefold():
        warnings.append(
            f"the card {card.name} holds for {card.recipe}, but {recipe} is meant: curves of "
            "another recipe may rise sooner or later"
        )
    return Evidence(card, estimate), tuple(warnings)
