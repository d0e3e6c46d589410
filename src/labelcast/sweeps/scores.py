"""A sweep's scores, one line per job, and the curves made from them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean, stdev
from typing import Any

from labelcast.errors import InputError
from labelcast.files.json_files import JsonLines, write_jsonl
from labelcast.forecast.efficiency import EfficiencyCurve
from labelcast.runs.records import RANDOM, parse_rows
from labelcast.sweeps.records import NO_STAGES, ScoreKey, ScoreRow
from labelcast.tasks.task import Task


class ScoresFile(JsonLines):
    """`scores.jsonl` of a sweep."""

    def rows(self) -> list[ScoreRow]:
        """The rows, in the order written; raises InputError if one is damaged or repeated."""
        rows = parse_rows(ScoreRow, self.read(), self.path)
        known: set[ScoreKey] = set()
        for number, row in enumerate(rows, 1):
            if row.key in known:
                raise InputError(
                    f"{self.path} line {number}: {row.key} appears twice. Remove one of the two "
                    "lines."
                )
            known.add(row.key)
        return rows

    def append(self, row: ScoreRow) -> None:
        """Append a row and flush it to the disk."""
        self.add(row.model_dump())

    def drop(self, keys: Collection[ScoreKey]) -> None:
        """Remove rows, all in one step."""
        contents = self.read()
        pairs = zip(self.rows(), contents, strict=True)
        kept = [content for row, content in pairs if row.key not in keys]
        if len(kept) < len(contents):
            write_jsonl(self.path, kept)


@dataclass(frozen=True)
class MeasuredCurve:
    """The curve of a task, as `curve.json` has it.

    Attributes:
        budgets: [k], rising.
        scores: mean over seeds at each budget, as measured, [k].
        seeds: how many scores each mean has, [k].
        score_sd: over seeds, None for one seed, [k].
        metric: metric of the scores; None if there are none.
        test_size: examples behind each score; None if there are none.
        auc, zero_shot, ceiling, gains, censored: of the `EfficiencyCurve`, which cleans and
            normalises the scores; None if it cannot be made.
        note: why there is no area, or what replaces a missing zero-shot score.
    """

    budgets: list[int]
    scores: list[float]
    seeds: list[int]
    score_sd: list[float | None]
    metric: str | None
    test_size: int | None
    auc: float | None = None
    zero_shot: float | None = None
    ceiling: float | None = None
    gains: list[float] | None = None
    censored: bool | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self)


def curve_name(task: str, selector: str = RANDOM, stages: str = NO_STAGES) -> str:
    """The name of a curve in `curve.json`.

    >>> curve_name("sst2"), curve_name("sst2", "k-centre"), curve_name("sst2", stages="trec")
    ('sst2', 'sst2 [k-centre]', 'sst2 [after trec]')
    """
    parts = [] if selector == RANDOM else [selector]
    parts += [] if stages == NO_STAGES else [f"after {stages}"]
    return f"{task} [{', '.join(parts)}]" if parts else task


def curves_of(
    rows: Iterable[ScoreRow],
    tasks: Mapping[str, Task],
    selectors: Sequence[str] = (RANDOM,),
    stages: Sequence[str] = (NO_STAGES,),
) -> dict[str, MeasuredCurve]:
    """The curve of each task, selector and order of stages, from the rows without an error.

    Their names are those of `curve_name`. There is always one of random labels without stages.
    Zero-shot scores belong to every selector.

    Source: Je and Raffel (2025), the curve.
    """
    by_task: dict[str, list[ScoreRow]] = defaultdict(list)
    for row in rows:
        if not row.error:
            by_task[row.task].append(row)
    return {
        curve_name(name, selector, order): _curve(
            [row for row in by_task[name] if row.belongs_to(selector, order)],
            task.ceiling.score if task.ceiling else None,
        )
        for name, task in tasks.items()
        for order in dict.fromkeys((NO_STAGES, *stages))
        for selector in dict.fromkeys((RANDOM, *selectors))
    }


def _curve(rows: list[ScoreRow], ceiling: float | None) -> MeasuredCurve:
    scores: dict[int, list[float]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.budget):
        if row.score is not None:
            scores[row.budget].append(row.score)
    means = {budget: fmean(found) for budget, found in scores.items()}
    curve = MeasuredCurve(
        budgets=list(means),
        scores=list(means.values()),
        seeds=[len(found) for found in scores.values()],
        score_sd=[stdev(found) if len(found) > 1 else None for found in scores.values()],
        metric=rows[0].metric if rows else None,
        test_size=rows[0].test_size if rows else None,
    )
    no_start = "no zero-shot score (budget 0): the AUC begins at the first score"
    try:
        found = EfficiencyCurve.from_scores(means, ceiling)
    except InputError as error:
        return replace(curve, note=str(error))
    return replace(
        curve,
        auc=found.auc,
        zero_shot=found.zero_shot,
        ceiling=found.ceiling,
        gains=list(found.gains),
        censored=found.censored,
        note="" if 0 in means else no_start,
    )
