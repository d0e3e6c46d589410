"""What a report says, gathered from a run's folder or from scores alone; no HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labelcast.errors import InputError
from labelcast.files.json_files import read_json
from labelcast.forecast import Calibration, Forecast, forecast
from labelcast.report.commands import Step, made_by, next_steps
from labelcast.report.confidence import PoolConfidence, read_confidence
from labelcast.report.costs import CostModel, Prices, cost_model
from labelcast.report.labelled import Labelled, read_labelled
from labelcast.report.provenance import Provenance, read_provenance
from labelcast.report.similarity import Similarity, read_similarity
from labelcast.report.targets import TargetRow, target_rows
from labelcast.runs.forecast import answer_run, card_asked, last_asked, observed_rows
from labelcast.runs.run import Run, versions


@dataclass(frozen=True)
class CosLowFacts:
    """CoS-Low of the run, as `labelcast coslow` kept it; None where it kept nothing."""

    value: float
    low: float | None
    high: float | None
    examples: int | None
    pairs: int | None
    method: str | None
    seed_sd: float | None


@dataclass(frozen=True)
class Content:
    """All that a report says.

    Attributes:
        name: of the task, or of the run where it has none.
        model: as the user called it; empty where the report is made of scores alone.
        answer: the forecast.
        warnings: all of them, in words.
        card: the calibration, None without a run.
        coslow: None where the answer rests on scores alone.
        targets: labels needed for a range of targets.
        costs: None where no price was given.
        steps: what to do next.
        confidence: None where the pool was not scored here.
        similarity: None where it was not measured.
        labelled: the labelled examples, None without a run.
        provenance: where all of it comes from, None without a run.
        commands: that lead to this report.
        version: of labelcast.
    """

    name: str
    model: str
    answer: Forecast
    warnings: tuple[str, ...]
    card: Calibration | None
    coslow: CosLowFacts | None
    targets: tuple[TargetRow, ...]
    costs: CostModel | None
    steps: tuple[Step, ...]
    confidence: PoolConfidence | None
    similarity: Similarity | None
    labelled: Labelled | None
    provenance: Provenance | None
    commands: tuple[str, ...]
    version: str


def gather(
    run: Run, asked: Mapping[str, Any] | None = None, prices: Prices | None = None
) -> Content:
    """Gather what the report of a run says; nothing in the run is changed.

    Args:
        run: with CoS-Low, or with observed scores.
        asked: arguments of `answer_run`; None asks what the run's last forecast was asked, else
            the defaults.
        prices: of labels and GPU hours.

    Raises:
        InputError: there is no answer yet (says what to do), a file is damaged, or an option is
            wrong.
    """
    options = last_asked(run) if asked is None else dict(asked)
    try:
        found = answer_run(run, **options)
    except InputError as error:
        if asked is not None or not options or str(run.path) in str(error):
            raise
        path = run.file("manifests/forecast.json")
        raise InputError(f"{path}: asked again what it says, the answer is: {error}") from None
    device, horizon = str(run.facts.get("device", "")), found.forecast.horizon
    prices = (prices or Prices()).filled(options)
    costs = cost_model(prices, observed_rows(run), device, horizon)
    similarity = read_similarity(run)
    words = options | {"calibration": card_asked(options.get("calibration"))}
    return Content(
        name=run.task.name if run.task else run.path.resolve().name,
        model=str(run.model["name"]),
        answer=found.forecast,
        warnings=found.warnings,
        card=found.card,
        coslow=_coslow(run),
        targets=target_rows(
            lambda other: answer_run(run, **other).forecast, found.forecast, options
        ),
        costs=costs,
        steps=next_steps(run, found.forecast, words),
        confidence=read_confidence(run),
        similarity=similarity,
        labelled=read_labelled(run, similarity.means if similarity else {}),
        provenance=read_provenance(run),
        commands=tuple(made_by(run, words)),
        version=versions()["labelcast"],
    )


def gather_scores(asked: Mapping[str, Any], prices: Prices | None = None) -> Content:
    """Gather what a report says that is made of scores alone, without a run.

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
    prices = (prices or Prices()).filled(options)
    return Content(
        name="this task",
        model="",
        answer=answer,
        warnings=answer.warnings,
        card=None,
        coslow=None,
        targets=target_rows(lambda other: forecast(**other), answer, options),
        costs=cost_model(prices, (), "", answer.horizon),
        steps=next_steps(None, answer, options),
        confidence=None,
        similarity=None,
        labelled=None,
        provenance=None,
        commands=tuple(made_by(None, options)),
        version=versions()["labelcast"],
    )


def _coslow(run: Run) -> CosLowFacts | None:
    path = run.file("coslow.json")
    if not path.exists():
        return None
    content = read_json(path)
    content = content if isinstance(content, dict) else {}
    names = ("coslow", "low", "high", "examples", "pairs", "method", "seed_sd")
    found = [content.get(name) for name in names]
    kinds = (float | int, float | int, float | int, int, int, str, float | int)
    right = all(
        value is None or isinstance(value, kind) for value, kind in zip(found, kinds, strict=True)
    )
    if not right or found[0] is None:
        raise InputError(f"{path}: damaged. Run `labelcast coslow {run.path}` again.")
    return CosLowFacts(*found)  # type: ignore[arg-type]
