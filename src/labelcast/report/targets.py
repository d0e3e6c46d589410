"""Labels needed for a range of targets.

Knows how a run answers. Does not know costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from labelcast.forecast.answer import Forecast, LabelsNeeded
from labelcast.runs.answering import answer_run
from labelcast.runs.run import Run

GAINS = (0.5, 0.7, 0.8, 0.9, 0.95)


class TargetRow(NamedTuple):
    """One target and the labels that it needs.

    Attributes:
        gain: the target as a fraction of the gain, None where it is unknown.
        score: as a score, None where it is unknown.
        asked: whether it is the target of the forecast.
        needed: labels.
    """

    gain: float | None
    score: float | None
    asked: bool
    needed: LabelsNeeded


def target_rows(run: Run, answer: Forecast, asked: Mapping[str, Any]) -> tuple[TargetRow, ...]:
    """Answer the run's question for each target, the asked one among them.

    Args:
        run: as for `answer_run`.
        answer: the run's answer to what was asked.
        asked: the options it was asked with.
    """
    mine = TargetRow(answer.target.gain, answer.target.score, True, answer.labels_needed)
    others = [gain for gain in GAINS if mine.gain is None or abs(gain - mine.gain) > 1e-9]
    rows = [_row(run, gain, asked) for gain in others]
    if mine.gain is None:
        return (mine, *rows)
    return tuple(sorted([*rows, mine], key=lambda row: row.gain or 0.0))


def _row(run: Run, gain: float, asked: Mapping[str, Any]) -> TargetRow:
    options = dict(asked) | {"target": gain, "target_score": None, "budget": None}
    found = answer_run(run, **options).forecast
    return TargetRow(gain, found.target.score, False, found.labels_needed)
