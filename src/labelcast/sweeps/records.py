"""Schemas of a sweep folder's JSON files: an untrusted file is refused with a clear message.

Other fields of a file are ignored.
"""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from labelcast.runs.records import Finite, Form, ModelPart, Natural, Share


class RecipePart(Form):
    """What a sweep says of its recipe."""

    name: str


class TaskEntry(Form):
    """One task of a sweep."""

    task: dict[str, Any]
    data: str
    test_data: str | None = None
    test_digest: str


class SweepFile(Form):
    """`sweep.json`."""

    model: ModelPart
    recipe: RecipePart
    recipe_digest: str
    test_size: Natural
    split_seed: Natural
    max_new_tokens: Natural
    tasks: dict[str, TaskEntry]
    budgets: list[Natural]
    seeds: list[Natural]


class ScoreRow(Form):
    """A row of `scores.jsonl`."""

    task: str
    budget: Natural
    seed: Natural
    metric: str
    score: Share | None
    test_size: Natural
    seconds: Finite
    error: str


class ProbeRow(Form):
    """What every row of `probes.jsonl` says."""

    task: str
    probe: str


class ConfidenceRow(ProbeRow):
    """A row of the probe ``confidence``."""

    confidence: list[Share | None]
    mean_confidence: Finite


class CosLowRow(ProbeRow):
    """A row of the probes ``coslow`` and ``exact``."""

    coslow: Finite
    per_seed: list[Finite]
    seed_sd: Finite | None = None
    ids: list[str]

    @model_validator(mode="after")
    def _spread(self) -> CosLowRow:
        if len(self.per_seed) > 1 and self.seed_sd is None:
            raise ValueError("seed_sd is missing beside several per_seed")
        return self


class RandomRow(ProbeRow):
    """A row of the probe ``random``."""

    median: Finite
    norm: Finite


PROBE_ROWS: dict[str, type[Form]] = {
    "confidence": ConfidenceRow,
    "coslow": CosLowRow,
    "exact": CosLowRow,
    "random": RandomRow,
}
"""The form of a row by its probe."""
