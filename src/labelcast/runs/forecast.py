"""A forecast from what a run folder holds: CoS-Low, the model's calibration, the task's ceiling."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Unpack, cast

from labelcast.errors import InputError
from labelcast.files.json_files import write_json
from labelcast.forecast import Calibration, Forecast
from labelcast.forecast.calibration import POOLED, by_name, find
from labelcast.forecast.forecasting import answer
from labelcast.forecast.given_scores import Scale, scale_of
from labelcast.forecast.options import Options, RunOptions
from labelcast.forecast.question import FROZEN, Question
from labelcast.runs.records import CONSTRAINED, FREE, RANDOM, Asked, ModelPart, TunedScore
from labelcast.runs.run import PATIENCE, Run
from labelcast.selection.coslow_draws import SHARE
from labelcast.selection.measured import beside_random

PUBLISHED_EXAMPLES = 32
"""Examples behind each CoS-Low that the cards were fitted to."""

OPTIONS = ("calibration", *Options.__annotations__)
"""The names in `RunOptions`, in the order in which commands show them."""
FEW_ALLOWED = 0.5
"""The share of allowed answers below which a forecast warns."""
_FORMER = {"seed", "samples"}
"""Options of earlier versions, which changed no more than the last digits."""
_SAME = 5e-4
"""A given score this close to a measured one of the same budget, of 1, is that one, rounded."""


class RunAnswer(NamedTuple):
    """A forecast from a run."""

    forecast: Forecast
    found: tuple[str, ...]  # warnings about the calibration and the labels
    card: Calibration
    options: Options  # with what the run knows added

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about the run, then those about the forecast."""
        return (*self.found, *self.forecast.warnings)


def answer_run(
    run: Run, *, calibration: Calibration | str | Path | None = None, **options: Unpack[Options]
) -> RunAnswer:
    """Forecast from a run without saving anything; arguments and errors as `forecast_run`."""
    model, found = run.model, run.coslow()
    warnings: list[str] = []
    unused = calibration is None and (model.is_encoder or found is None)
    if unused:
        card = by_name(POOLED)
    elif calibration is None:
        card, warnings = find(model.hub_id, model.fingerprint, model.architecture)
    else:
        card = calibration if isinstance(calibration, Calibration) else by_name(calibration)
        warnings = _of_another_model(card, model)
    decoding = CONSTRAINED if run.task and run.task.constrain else FREE
    if card.decoding != decoding and not unused:
        warnings.append(
            f"the card {card.name} was measured with {card.decoding} decoding, and the run with "
            f"{decoding}: scores that are measured otherwise need not follow its line"
        )
    allowed = run.manifest("score").allowed if run.is_done("score") else None
    if allowed is not None and allowed < FEW_ALLOWED:
        warnings.append(
            f"only {allowed:.0%} of the model's answers to the pool are allowed answers: zero-shot "
            "and early scores measure its form more than its knowledge; say the form in the "
            "instruction, or set `constrain: true` in the task"
        )
    if coslow_is_stale(run):
        warnings.append(
            f"labels have changed since CoS-Low was measured: run `labelcast coslow {run.path}` "
            "again"
        )
    scale, rows = scale_of(options), run.tuned_scores()
    ceiling = run.task.ceiling if run.task else None
    if scale.metric == "loss":
        if rows or ceiling:
            warnings.append(
                "the scores are losses, so the task's ceiling and the scores of `labelcast tune`, "
                "which are not losses, are left out"
            )
        rows, ceiling = [], None
    known = with_observations(rows, options)
    recipe = known.get("recipe")
    tuned = [row for row in rows if row.budget]
    used = _of_recipe(tuned, recipe)
    by_budget = sorted(used, key=lambda row: row.budget)
    if chosen := {row.train_set: row.budget for row in by_budget if row.train_set != RANDOM}:
        differ = "; ".join(beside_random(name, labels) for name, labels in chosen.items())
        warnings.append(
            f"the labels of some scores were chosen by {', '.join(chosen)}, and the prior is of "
            f"labels drawn at random; {differ}"
        )
    if older := len(_named(tuned, recipe)) - len(used):
        warnings.append(
            f"scores of {recipe} with other settings than its last ones are left out ({older})"
        )
    given = options.get("observations") or ()
    starts = known.get("zero_shot") is None and all(entry[0] != 0 for entry in given)
    if before := _of_other_test_labels([r for r in rows if (r in used if r.budget else starts)]):
        warnings.append(
            f"test labels have changed since the scores with {', '.join(map(str, before))} labels: "
            "tune these again, each with its recipe and seed"
        )
    if known.get("ceiling") is None and ceiling:
        known = {**known, "ceiling": _on_scale(ceiling.score, scale)}
    if model.is_encoder and not known.get("observations"):
        raise InputError(
            f"{run.path}: CoS-Low is not defined for an encoder ({model.name}); the forecast "
            f"starts from a score. Draw examples to train and test on (`labelcast label {run.path} "
            f"--more 50 --test 200`), label them, then run `labelcast tune {run.path} --budget 50`."
        )
    if found is None and not known.get("observations"):
        raise InputError(
            f"{run.path}: CoS-Low is not measured yet. Label the examples "
            f"(`labelcast label {run.path}`), then run `labelcast coslow {run.path}`."
        )
    if found and found.examples is not None and found.examples < PUBLISHED_EXAMPLES:
        more = "label more of them"
        if found.examples >= run.question.n_label:
            more = f"score the pool into a new run with --n-label {PUBLISHED_EXAMPLES}"
        warnings.append(
            f"CoS-Low rests on {found.examples} examples, and the calibrations on "
            f"{PUBLISHED_EXAMPLES} each: the intervals are too narrow; {more}"
        )
    if found and (small := _small_pool(run)):
        warnings.append(small)
    question = Question.of(pool_size=run.facts.size, **known)
    forecast = answer(question, found.coslow if found else None, None if unused else card)
    return RunAnswer(forecast, tuple(warnings), card, known)


