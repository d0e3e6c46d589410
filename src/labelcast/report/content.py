"""What a report says, from a run's folder or from scores alone; no HTML."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from labelcast.errors import InputError
from labelcast.forecast import Calibration, Forecast, forecast
from labelcast.forecast.answer import LabelsNeeded
from labelcast.report.commands import NextStep, made_by, next_steps
from labelcast.report.confidence import PoolConfidence, read_confidence
from labelcast.report.costs import CostModel, Prices, cost_model
from labelcast.report.labelled import LabelledExamples, read_labelled
from labelcast.report.provenance import Provenance, read_provenance
from labelcast.report.similarity import Similarity, read_similarity
from labelcast.runs.forecast import answer_run, card_asked, last_asked
from labelcast.runs.records import CosLowFile
from labelcast.runs.run import Run, versions

GAINS = (0.5, 0.7, 0.8, 0.9, 0.95)
"""Targets in the report's table, beside the one asked for."""


class TargetRow(NamedTuple):
    """One target and the labels it needs.

    Attributes:
        gain: the target as a fraction of the gain, None if unknown.
        score: the target as a score, None if unknown.
        asked: whether it is the target of the forecast.
        needed: the labels.
    """

    gain: float | None
    score: float | None
    asked: bool
    needed: LabelsNeeded


@dataclass(frozen=True)
class Content:
    """Everything a report says.

    Attributes:
        name: of the task, or of the run if it has none.
        model: as the user named it; empty without a run.
        answer: the forecast.
        warnings: all of them.
        card: the calibration; None without a run.
        coslow: None if the forecast is from scores alone.
        targets: labels needed for a range of targets.
        costs: None without prices.
        steps: what to do next.
        confidence: None if the pool was not scored in the run.
        similarity: None if it was not measured.
        labelled: the labelled examples; None without a run.
        provenance: where the forecast comes from; None without a run.
        commands: that make this report.
        version: of labelcast.
    """

    name: str
    model: str
    answer: Forecast
    warnings: tuple[str, ...]
    card: Calibration | None
    coslow: CosLowFile | None
    targets: tuple[TargetRow, ...]
    costs: CostModel | None
    steps: tuple[NextStep, ...]
    confidence: PoolConfidence | None
    similarity: Similarity | None
    labelled: LabelledExamples | None
    provenance: Provenance | None
    commands: tuple[str, ...]
    version: str


def gather(
    run: Run, asked: Mapping[str, Any] | None = None, prices: Prices | None = None
) -> Content:
    """Collect what the report of a run says; the run is not changed.

    Args:
        run: with CoS-Low or with observed scores.
        asked: arguments of `answer_run`; None repeats the run's last forecast, else the defaults.
        prices: of labels and GPU hours.

    Raises:
        InputError: there is no forecast yet (says what to do), a file is damaged, or an option is
            wrong.
    """
    options = last_asked(run) if asked is None else dict(asked)
    try:
        found = answer_run(run, **options)
    except InputError as error:
        if asked is not None or not options or str(run.path) in str(error):
            raise
        path = run.file("manifests/forecast.json")
        raise InputError(f"{path}: its forecast cannot be made again: {error}") from None
    answer = found.forecast
    priced = _filled(prices, options)
    costs = cost_model(priced, run.tuned_scores(), run.facts.device, answer.horizon)
    similarity = read_similarity(run)
    of_command = options | {"calibration": card_asked(options.get("calibration"))}
    return Content(
        name=run.task.name if run.task else run.path.resolve().name,
        model=run.model.name,
        answer=answer,
        warnings=found.warnings,
        card=found.card,
        coslow=run.coslow(),
        targets=_targets(lambda other: answer_run(run, **other).forecast, answer, options),
        costs=costs,
        steps=next_steps(run, answer, of_command),
        confidence=read_confidence(run),
        similarity=similarity,
        labelled=read_labelled(run, similarity.means if similarity else {}),
        provenance=read_provenance(run),
        commands=tuple(made_by(run, of_command)),
        version=versions()["labelcast"],
    )


def gather_scores(asked: Mapping[str, Any], prices: Prices | None = None) -> Content:
    """Collect what a report from scores alone says, without a run.

    Args:
        asked: arguments of `labelcast.forecast`, with scores, or with a zero-shot score that meets
            the target.
        prices: of labels and GPU hours.

    Raises:
        InputError: there are no scores, or an option is wrong.
    """
    if not asked.get("observations") and asked.get("zero_shot") is None:
        raise InputError(
            "give a run folder, or measured scores (--scores FILE or --observe N=SCORE)."
        )
    options = dict(asked)
    answer = forecast(**options)
    return Content(
        name="this task",
        model="",
        answer=answer,
        warnings=answer.warnings,
        card=None,
        coslow=None,
        targets=_targets(lambda other: forecast(**other), answer, options),
        costs=cost_model(_filled(prices, options), (), "", answer.horizon),
        steps=next_steps(None, answer, options),
        confidence=None,
        similarity=None,
        labelled=None,
        provenance=None,
        commands=tuple(made_by(None, options)),
        version=versions()["labelcast"],
    )


def _filled(prices: Prices | None, options: Mapping[str, Any]) -> Prices:
    return (prices or Prices()).filled(options.get("label_cost"), options.get("run_cost"))


def _targets(
    ask: Callable[[Mapping[str, Any]], Forecast], answer: Forecast, options: Mapping[str, Any]
) -> tuple[TargetRow, ...]:
    """The labels needed for each of `GAINS` and for the target of `answer`.

    Args:
        ask: makes a forecast with other options.
        answer: the forecast.
        options: of that forecast.
    """
    asked = TargetRow(answer.target.gain, answer.target.score, True, answer.labels_needed)
    rows = []
    for gain in GAINS:
        if asked.gain is None or abs(gain - asked.gain) > 1e-9:
            other = ask({**options, "target": gain, "target_score": None, "budget": None})
            rows.append(TargetRow(gain, other.target.score, False, other.labels_needed))
    if asked.gain is None:
        return (asked, *rows)
    return tuple(sorted([*rows, asked], key=lambda row: row.gain or 0.0))
