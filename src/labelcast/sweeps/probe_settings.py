"""How the probes of a task are measured: how many draws, sketches and examples, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from labelcast.errors import InputError
from labelcast.models.choices import check_dtype, choose_device

_MOST = 100
"""Draws, and sketches of each: more take hours, and their mean hardly moves."""

Probe = Literal["confidence", "coslow", "exact", "random"]


@dataclass(frozen=True)
class ProbeSettings:
    """How the probes of a task are measured.

    Attributes:
        draws: how often the examples of low confidence are drawn.
        sketch_seeds: random matrices A for each draw.
        pool: examples whose confidence is measured.
        n_label: examples of a draw, 32 in the paper.
        rank: of the sketch.
        exact: whether the limit of the sketch is measured too, on the first draw.
        keep_grams: whether the inner products of the gradients are kept, by layer and sketch, as
            ``DIR/grams/TASK-PROBE-DRAW.npy`` [L,K,N,N] float32 beside ``DIR/grams/layers.json``:
            2 MB a draw for 135M weights.
        max_new_tokens: where an answer is cut off.
        device, dtype: as `load_model` takes them.
    """

    draws: int = 3
    sketch_seeds: int = 2
    pool: int = 1600
    n_label: int = 32
    rank: int = 64
    exact: bool = False
    keep_grams: bool = False
    max_new_tokens: int = 30
    device: str = "auto"
    dtype: str = "auto"

    def __post_init__(self) -> None:
        """Refuse settings that measure nothing."""
        for option, least in (("draws", 1), ("sketch_seeds", 1), ("pool", 1), ("n_label", 2)):
            if getattr(self, option) < least:
                raise InputError(f"--{option.replace('_', '-')}: must be at least {least}.")
        for option in ("draws", "sketch_seeds"):
            if getattr(self, option) > _MOST:
                raise InputError(f"--{option.replace('_', '-')}: must be at most {_MOST}.")
        if self.pool < self.n_label:
            raise InputError(
                f"--pool {self.pool}: fewer than the {self.n_label} examples of a draw (--n-label)."
            )

    def check_machine(self) -> None:
        """Refuse a device or dtype that is not there, before anything is measured or written.

        Raises:
            InputError: not to be had here, or no such dtype.
        """
        choose_device(self.device)
        check_dtype(self.dtype)

    def key(self, probe: Probe, draw: int = 0) -> dict[str, Any]:
        """What a kept row must agree in to be used again."""
        key: dict[str, Any] = {"probe": probe, "draw": draw, "pool": self.pool}
        key |= {"max_new_tokens": self.max_new_tokens}
        if probe != "confidence":
            key |= {"n_label": self.n_label, "rank": self.rank}
        if probe == "coslow":
            key |= {"sketch_seeds": self.sketch_seeds}
        return key
