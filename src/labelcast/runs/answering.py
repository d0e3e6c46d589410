"""A forecast from what a run folder holds: CoS-Low, the model's calibration, the task's ceiling."""

from __future__ import annotations

import inspect
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from labelcast.errors import InputError
from labelcast.forecast import Calibration, Forecast, forecast
from labelcast.forecast.cards import POOLED, by_name, find
from labelcast.runs.files import read_json, write_json
from labelcast.runs.forms import Asked, check
from labelcast.runs.run import Run

PUBLISHED_EXAMPLES = 32
"""Examples behind each CoS-Low that the cards were fitted to."""

_OPTIONS = inspect.signature(forecast).parameters.keys() - {"coslow"}


class RunAnswer(NamedTuple):
    """What a run answers.

    Attributes:
        forecast: the answer.
        found: warnings about the card that was found and the state of the labels.
        card: the calibration that was used.
        options: of the forecast, with all that the run itself says filled in.
    """

    forecast: Forecast
    found: tuple[str, ...]
    card: Calibration
    options: dict[str, Any]

    @property
    def warnings(self) -> tuple[str, ...]:
        """All that should be known before the answer is trusted."""
        return (*self.found, *self.forecast.warnings)


def answer_run(
    run: Run, *, calibration: Calibration | str | Path | None = None, **options: Any
) -> RunAnswer:
    """Forecast from a run, and change nothing in it; arguments and errors as `forecast_run`."""
    model = run.model
    warnings: list[str] = []
    if calibration is None:
        card, warnings = find(model["hub_id"], model["fingerprint"], model.get("architecture"))
    else:
        card = calibration if isinstance(calibration, Calibration) else by_name(calibration)
        warnings = _of_another_model(card, model)
    ceiling = (run.question.get("task") or {}).get("ceiling")
    if options.get("ceiling") is None and ceiling:
        options["ceiling"] = ceiling["score"]
    if coslow_is_stale(run):
        warnings.append(
            f"labels have changed since CoS-Low was measured: run `labelcast coslow {run.path}` "
            "again"
        )
    options = with_observations(run, options)
    coslow, examples = _coslow(run, options)
    if isinstance(examples, int) and examples < PUBLISHED_EXAMPLES:
        warnings.append(
            f"CoS-Low rests on {examples} examples, and the calibrations on {PUBLISHED_EXAMPLES} "
            "each: the intervals are too narrow; label more of them"
        )
    answer = forecast(coslow=coslow, calibration=card, **options)
    return RunAnswer(answer, tuple(warnings), card, options)


def forecast_run(
    run: Run, *, calibration: Calibration | str | Path | None = None, **options: Any
) -> tuple[Forecast, tuple[str, ...]]:
    """Forecast from a run, and keep the answer in `RUN/forecast.json`.

    Args:
        run: with `coslow.json`, unless scores are observed.
        calibration: None finds the card of the run's model.
        options: as `curves.forecast` takes them; the ceiling defaults to the task's, and what
            `labelcast tune` has measured in the run counts as observed (`with_observations`).

    Returns:
        The forecast, and warnings about which card was found.

    Raises:
        InputError: CoS-Low is not measured yet, or an option is wrong.
    """
    options["observations"] = list(options.get("observations") or ())
    found = answer_run(run, calibration=calibration, **options)
    answer = found.forecast
    with run.locked():
        write_json(run.file("forecast.json"), answer.to_dict() | {"warnings": list(found.warnings)})
        run.finish(
            "forecast",
            calibration=found.card.name,
            options=_plain(found.options),
            asked=_plain(options | {"calibration": card_asked(calibration)}),
        )
    return answer, found.found


def check_asked(*, target: float | None, ceiling: float | None, calibration: str | None) -> None:
    """Refuse what no forecast can be asked, before anything is measured for one.

    Raises:
        InputError: an option is wrong, named.
    """
    card = by_name(calibration or POOLED)
    forecast(coslow=0.5, calibration=card, target=target, ceiling=ceiling)


def last_asked(run: Run) -> dict[str, Any]:
    """What the run's last forecast was asked, to ask it again; nothing where there was none.

    Returns:
        Arguments of `answer_run`; what the run itself fills in is not among them.

    Raises:
        InputError: the forecast's manifest is damaged.
    """
    if not run.is_done("forecast"):
        return {}
    path = run.file("manifests/forecast.json")
    manifest = run.manifest("forecast")
    asked = manifest.get("asked", manifest.get("options"))
    again = f"Run `labelcast forecast {run.path}` again."
    if not isinstance(asked, dict) or not asked.keys() <= _OPTIONS:
        raise InputError(f"{path}: damaged. {again}")
    check(Asked, asked, str(path), again)
    if "observations" in asked:
        asked = asked | {"observations": [tuple(pair) for pair in asked["observations"]]}
    return dict(asked)


