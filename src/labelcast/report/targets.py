"""Labels needed for a range of targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from labelcast.forecast.answer import Forecast, LabelsNeeded

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


def target_rows(
    ask: Callable[[Mapping[str, Any]], Forecast], answer: Forecast, asked: Mapping[str, Any]
) -> tuple[TargetRow, ...]:
    """Answer a question for each target, the asked one among them.

    Args:
        ask: makes a forecast with other options.
        answer: the answer to what was asked.
        asked: the options it was asked with.
    """
    mine = TargetRow(answer.target.gain, answer.target.score, True, answer.labels_needed)
    rows = []
    for gain in GAINS:
        if mine.gain is None or abs(gain - mine.gain) > 1e-9:
            other = ask({**asked, "target": gain, "target_score": None, "budget": None})
            rows.append(TargetRow(gain, other.target.score, False, other.labels_needed))
    if mine.gain is None:
        return (mine, *rows)
    return tuple(sorted([*rows, mine], key=lambda row: row.gain or 0.0))
