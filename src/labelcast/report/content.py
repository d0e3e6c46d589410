"""What a report says, from a run's folder or from scores alone; no HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from labelcast.errors import InputError
from labelcast.forecast import Calibration, Forecast, forecast
from labelcast.forecast.answer import LabelsNeeded
from labelcast.forecast.options import RunOptions
from labelcast.report.commands import NextStep, made_by, next_steps
from labelcast.report.costs import CostModel, Prices, cost_model
from labelcast.report.examples import (
    LabelledExamples,
    PoolConfidence,
    Similarity,
    read_confidence,
    read_labelled,
    read_similarity,
)
from labelcast.runs.forecast import answer_run, card_asked, last_asked, repeated
from labelcast.runs.label_store import draws_so_far
from labelcast.runs.records import CosLowFile, TunedScore
from labelcast.runs.run import Run, versions

GAINS = (0.5, 0.7, 0.8, 0.9, 0.95)
"""Targets in the report's table, beside the one asked for."""
_SETTINGS = {
    "score": ("dtype", "device", "batch_size", "n_label", "seed", "max_new_tokens"),
    "coslow": ("method", "rank", "seed", "batch_size", "labels"),
    "forecast": ("calibration",),
}
"""The steps in order, and what the report shows of their manifests."""


class TargetRow(NamedTuple):
    """The labels needed for a target, as a fraction of the gain and as a score (None: unknown)."""

    gain: float | None
    score: float | None
    asked: bool
    needed: LabelsNeeded


class FinishedStep(NamedTuple):
    """A finished step: when, how long in seconds (None if unknown), with which settings."""

    name: str
    finished: str
    seconds: float | None
    settings: str
    versions: str


@dataclass(frozen=True)
class Content:
    """Everything a report says; None if it is unknown, as most is without a run.

    Attributes:
        name: name of the task, or of the run if it has none.
        targets: labels needed for a range of targets.
        costs: None without prices.
        steps: what to do next.
        commands: those that make this report.
        finished, tuned: the run's finished steps, and the scores measured in it.
        tests: how many test examples the run has drawn.
    """

    name: str
    answer: Forecast
    warnings: tuple[str, ...]
    targets: tuple[TargetRow, ...]
    costs: CostModel | None
    steps: tuple[NextStep, ...]
    commands: tuple[str, ...]
    run: Run | None = None
    card: Calibration | None = None
    coslow: CosLowFile | None = None
    confidence: PoolConfidence | None = None
    similarity: Similarity | None = None
    labelled: LabelledExamples | None = None
    finished: tuple[FinishedStep, ...] = ()
    tuned: tuple[TunedScore, ...] = ()
    tests: int = 0
    version: str = versions()["labelcast"]


def gather(
    run: Run | None, asked: Mapping[str, Any] | None = None, prices: Prices | None = None
) -> Content:
    """Collect what the report of a run, or of scores alone, says; as `write_report`."""
    prices = prices or Prices()
    if asked and isinstance(observations := asked.get("observations"), Iterator):
        asked = {**asked, "observations": list(observations)}  # they are read several times
    if run is None:
        return _gather_scores(cast("RunOptions", asked or {}), prices)
    options = last_asked(run) if asked is None else cast("RunOptions", asked)
    try:
        found = answer_run(run, **options)
    except InputError as error:
        if asked is not None:
            raise
        raise InputError(repeated(run, error)) from None
    answer = found.forecast
    tuned = run.tuned_scores()
    similarity = read_similarity(run)
    of_command = _of_command(options)
    return Content(
        name=run.task.name if run.task else run.path.resolve().name,
        run=run,
        answer=answer,
        warnings=found.warnings,
        card=found.card,
        coslow=run.coslow(),
        targets=_targets(lambda other: answer_run(run, **other).forecast, answer, options),
        costs=cost_model(prices, options, tuned, run.facts.device, answer.horizon),
        steps=next_steps(run, answer, of_command),
        confidence=read_confidence(run),
        similarity=similarity,
        labelled=read_labelled(run, similarity.means if similarity else {}),
        finished=tuple(_finished(run, name) for name in _SETTINGS if run.is_done(name)),
        tuned=tuple(tuned),
        tests=sum(draw.set == "test" for draw in draws_so_far(run)),
        commands=made_by(run, of_command, prices),
    )


def _gather_scores(options: RunOptions, prices: Prices) -> Content:
    if not options.get("observations") and options.get("zero_shot") is None:
        raise InputError(
            "give a run folder, or measured scores (--scores FILE or --observe N=SCORE)."
        )
    answer, of_command = forecast(**options), _of_command(options)
    return Content(
        name="this task",
        answer=answer,
        warnings=answer.warnings,
        targets=_targets(lambda other: forecast(**other), answer, options),
        costs=cost_model(prices, options, (), "", answer.horizon),
        steps=next_steps(None, answer, of_command),
        commands=made_by(None, of_command, prices),
    )


def _of_command(options: RunOptions) -> RunOptions:
    """Return the options as a command line takes them, with the card's name or path."""
    return {**options, "calibration": card_asked(options.get("calibration"))}


def _finished(run: Run, name: str) -> FinishedStep:
    manifest = run.manifest(name)
    values = manifest.to_dict()
    settings = [f"{key} {values[key]}" for key in _SETTINGS[name] if key in values]
    versions = [f"{package} {version}" for package, version in manifest.versions.items()]
    texts = ", ".join(settings), ", ".join(versions)
    return FinishedStep(name, manifest.finished, manifest.seconds, *texts)


def _targets(
    ask: Callable[[RunOptions], Forecast], answer: Forecast, options: RunOptions
) -> tuple[TargetRow, ...]:
    """The labels needed for `GAINS` and for the target of `answer`; `ask` makes other forecasts."""
    asked = TargetRow(answer.target.gain, answer.target.score, True, answer.labels_needed)
    alone = answer.answered_by == ("zero-shot",) and not answer.observations
    if alone and answer.calibration is None:
        return (asked,)  # other targets have nothing to be forecast from
    rows = []
    for gain in GAINS:
        if asked.gain is None or abs(gain - asked.gain) > 1e-9:
            other = ask({**options, "target": gain, "target_score": None, "budget": None})
            rows.append(TargetRow(gain, other.target.score, False, other.labels_needed))
    if asked.gain is None:
        return (asked, *rows)
    return tuple(sorted([*rows, asked], key=lambda row: row.gain or 0.0))
