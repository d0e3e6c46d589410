"""Small pools of vectors, confidences and task ids for the selection methods."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelcast.selection.methods.data_tailor import DataTailor
from labelcast.selection.pool import Pool
from labelcast.selection.registry import selector
from labelcast.selection.selector import Selector

METHODS = (
    "random",
    "stratified",
    "low-confidence",
    "margin",
    "k-centre",
    "facility-location",
    "typical",
    "task-diversity",
    "gp-variance",
    "data-tailor",
)
"""The methods that need no model if their signals are given."""


def vectors(size: int, features: int = 5, seed: int = 0) -> NDArray[np.float32]:
    """Random vectors of length 1."""
    found = np.random.default_rng(seed).normal(size=(size, features))
    unit: NDArray[np.float32] = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit.astype(np.float32)


def small_pool(size: int, seed: int = 0, **changes: Any) -> Pool:
    """A pool with every signal that needs no model, and tasks a, b and c."""
    rng = np.random.default_rng(seed)
    signals: dict[str, Any] = {
        "embeddings": vectors(size, seed=seed),
        "confidence": rng.random(size),
        "margin": rng.random(size),
        "task_ids": [str(task) for task in rng.choice(["a", "b", "c"], size)],
    }
    return Pool(**signals | changes)


def method(name: str, size: int, seed: int = 0) -> Selector:
    """A method with its default settings; data-tailor with its two numbers given."""
    if name != "data-tailor":
        return selector(name)
    rng = np.random.default_rng(seed)
    return DataTailor(entropy=rng.random(size), largest=rng.uniform(0.1, 0.9, size))
