"""TIVE: more of the tasks with large gradients, and of each the examples that resemble it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from labelcast.errors import InputError
from labelcast.models.gradient_vectors import SIZE, Projection
from labelcast.selection.clusters import Counts, divide, in_turns, unit
from labelcast.selection.labelled import contents
from labelcast.selection.pool import Need, Pool
from labelcast.selection.selector import Selection
from labelcast.selection.subjects import subject
from labelcast.selection.warm_up import WarmUp, warm_up

if TYPE_CHECKING:
    from labelcast.models.protocols import Progress
    from labelcast.selection.signals import Arrays

PART = 32


class Tive:
    """Draw examples by the value of their task and by their own value in it.

    Adapters are trained on a random share of the pool, equally many of each task: 8% as published,
    but at least 32, with a learning rate of 2e-4. A task's quota is
    proportional to the mean length of its examples' gradients. An example's value is the mean
    cosine of its gradient with those of its task, itself included, and the quota is drawn without
    replacement with probabilities softmax(value / temperature).

    Here a quota never exceeds the task's size; what is left goes to the other tasks. The published
    code repeats examples in that case, and multiplies the value by 0.001, which makes the draw
    within a task practically uniform: temperature 1000. The default here lets the value count.

    Source: Liu et al. 2024 (arXiv 2403.09559); repository RUCAIBox/TIVE.
    """

    name = "tive"
    needs: frozenset[Need] = frozenset({Need.ANSWERS, Need.TASK_IDS, Need.MODEL})

    def __init__(
        self,
        *,
        temperature: float = 0.05,
        training: WarmUp | None = None,
        size: int | None = SIZE,
        batch_size: int | None = None,
    ) -> None:
        """Settings.

        Args:
            temperature: temperature of the draw, above 0.
            training: training of the adapters; by default one pass over 8% of the pool.
            size: numbers of a projected gradient; None does not project, for small models.
            batch_size: examples at once for gradients; None chooses a number for the device.

        Raises:
            InputError: the temperature is not above 0.
        """
        if not temperature > 0:
            raise InputError(f"tive: temperature {temperature} must be above 0.")
        self.temperature, self.size, self.batch_size = temperature, size, batch_size
        self.training = training or WarmUp(share=0.08, epochs=1)

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples, one of each task in turn; see `Selector`."""
        vectors, norms = self._gradients(pool, seed)
        members = pool.tasks
        means = np.array([norms[rows].mean() for rows in members])
        counts = divide(n, means, [len(rows) for rows in members])
        rng, chosen, values = np.random.default_rng(seed), list[Counts](), np.zeros(pool.size)
        for rows, count in zip(members, counts, strict=True):
            own = vectors[rows].astype(np.float32)
            values[rows] = own @ own.mean(0)
            # The largest values with Gumbel noise: a draw by softmax without replacement.
            noisy = values[rows] / self.temperature + rng.gumbel(size=len(rows))
            chosen.append(rows[np.argsort(-noisy, kind="stable")[:count]])
        positions = in_turns(chosen)
        return Selection(positions, values[positions])

    def _gradients(self, pool: Pool, seed: int) -> tuple[NDArray[np.float16], NDArray[np.float64]]:
        """Unit vectors [N,D] of the projected gradients, and the gradients' lengths [N]."""
        trained = subject(pool.lm, pool.examples, pool.allowed, self.training, seed)
        drawn = _equal_shares(pool.tasks, self.training.count(pool.size), seed)

        @cache  # only if a part is missing
        def train() -> None:
            warm_up(trained, drawn, self.training, seed, pool.store.on_signal)

        def compute(rows: Sequence[int], progress: Progress) -> Arrays:
            train()
            how = Projection(self.size, seed, self.batch_size, progress=progress)
            found = trained.vectors(rows, how)
            return {"vectors": unit(found.values).astype(np.float16), "norms": found.norms}

        about = pool.about(
            *contents(pool.examples),
            *pool.allowed,
            str(asdict(self.training)),
            f"{self.size} {seed} {drawn}",
        )
        signal = pool.store.rows("tive", about, pool.size, compute, part=PART)
        return signal["vectors"], signal["norms"]


def _equal_shares(members: Sequence[NDArray[np.int64]], count: int, seed: int) -> list[int]:
    """Positions of `count` examples in order, equally many of each task where possible."""
    rng = np.random.default_rng(seed)
    counts = divide(count, np.ones(len(members)), [len(rows) for rows in members])
    pairs = zip(members, counts, strict=True)
    drawn = [rng.choice(rows, size=own, replace=False) for rows, own in pairs]
    return sorted(np.concatenate(drawn).tolist())
