"""Read the authors' results folder in the form in which they publish it."""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labelcast.errors import InputError, LabelcastWarning
from labelcast.files.json_files import read_object
from labelcast.forecast.efficiency import GRID, LARGEST_BUDGET, Array, EfficiencyCurve

SCORES_SUFFIX = "_full_result_v2.json"
AUC_SUFFIX = "_auc_logscale_by_task_5000.json"
SMALLEST_TRAINED = GRID[1]

F1_TASKS = frozenset(
    {
        "sciq",
        "typescript_chunks",
        "polish_sequence_labeling",
        "coqa",
        "qa_wikidata",
        "squad_v2",
        "disfl_qa",
    }
)
"""Tasks whose published metric is F1; the others use accuracy or exact match."""


@dataclass(frozen=True)
class PublishedCurve:
    """One model on one task, as published.

    Attributes:
        model: the file name's prefix.
        task: the task's name.
        raw: the scores by budget, with dips, before missing budgets are filled.
        human: the human score, or None.
        curve: the curve as the authors clean it.
        published_auc: the authors' own AUC, or None.
    """

    model: str
    task: str
    raw: Mapping[int, float]
    human: float | None
    curve: EfficiencyCurve
    published_auc: float | None

    @property
    def grid_gains(self) -> Array:
        """Normalised gains at the eight budgets of the grid, [8]."""
        return self.curve.gain_at(GRID)


def read_published(results: str | Path) -> tuple[PublishedCurve, ...]:
    """Read every curve of every model in a results folder and recompute its AUC.

    Args:
        results: a folder with `finetune_results`, `auc_res` and `human_eval.json`.

    Returns:
        Curves, sorted by model and task. A curve with nothing to gain has no area and is left out
        with a warning.

    Raises:
        InputError: a part is missing, or a file cannot be read as expected; it names the file.
    """
    folder = Path(results)
    score_files = sorted((folder / "finetune_results").glob("*" + SCORES_SUFFIX))
    if not score_files:
        raise InputError(
            f"{folder}: no finetune_results/*{SCORES_SUFFIX}; give the authors' results folder"
        )
    human = read_object(folder / "human_eval.json")
    aucs = {
        path.name.removesuffix(AUC_SUFFIX): (path, read_object(path))
        for path in sorted((folder / "auc_res").glob("*" + AUC_SUFFIX))
    }
    found = [_read_curve(path, human, aucs) for path in score_files]
    curves = [curve for curve in found if curve is not None]
    return tuple(sorted(curves, key=lambda curve: (curve.model, curve.task)))


def auc_max_abs_error(curves: tuple[PublishedCurve, ...]) -> float:
    """Return the largest |recomputed AUC - published AUC| over the curves that have one.

    Raises:
        InputError: no curve has a published AUC.
    """
    errors = [abs(c.curve.auc - c.published_auc) for c in curves if c.published_auc is not None]
    if not errors:
        raise InputError(f"no published AUC to compare with; expected auc_res/*{AUC_SUFFIX}")
    return max(errors)


def _read_curve(
    path: Path, human: dict[str, Any], aucs: dict[str, tuple[Path, dict[str, Any]]]
) -> PublishedCurve | None:
    model, task = _model_and_task(path, list(aucs), list(human))
    raw = _raw_scores(path, task)
    filled = {n: 0.0 for n in GRID if n >= SMALLEST_TRAINED} | raw
    human_score = _human_score(human, task)
    try:
        curve = EfficiencyCurve.from_scores(filled, ceiling=human_score)
    except InputError as error:
        # The scores are checked already: another model's zero-shot may be its best score.
        warnings.warn(f"{path}: left out: {error}", LabelcastWarning, stacklevel=3)
        return None
    published = _published_auc(*aucs[model], task) if model in aucs else None
    return PublishedCurve(model, task, raw, human_score, curve, published)


def _model_and_task(path: Path, prefixes: list[str], tasks: list[str]) -> tuple[str, str]:
    """Split a file name into model and task.

    Splits at the longest model prefix that the AUC files name, or else at the first _. If that
    gives a task without a human score and another _ gives one with, splits there.
    """
    stem = path.name.removesuffix(SCORES_SUFFIX)
    known = [prefix for prefix in prefixes if stem.startswith(prefix + "_")]
    places = [stem.removesuffix(f"_{task}") for task in tasks if stem.endswith(f"_{task}")]
    model = max(known, key=len) if known else min(places, key=len, default=stem.partition("_")[0])
    task = stem.removeprefix(model + "_")
    if task in ("", stem):
        raise InputError(f"{path}: expected a name of the form MODEL_TASK{SCORES_SUFFIX}")
    return model, task


def _raw_scores(path: Path, task: str) -> dict[int, float]:
    """Read the scores at budget 0 and at every budget from 50 to 5,000."""
    scores: dict[int, float] = {}
    for key, metrics in read_object(path).items():
        if not key.isdecimal():
            raise InputError(f"{path}: budget {key!r} is not a whole number of labels")
        budget = int(key)
        if budget == 0 or SMALLEST_TRAINED <= budget <= LARGEST_BUDGET:
            scores[budget] = _metric(path, task, key, metrics)
    if not any(scores):
        raise InputError(f"{path}: no budget from {SMALLEST_TRAINED} to {LARGEST_BUDGET}")
    return scores


def _metric(path: Path, task: str, budget: str, metrics: object) -> float:
    names = ("f1",) if task in F1_TASKS else ("accuracy", "exact_string_match_accuracy")
    if isinstance(metrics, dict):
        for name in names:
            if name in metrics:
                return _number(metrics[name], f"{path}: budget {budget}, {name}")
    raise InputError(f"{path}: budget {budget} has no {' or '.join(names)}")


def _human_score(human: dict[str, Any], task: str) -> float | None:
    """Return the human score; null, no entry or an entry that is not a number mean none."""
    entry = human.get(task)
    score = entry.get("score") if isinstance(entry, dict) else None
    return _as_finite(score)


def _published_auc(path: Path, entries: dict[str, Any], task: str) -> float | None:
    if task not in entries:
        return None
    entry = entries[task]
    value = entry.get("extrapolation_auc") if isinstance(entry, dict) else None
    return _number(value, f"{path}: {task}, extrapolation_auc")


def _number(value: object, where: str) -> float:
    number = _as_finite(value)
    if number is None:
        raise InputError(f"{where}: expected a finite number, not {repr(value)[:60]}")
    return number


def _as_finite(value: object) -> float | None:
    """A number that a float can hold; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
