"""A forecast from what a run folder holds: CoS-Low, the model's calibration, the task's ceiling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from labelcast.curves import Calibration, Forecast, forecast
from labelcast.curves.cards import by_name, find
from labelcast.errors import InputError
from labelcast.runs.files import read_json, write_json
from labelcast.runs.run import Run

PUBLISHED_EXAMPLES = 32
"""Examples behind each CoS-Low that the cards were fitted to."""


def forecast_run(
    run: Run, *, calibration: Calibration | str | Path | None = None, **options: Any
) -> tuple[Forecast, tuple[str, ...]]:
    """Forecast from a run, and keep the answer in `RUN/forecast.json`.

    Args:
        run: with `coslow.json`, unless scores are observed.
        calibration: None finds the card of the run's model.
        options: as `curves.forecast` takes them; the ceiling defaults to the task's.

    Returns:
        The forecast, and warnings about which card was found.

    Raises:
        InputError: CoS-Low is not measured yet, or an option is wrong.
    """
    model = run.facts["model"]
    warnings: list[str] = []
    if calibration is None:
        calibration, warnings = find(
            model["hub_id"], model["fingerprint"], model.get("architecture")
        )
    else:
        calibration = (
            by_name(calibration) if not isinstance(calibration, Calibration) else calibration
        )
    ceiling = (run.question.get("task") or {}).get("ceiling")
    if options.get("ceiling") is None and ceiling:
        options["ceiling"] = ceiling["score"]
    if _is_stale(run):
        warnings.append(
            f"labels have changed since CoS-Low was measured: run `labelcast coslow {run.path}` "
            "again"
        )
    coslow, examples = _coslow(run, options)
    if isinstance(examples, int) and examples < PUBLISHED_EXAMPLES:
        warnings.append(
            f"CoS-Low rests on {examples} examples, and the calibrations on {PUBLISHED_EXAMPLES} "
            "each: the intervals are too narrow; label more of them"
        )
    answer = forecast(coslow=coslow, calibration=calibration, **options)
    with run.locked():
        write_json(
            run.file("forecast.json"),
            answer.to_dict() | {"warnings": [*warnings, *answer.warnings]},
        )
        run.finish("forecast", calibration=calibration.name, options=_plain(options))
    return answer, tuple(warnings)


def _coslow(run: Run, options: dict[str, Any]) -> tuple[float | None, int | None]:
    """CoS-Low of the run and how many examples it rests on, None where unknown."""
    path = run.file("coslow.json")
    if path.exists():
        content = read_json(path)
        value = content.get("coslow") if isinstance(content, dict) else None
        if not isinstance(value, int | float):
            raise InputError(f"{path}: damaged (no 'coslow' in it). Run `labelcast coslow` again.")
        return float(value), content.get("examples")
    if options.get("observations"):
        return None, None
    raise InputError(
        f"{run.path}: CoS-Low is not measured yet. Label the examples "
        f"(`labelcast label {run.path} --export FILE`), then run `labelcast coslow {run.path}`."
    )


def _is_stale(run: Run) -> bool:
    """Whether the labels are not those that CoS-Low was measured on."""
    if not run.is_done("coslow"):
        return False
    measured_on = read_json(run.file("manifests/coslow.json")).get("labels")
    return measured_on is not None and measured_on != run.labels_digest("low")


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}