def _of_other_test_labels(used: list[TunedScore]) -> list[int]:
    """The budgets whose test set has the size of a later score's, but other labels."""
    known = [row for row in used if row.test_digest is not None]
    last = {row.test_size: row.test_digest for row in known}
    return sorted({row.budget for row in known if row.test_digest != last[row.test_size]})


def _small_pool(run: Run) -> str:
    """A warning if the examples of CoS-Low could not be drawn from the lowest tenth of the pool."""
    size, drawn = run.facts.size, run.question.n_label
    if not size or math.ceil(SHARE * size) >= drawn:
        return ""
    return (
        f"the pool is small: {drawn} examples are more than the lowest {SHARE:.0%} of {size}, so "
        f"CoS-Low is not quite that of the calibrations; a pool of {math.ceil(drawn / SHARE)} or "
        "more is better"
    )


def forecast_run(
    run: Run, *, calibration: Calibration | str | Path | None = None, **options: Unpack[Options]
) -> tuple[Forecast, tuple[str, ...]]:
    """Forecast from a run, and save the forecast in `RUN/forecast.json`.

    Args:
        run: with `coslow.json`, unless scores are observed.
        calibration: None finds the card of the run's model.
        options: as `labelcast.forecast` takes them. The task's ceiling and the scores of
            `labelcast tune` are added.

    Returns:
        The forecast, and warnings about the calibration and the labels.

    Raises:
        InputError: CoS-Low is not measured yet, or an option is wrong.
    """
    options["observations"] = list(options.get("observations") or ())
    found = answer_run(run, calibration=calibration, **options)
    content = found.forecast.to_dict() | {"warnings": list(found.warnings)}
    with run.locked(wait=PATIENCE):
        write_json(run.file("forecast.json"), content)
        run.finish(
            "forecast",
            calibration=found.card.name,
            options=_plain(found.options),
            asked=_plain({**options, "calibration": card_asked(calibration)}),
        )
    return found.forecast, found.found


def check_asked(
    *, calibration: Calibration | str | Path | None = None, **options: Unpack[Options]
) -> None:
    """Refuse a wrong option, before anything is measured for a forecast with it."""
    if not isinstance(calibration, Calibration):
        by_name(calibration or POOLED)
    Question.of(**options)


def last_asked(run: Run) -> RunOptions:
    """The options of the run's last forecast, without what the run knows; empty if it has none."""
    if not run.is_done("forecast"):
        return {}
    manifest = run.manifest("forecast")
    asked = (manifest.asked or manifest.options or Asked()).model_dump(exclude_unset=True)
    options = {name: value for name, value in asked.items() if name not in _FORMER}
    try:
        if unknown := options.keys() - {*OPTIONS}:
            raise InputError(f"unknown option {min(unknown)!r}")
        Question.of(**{name: value for name, value in options.items() if name != "calibration"})
    except InputError as error:
        raise InputError(
            f"{run.file('manifests/forecast.json')}: damaged ({error}). Run `labelcast forecast "
            f"{run.path}` again."
        ) from None
    return cast("RunOptions", options)


def asked_again(run: Run, budget: int, given: RunOptions) -> RunOptions:
    """The options of the run's last forecast, for one after tuning with a budget.

    Those in `given` that are not None come first. Unless losses were asked about, to which no
    tuned score is added, the recipe is the one that is tuned with, for a budget of 0 the score
    without labels is the one that is measured, and a horizon below the budget is dropped.
    """
    given = cast("RunOptions", {key: value for key, value in given.items() if value is not None})
    last = last_asked(run)
    kept: dict[str, Any] = {**last}
    over = {"target_score"} if "target" in given else set()
    if scale_of(last).metric != "loss":
        over |= {"recipe", "frozen"} if budget else {"zero_shot"}
        over |= {"horizon"} if (last.get("horizon") or budget) < budget else set()
        if not budget and (scores := last.get("observations")):
            kept["observations"] = [entry for entry in scores if entry[0] != 0]
    return cast("RunOptions", {k: v for k, v in kept.items() if k not in over} | given)