def card_asked(calibration: Calibration | str | Path | None) -> str | None:
    """A card by the name or the whole path under which it is found again."""
    if calibration is None:
        return None
    name = calibration.name if isinstance(calibration, Calibration) else str(calibration)
    return str(Path(name).resolve()) if Path(name).is_file() else name


def _coslow(run: Run, options: dict[str, Any]) -> tuple[float | None, int | None]:
    """CoS-Low of the run and how many examples it rests on, None where unknown."""
    path = run.file("coslow.json")
    if path.exists():
        content = read_json(path)
        value = content.get("coslow") if isinstance(content, dict) else None
        known = isinstance(value, int | float) and not isinstance(value, bool)
        if not known or not -1 <= float(value or 0) <= 1:
            raise InputError(
                f"{path}: damaged (no 'coslow' from -1 to 1 in it). Run `labelcast coslow` again."
            )
        return float(value or 0), content.get("examples")
    if options.get("observations"):
        return None, None
    raise InputError(
        f"{run.path}: CoS-Low is not measured yet. Label the examples "
        f"(`labelcast label {run.path}`), then run `labelcast coslow {run.path}`."
    )


def _of_another_model(card: Calibration, model: dict[str, Any]) -> list[str]:
    """A warning where a card names its models, and the run's is not known to be one of them."""
    named = bool(card.hub_ids or card.fingerprints) and not card.lines
    known = model["hub_id"] in card.hub_ids or model["fingerprint"] in card.fingerprints
    # A local copy has no hub id, and may well be the card's model.
    if not named or known or model["hub_id"] is None:
        return []
    return [
        f"the card {card.name} is of {card.model or 'another model'}, and the run's model, "
        f"{model['name']}, is not known to be that one: where it is another model, the interval "
        "does not hold"
    ]


def coslow_is_stale(run: Run) -> bool:
    """Whether the labels are no longer those that CoS-Low was measured on.

    Raises:
        InputError: the manifest is damaged.
    """
    if not run.is_done("coslow"):
        return False
    measured_on = run.manifest("coslow").get("labels")
    return measured_on is not None and measured_on != run.labels_digest("low")


def observed_rows(run: Run) -> list[dict[str, Any]]:
    """The rows of `observations.jsonl`: the scores that `labelcast tune` measured.

    Raises:
        InputError: a row is damaged.
    """
    rows = run.rows("observations.jsonl")
    kinds = {"budget": int, "score": float | int, "test_size": int, "recipe": str}
    for number, row in enumerate(rows, 1):
        if not all(isinstance(row.get(name), kind) for name, kind in kinds.items()):
            raise InputError(
                f"{run.file('observations.jsonl')} line {number}: damaged. Mend that line, or "
                "remove it and run its `labelcast tune` again."
            )
    return rows


def with_observations(run: Run, options: dict[str, Any]) -> dict[str, Any]:
    """Options of a forecast, with the scores that were measured in the run added.

    Scores of one budget are averaged. Only those of one recipe count: the one asked for, else the
    last one measured; zero-shot counts for all. What the options say themselves goes first.

    Args:
        run: whose `observations.jsonl` is read, where there is one.
        options: as `forecast` takes them.

    Raises:
        InputError: a row of the file is damaged.
    """
    rows = observed_rows(run)
    tuned = [row for row in rows if row["budget"]]
    recipe = options.get("recipe") or (tuned[-1]["recipe"] if tuned else None)
    scores: dict[int, list[float]] = {}
    for row in rows:
        if not row["budget"] or row["recipe"].lower() == str(recipe).lower():
            scores.setdefault(row["budget"], []).append(row["score"])
    if not scores:
        return options
    given = {row[0]: tuple(row) for row in options.get("observations") or ()}
    measured = {budget: (budget, fmean(values)) for budget, values in scores.items()}
    if options.get("zero_shot") is not None:
        measured.pop(0, None)
    return options | {
        "observations": sorted((measured | given).values()),
        "observe_size": options.get("observe_size") or min(row["test_size"] for row in rows),
        "recipe": recipe,
    }


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value not in (None, [])}
