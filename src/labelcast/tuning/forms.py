"""The forms of a sweep folder's JSON files, so that one from a stranger is refused in words.

Knows which values later steps count on. What else stands in a file is let be.
"""

from __future__ import annotations

from typing import Any

from labelcast.runs.forms import Finite, Form, ModelPart, Natural, Share


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
    """A row of `probes.jsonl`; which of the values it needs depends on the probe."""

    task: str
    probe: str
    confidence: list[Share | None] | None = None
    mean_confidence: Finite = 0.0
    coslow: Finite = 0.0
    seed_sd: Finite | None = None
    per_seed: list[Finite] | None = None
    ids: list[str] | None = None
    median: Finite = 0.0
    norm: Finite = 0.0