def repeated(run: Run, error: InputError, given: RunOptions | None = None) -> str:
    """The fault of a forecast that repeats the options of the run's last one, with the way out.

    A fault that begins with the run's path is of the run, not of an option. Those in `given` that
    are not None are not repeated.
    """
    now = [name for name, value in (given or {}).items() if value is not None]
    of_command = [f"--{name}{end}" for name in now for end in (":", " ")]
    if not last_asked(run) or str(error).startswith((f"{run.path}:", f"{run.path}/", *of_command)):
        return str(error)
    return (
        f"{str(error).rstrip('.')}. The forecast repeats the options of the run's last one; "
        f"`labelcast forecast {run.path} ...` asks with others."
    )


def card_asked(calibration: Calibration | str | Path | None) -> str | None:
    """The name or the absolute path under which a card can be loaded again."""
    if calibration is None:
        return None
    name = calibration.name if isinstance(calibration, Calibration) else str(calibration)
    return str(Path(name).resolve()) if Path(name).is_file() else name


def _of_another_model(card: Calibration, model: ModelPart) -> list[str]:
    """A warning if a card is for other models than the run's."""
    named = bool(card.hub_ids or card.fingerprints) and not card.lines
    known = model.hub_id in card.hub_ids or model.fingerprint in card.fingerprints
    # A local copy has no hub id, and may well be the card's model.
    if not named or known or model.hub_id is None:
        return []
    return [
        f"the card {card.name} is for {card.model or 'another model'}, which does not seem to be "
        f"the run's model, {model.name}: for another model the interval is not valid"
    ]


def coslow_is_stale(run: Run) -> bool:
    """Whether the labels have changed since CoS-Low was measured."""
    if not run.is_done("coslow"):
        return False
    measured_on = run.manifest("coslow").labels
    return measured_on is not None and measured_on != run.labels_digest("low")


def with_observations(rows: Sequence[TunedScore], options: Options) -> Options:
    """Options of a forecast, with the scores that were measured in a run added.

    Each score has the size of its own test set. Only those of one recipe are used: the one asked
    for, else the last one measured; zero-shot is used for all. The recipe's method sets `frozen`. A
    score that the options also give counts once.
    """
    if not rows:
        return options
    scale, tuned = scale_of(options), [row for row in rows if row.budget]
    recipe = options.get("recipe") or (tuned[-1].recipe if tuned else None)
    given = list(options.get("observations") or ())
    # `Question.of` reports an entry that is not a pair.
    pairs = [entry[:2] for entry in given if isinstance(entry, tuple | list) and len(entry) > 1]
    known_start = options.get("zero_shot") is not None or any(n == 0 for n, _ in pairs)
    used = _of_recipe(tuned, recipe)
    frozen = options.get("frozen")
    if frozen is None and used and used[-1].method is not None:
        frozen = used[-1].method == FROZEN
    measured = []
    for row in rows:
        n, score = row.budget, _on_scale(row.score, scale)
        counts = row in used if n else not known_start
        if counts and not any(_is_same(pair, n, score, scale) for pair in pairs):
            # A noise sd that is given for all scores is used for these too.
            size = row.test_size if options.get("observe_sd") is None else None
            measured.append((n, score, None, size))
    known: Options = {**options, "observations": [*measured, *given], "recipe": recipe}
    return known if frozen is None else {**known, "frozen": frozen}


def _of_recipe(tuned: list[TunedScore], recipe: str | None) -> list[TunedScore]:
    """The scores of a recipe as it was last: its file may have been edited under the same name."""
    found = _named(tuned, recipe)
    last = found[-1].recipe_digest if found else None
    return [row for row in found if None in (last, row.recipe_digest) or row.recipe_digest == last]


def _named(tuned: list[TunedScore], recipe: str | None) -> list[TunedScore]:
    return [row for row in tuned if row.recipe.lower() == str(recipe).lower()]


def _is_same(pair: tuple[object, ...], n: int, score: float, scale: Scale) -> bool:
    """Whether a given score is one that was measured."""
    budget, value = pair
    # Checked first: an integer with hundreds of digits cannot become a float.
    if budget != n or not isinstance(value, int | float) or abs(value) > scale.top:
        return False
    return abs(value - score) <= _SAME * scale.top


def _on_scale(score: float, scale: Scale) -> float:
    """A score of the run, from 0 to 1, on the user's scale, without rounding noise."""
    return round(scale.from_unit(score), 12)


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value not in (None, [])}
