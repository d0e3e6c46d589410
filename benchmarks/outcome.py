"""What a benchmark prints: a table to read, and one line of JSON that `run.py` collects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from turns import table

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Ratio:
    """A ratio, or a difference of values, that is compared between releases.

    Attributes:
        value: the measured value; None if it could not be measured.
        better: which direction is better; None for neither.
        goal: the least or the most it should be, depending on `better`.
        note: why there is no value, or a remark on it.
        compared: whether a change from an earlier release means something; false for rounding
            errors and for peers.
    """

    value: float | None
    better: Better | None = None
    goal: float | None = None
    note: str = ""
    compared: bool = True

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without goal or value."""
        if self.goal is None or self.value is None or self.better is None:
            return None
        return self.value >= self.goal if self.better == "higher" else self.value <= self.goal

    def goal_text(self) -> str:
        """The goal in words, or an empty text."""
        if self.goal is None:
            return ""
        return f"at {'least' if self.better == 'higher' else 'most'} {self.goal:g}"

    def text(self) -> str:
        """The value to four digits, or why it is missing."""
        return self.note or "-" if self.value is None else f"{self.value:.4g}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without fields that are not set."""
        return {key: value for key, value in vars(self).items() if value not in (None, "")} | {
            "value": self.value
        }


def ratio_of(values: Mapping[str, Any]) -> Ratio:
    """A ratio from the result of `Ratio.to_dict`."""
    return Ratio(
        values["value"],
        values.get("better"),
        values.get("goal"),
        values.get("note", ""),
        values.get("compared", True),
    )


def tell(benchmark: str, ratios: Mapping[str, Ratio], **facts: Any) -> None:
    """Print the table, then the line of JSON."""
    rows = {}
    for name, ratio in ratios.items():
        goal = ratio.goal_text()
        note = f"  ({ratio.note})" if ratio.note and ratio.value is not None else ""
        rows[name] = ratio.text() + (f"  (goal: {goal})" if goal else "") + note
    print(table(rows | {key: str(value) for key, value in facts.items()}))
    line = {"benchmark": benchmark, "ratios": {k: r.to_dict() for k, r in ratios.items()}}
    print(json.dumps(line | facts))
